//! Regions.

mod passing;
#[cfg(test)]
#[cfg(not(loom))]
mod processes;

use crate::attachment::Attachment;
use crate::file_system;
use crate::format::{Layout, refuse};
use crate::information::Information;
use crate::membership::Membership;
use crate::name::Name;
use crate::name::open::{Intent, Patience, is_changing};
use crate::os::at_fork::OwnFile;
use crate::presence::{Joined, Presence};
use crate::stats::Stats;
use crate::watcher;
use futex_sys::__private::{explain, words64};
use futex_sys::SharedMemory;
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

/// Memory that several processes share, with a table of its members and a directory of its objects.
///
/// A value of this type is a cheap handle: clones are the same member. The member leaves when all clones, and all objects that were
/// opened with them, are dropped. Two values that were opened separately are two members, even within one process.
///
/// | made by | for |
/// |---|---|
/// | [`open_or_create`](Builder::open_or_create), [`create`](Builder::create), [`open`](Builder::open) | processes that agree on a name |
/// | [`anonymous`](Builder::anonymous) | processes that get a descriptor: by [`send`](Self::send), or by [`share`](Self::share) and inheritance |
/// | [`receive`](Builder::receive), [`from_fd`](Builder::from_fd) | those processes |
///
/// # Names
///
/// The name of a region is the name of a file in `/dev/shm`, or in another [directory](Builder::directory). It has 1 to 255 bytes,
/// without `/` and NUL, and is not `.` or `..`. One leading slash is ignored.
///
/// The data of a region exist as long as it has a member. The last member that leaves removes the name. If the last members are killed,
/// the file remains until a process opens the name. That process removes the file, and makes a new region (or gets `NotFound` from
/// [`open`](Builder::open)). At no time can two processes be members of two regions under one name.
///
/// Only processes of one user can open a region, unless the [mode](Builder::mode) allows others. Other programs must not remove,
/// replace, truncate or lock the file. If the file is truncated, an access to the lost pages raises `SIGBUS`. If the name is
/// removed, the members keep the region, and the next process that opens the name makes another one. (systemd-logind removes the files
/// of a user who logs out, unless it is configured with `RemoveIPC=no`.)
///
/// # Processes
///
/// Each member has a lock on the region's file, by which the kernel knows which members live. So it does not matter what ends a
/// process.
///
/// - **Fork.** A child of `fork` is not a member. In the child, each operation on a region that its parent opened, and on its
///   objects, returns an error of kind `Unsupported` if it can return one. Dropping a handle there has no effect. The child does not
///   have the memory, but it can open the region itself. If the parent dies, the other members notice it although the child lives. (A
///   child that was made by a raw `clone` system call, and not by the C library, keeps the parent's lock until it ends or calls
///   `exec`.)
/// - **Exec.** The member dies: the new program does not have the descriptor or the memory.
/// - **A careless `close`.** If other code closes the descriptor of a region (`close_range(3, …)`), the other members see no
///   difference: this member lives until it leaves or its process ends. But it can't find out any more whether others live. When it
///   needs to know that (in a wait, and usually at the next join, leave or death of another member), it is damaged: each operation,
///   even one that waits, returns an error of kind `InvalidData`. Until then its operations succeed.
/// - **A stopped process** (`SIGSTOP`, a debugger, a frozen container) is alive. The others wait for the locks and permits that it has.
///   If it is stopped in the microseconds in which it removes or replaces a name, others that open that name get `ResourceBusy` after
///   a second.
/// - **Containers and pid namespaces.** The processes may run in different ones, but on one machine. A region can't be on a file system
///   that is not local, nor on `OverlayFS`, which is the root of most containers.
#[derive(Clone, Debug)]
pub struct Region {
    presence: Arc<Presence>,
}

/// Makes and opens a [`Region`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    members: u32,
    objects: u32,
    bytes: usize,
    label: String,
    directory: Option<PathBuf>,
    mode: u32,
}

impl Default for Builder {
    fn default() -> Self {
        Self { members: 64, objects: 64, bytes: 64 << 10, label: String::new(), directory: None, mode: 0o600 }
    }
}

impl Builder {
    /// Maximum number of members, 64 by default. It is used when the region is made, and has no effect on a region that exists.
    pub fn members(mut self, members: u32) -> Self {
        self.members = members;
        self
    }

    /// Maximum number of objects, 64 by default. It is used when the region is made, and has no effect on a region that exists.
    pub fn objects(mut self, objects: u32) -> Self {
        self.objects = objects;
        self
    }

    /// Number of bytes for all objects, 64 KiB by default. It is used when the region is made, and has no effect on a region that exists.
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// A label that describes this member to others, for example in logs. At most 64 bytes, and no zero byte.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// The directory of names, `/dev/shm` by default. It must exist, and must be on a local file system, preferably a tmpfs. It must not be
    /// on `OverlayFS`, which is the root of most containers, because a living member could seem dead there.
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// The mode of a region with a name, `0o600` by default, regardless of the umask. With a mode such as `0o660`, processes of
    /// several users can be members. They need a [directory](Self::directory) without the sticky bit, in which each of them may remove
    /// files: in `/dev/shm` only the owner of a file can remove it.
    ///
    /// A process that opens a region of another user needs this mode, too. By default, it opens only regions of its own user.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Opens the region of a name, or makes it. All processes that do this at once get the same region.
    ///
    /// # Errors
    ///
    /// - `InvalidInput` if a number, the label, the [name](Region#names) or the mode is out of range, if the mode is for several users
    ///   and the directory has the sticky bit, and if the file of this name is not regular.
    /// - `InvalidData` if the file of this name is not a region, or if the region has another format or is damaged.
    /// - `NotFound` if the directory does not exist.
    /// - `ResourceBusy` if the region is full, or if a process is stopped while it removes or replaces the name.
    /// - `PermissionDenied` if the region belongs to another user.
    /// - `StorageFull` if the file system of the directory has too little room. `OutOfMemory` if the region is larger than the memory
    ///   and swap of the machine. `FileTooLarge` if it is larger than `ulimit -f` allows.
    /// - `Unsupported` if the directory is on a file system that is not local or can't have new files, or on `OverlayFS`.
    pub fn open_or_create(&self, name: impl AsRef<OsStr>) -> io::Result<Region> {
        self.named(name.as_ref(), Intent::OpenOrCreate)
    }

    /// Makes a region with a name.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the region of this name has a member. (The remains of a region whose members have died are replaced.)
    /// Otherwise those of [`open_or_create`](Self::open_or_create).
    pub fn create(&self, name: impl AsRef<OsStr>) -> io::Result<Region> {
        self.named(name.as_ref(), Intent::Create)
    }

    /// Opens the region of a name.
    ///
    /// # Errors
    ///
    /// `NotFound` if no file has the name, or if all members of the region have died. Otherwise those of
    /// [`open_or_create`](Self::open_or_create) that are not about making a region.
    pub fn open(&self, name: impl AsRef<OsStr>) -> io::Result<Region> {
        self.named(name.as_ref(), Intent::Open)
    }

    fn named(&self, name: &OsStr, intent: Intent) -> io::Result<Region> {
        self.check_label()?;
        let name = Name::new(name, self.directory.as_deref(), self.mode)?;
        let layout = self.layout()?;
        watcher::prepare()?;
        Region::of(name.open(intent, layout, &self.label)?)
    }

    /// Makes a region without a name, in a memfd that is sealed against shrinking.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if a number or the label is out of range. Those of [`SharedMemory::anonymous`].
    pub fn anonymous(&self) -> io::Result<Region> {
        let layout = self.layout()?;
        let memory = SharedMemory::anonymous(layout.bytes())?;
        layout.write(words64(&memory));
        self.join_again(memory.as_fd(), "the anonymous region")
    }

    fn layout(&self) -> io::Result<Layout> {
        Layout::new(self.members, self.objects, self.bytes, rustix::param::page_size())
    }

    fn check_label(&self) -> io::Result<()> {
        if self.label.len() > Information::MAX_LABEL {
            return Err(refuse(format!(
                "the label has {} bytes: at most {} are possible",
                self.label.len(),
                Information::MAX_LABEL
            )));
        }
        if self.label.contains('\0') {
            return Err(refuse(format!("{:?} can't be the label of a member: a label has no zero byte", self.label)));
        }
        Ok(())
    }

    /// Joins the region of a file. A description that this process has not opened itself must be claimed.
    fn join(&self, file: OwnFile, must_claim: bool, what: &str) -> io::Result<Region> {
        self.check_label()?;
        let failed = |error| explain(error, format!("cannot join {what}"));
        file_system::check(&file, what)?;
        let mut attachment = Attachment::new(what.into(), file).map_err(failed)?;
        if must_claim {
            attachment = attachment.claim()?;
        }
        let mut patience = Patience::new();
        loop {
            match Presence::join(attachment, &self.label, |_| Ok(true)).map_err(failed)? {
                Joined::Member(presence) => {
                    if let Some(name) = (!presence.is_sealed()).then(|| Name::of_file(&*presence, what)).flatten() {
                        presence.set_name(name);
                    }
                    return Region::of(presence);
                }
                Joined::Full(file) | Joined::Refused(file) => {
                    let paused = match is_changing(&file) {
                        Ok(true) => patience.pause(what, true),
                        Ok(false) => Err(file.full()),
                        Err(error) => Err(failed(error)),
                    };
                    if let Err(error) = paused {
                        file.give_back();
                        return Err(error);
                    }
                    attachment = file;
                }
            }
        }
    }
}

impl Region {
    /// Returns a [`Builder`] with the default numbers.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Closes the region for this member. On all objects that were opened with this handle or a clone of it, each operation that
    /// sleeps ends with an error of kind `BrokenPipe`, and so does each later operation. Nothing changes for other members.
    ///
    /// The member does not leave yet: its guards keep their locks and permits. It leaves when all handles, objects and guards are
    /// dropped.
    pub fn close(&self) {
        if self.presence.is_here() {
            self.presence.mark_closed();
        }
    }

    /// Returns counts of what this member has done for the region. They are available after [`close`](Self::close) and in a fork, too.
    pub fn stats(&self) -> Stats {
        self.presence.counters().stats()
    }

    /// Drops the region without leaving, as the end of a process does. This must be the last handle.
    #[cfg(test)]
    pub(crate) fn die(self) {
        Arc::into_inner(self.presence).expect("the last handle").die();
    }

    fn of(presence: Presence) -> io::Result<Self> {
        presence.watch()?;
        Ok(Self { presence: Arc::new(presence) })
    }

    /// The membership.
    pub(crate) fn membership(&self) -> &Arc<Membership> {
        self.presence.membership()
    }

    /// The presence, which leaves when its last share is dropped.
    pub(crate) fn presence(&self) -> &Arc<Presence> {
        &self.presence
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::directory::{Kind, Spec};
    use crate::steps::member::{FREE, LIVE};
    use crate::steps::{Role, Words, high, low};
    use crate::testing::another_member;
    use std::sync::atomic::Ordering::Relaxed;

    const SPEC: Spec<'_> = Spec {
        kind: Kind::Mutex,
        name: "one",
        type_name: "u64",
        type_version: 1,
        size: 8,
        align: 8,
        parameter: 5,
        len: 32,
        roles: &[(Role::Lock, 0)],
        records: None,
    };

    #[test]
    fn two_attachments_in_one_process_are_two_members() {
        let region = Region::builder().members(2).anonymous().unwrap();
        let other = another_member(&region);
        let members = [&region, &other].map(|region| region.membership().me().slot);
        assert_eq!(members, [0, 1]);
        let full = Region::builder().from_fd(region.membership().as_fd()).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::ResourceBusy);
    }

    #[test]
    fn the_slot_of_a_member_that_left_is_taken_again() {
        let region = Region::builder().members(2).anonymous().unwrap();
        let other = another_member(&region);
        assert_eq!(low(region.membership().slot(1, Relaxed)), LIVE);
        drop(other);
        assert_eq!(low(region.membership().slot(1, Relaxed)), FREE);
        let third = another_member(&region);
        assert_eq!(high(third.membership().slot(1, Relaxed)), 2);
    }

    #[test]
    fn an_object_is_the_same_for_all_members() {
        let region = Region::builder().anonymous().unwrap();
        let other = another_member(&region);
        let add = |region: &Region| {
            let membership = region.membership();
            membership.directory().open_or_create(membership, &SPEC, |words| words[3].store(7, Relaxed)).unwrap()
        };
        let (entry, added) = add(&region);
        assert!(added);
        assert_eq!(add(&other), (entry.clone(), false));
        assert_eq!(other.membership().slice(entry.base, entry.len)[3].load(Relaxed), 7);
    }
}
