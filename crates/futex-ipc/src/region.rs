//! Regions.

use crate::format::Layout;
use crate::format::refuse;
use crate::membership::{Attachment, Information, Joined, Membership};
use futex_sys::__private::{explain, fail, words64};
use futex_sys::SharedMemory;
use rustix::fs::{CWD, Mode, OFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Memory that several processes share, with a table of its members and a directory of its objects.
///
/// A value of this type is a cheap handle: clones are the same member. The member leaves when the last clone, and the last object
/// that was made with one, is dropped. Two values that were opened separately are two members, also within one process.
#[derive(Clone, Debug)]
pub struct Region {
    membership: Arc<Membership>,
}

/// Makes and opens a [`Region`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    members: u32,
    objects: u32,
    bytes: usize,
    label: String,
}

impl Default for Builder {
    fn default() -> Self {
        Self { members: 64, objects: 64, bytes: 64 << 10, label: String::new() }
    }
}

impl Builder {
    /// Maximum number of members, 64 by default. Used when the region is made.
    pub fn members(mut self, members: u32) -> Self {
        self.members = members;
        self
    }

    /// Maximum number of objects, 64 by default. Used when the region is made.
    pub fn objects(mut self, objects: u32) -> Self {
        self.objects = objects;
        self
    }

    /// Number of bytes for all objects, 64 KiB by default. Used when the region is made.
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// A label of this member for others to see, for instance in logs. At most 88 bytes.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    fn layout(&self) -> io::Result<Layout> {
        Layout::new(self.members, self.objects, self.bytes, rustix::param::page_size())
    }

    /// Makes a region without a name, in a memfd.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for numbers that are out of range. Those of [`SharedMemory::anonymous`].
    pub fn anonymous(&self) -> io::Result<Region> {
        let layout = self.layout()?;
        let memory = SharedMemory::anonymous(layout.bytes())?;
        layout.write(words64(&memory));
        self.join(memory.as_fd(), "the anonymous region".into())
    }

    /// Joins the region of a descriptor.
    ///
    /// # Errors
    ///
    /// `InvalidData` if the memory is not a region, or one of another format.
    pub fn from_fd(&self, fd: impl AsFd) -> io::Result<Region> {
        self.join(fd.as_fd(), "the region of the descriptor".into())
    }

    fn join(&self, fd: BorrowedFd<'_>, what: String) -> io::Result<Region> {
        if self.label.len() > Information::MAX_LABEL {
            return Err(refuse(format!(
                "the label has {} bytes: at most {} are possible",
                self.label.len(),
                Information::MAX_LABEL
            )));
        }
        let map = |file: OwnedFd| {
            let memory = SharedMemory::from_fd(file)?;
            let layout = Layout::read(words64(&memory))?;
            Ok((memory, layout))
        };
        let attachment = Attachment::new(what, || reopen(fd), map)?;
        match Membership::join(attachment, &self.label, |_| Ok(true))? {
            Joined::Member(membership) => {
                membership.watch()?;
                Ok(Region { membership: Arc::new(membership) })
            }
            Joined::Full(Attachment { what, layout, .. }) | Joined::Refused(Attachment { what, layout, .. }) => {
                Err(fail(
                    io::ErrorKind::ResourceBusy,
                    format!("{what} has {} members, and no slot for another", layout.slots),
                ))
            }
        }
    }
}

/// Opens the file of a descriptor again, with an open file description of its own.
fn reopen(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    rustix::fs::openat(CWD, path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| explain(errno, "cannot open a region's file again through /proc/self/fd"))
}

impl Region {
    /// A [`Builder`] with the default numbers.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A descriptor of the region for a child process to inherit.
    ///
    /// # Errors
    ///
    /// If there is no `/proc`.
    pub fn share(&self) -> io::Result<OwnedFd> {
        reopen(self.membership.as_fd())
    }

    /// Counts of what this member has done for the region.
    pub fn stats(&self) -> crate::Stats {
        self.membership.counters().stats()
    }

    /// Drops the region without leaving, as the end of a process does. This must be the last handle.
    #[cfg(test)]
    pub(crate) fn die(self) {
        Arc::into_inner(self.membership).expect("the last handle").die();
    }

    /// A descriptor of the region, with an open file description of its own.
    ///
    /// # Errors
    ///
    /// Those of an `open` of `/proc/self/fd`.
    pub fn share(&self) -> io::Result<OwnedFd> {
        reopen(self.membership.as_fd())
    }

    /// The membership.
    pub(crate) fn membership(&self) -> &Arc<Membership> {
        &self.membership
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::directory::{Kind, Spec};
    use crate::steps::member::{FREE, LIVE};
    use crate::steps::{Role, Words, high, low};
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
        let other = Region::builder().from_fd(region.membership.as_fd()).unwrap();
        let members = [&region, &other].map(|region| region.membership.me().slot);
        assert_eq!(members, [0, 1]);
        let full = Region::builder().from_fd(region.membership.as_fd()).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::ResourceBusy);
    }

    #[test]
    fn the_slot_of_a_member_that_left_is_taken_again() {
        let region = Region::builder().anonymous().unwrap();
        let other = Region::builder().from_fd(region.membership.as_fd()).unwrap();
        assert_eq!(low(region.membership.slot(1, Relaxed)), LIVE);
        drop(other);
        assert_eq!(low(region.membership.slot(1, Relaxed)), FREE);
        let third = Region::builder().from_fd(region.membership.as_fd()).unwrap();
        assert_eq!(high(third.membership.slot(1, Relaxed)), 2);
    }

    #[test]
    fn an_object_is_the_same_for_all_members() {
        let region = Region::builder().anonymous().unwrap();
        let other = Region::builder().from_fd(region.membership.as_fd()).unwrap();
        let add = |region: &Region| {
            let membership = &region.membership;
            membership.directory().open_or_create(membership, &SPEC, |words| words[3].store(7, Relaxed)).unwrap()
        };
        let (entry, added) = add(&region);
        assert!(added);
        assert_eq!(add(&other), (entry.clone(), false));
        assert_eq!(other.membership.slice(entry.base, entry.len)[3].load(Relaxed), 7);
    }
}
