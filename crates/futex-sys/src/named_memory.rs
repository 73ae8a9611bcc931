//! Shared memory whose POSIX name this process owns.

use crate::error::fail;
use crate::name_lock::NameLock;
use crate::origin::Origin;
use crate::posix_name::PosixName;
use crate::shared_memory::SharedMemory;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::ops::Deref;

/// Shared memory under a POSIX name that this process owns. Dropping the owner removes the name.
///
/// An owner dereferences to its [`SharedMemory`]. Clones of the `SharedMemory`, and processes that have opened it, keep the
/// memory after the name is removed.
///
/// # When the name is removed
///
/// Dropping the owner removes the name, and so does [`unlink`](Self::unlink). In these cases the name stays:
///
/// - [`keep`](Self::keep) was called.
/// - The name no longer leads to this memory, because another process has [replaced](Self::replace) the memory.
/// - The owner is a copy in a child of `fork`, and is dropped there.
/// - The process ends without dropping the owner: it is killed, aborts, or calls [`std::process::exit`]. The next owner then
///   uses [`replace`](Self::replace).
/// - The process has no descriptor left (`ulimit -n`). The removal needs one for a moment.
/// - Another process holds the lock of the name for a second (see below).
///
/// # Several processes that change one name
///
/// Owners and [`SharedMemory::unlink`] lock the object that has the name (`flock`), verify that it still has the name, change
/// the name, and unlock the object. So an owner never removes the name of another object. This protocol works among users of
/// this library only: `shm_unlink` in another program takes no lock. Do not hold an `flock` of your own on the object, because
/// the name can't be changed meanwhile.
///
/// The lock is held for microseconds, unless the process that holds it is stopped meanwhile (`SIGSTOP`). The others block
/// their thread and give up after a second: they return a `ResourceBusy` error, or, in `Drop`, leave the name. The kernel
/// releases the lock of a process that dies. Only a child that was forked while the lock was held, and has not called `exec`,
/// keeps the lock alive.
///
/// # Examples
///
/// ```
/// # use futex_sys::{NamedMemory, SharedMemory};
///
/// let name = format!("/futex-sys-doc-named-{}", std::process::id());
/// let memory = NamedMemory::create(&name, 4096)?;
/// let word = memory.word(0)?;
/// let peers = SharedMemory::open(&name)?; // in another process
/// # drop((word, peers));
///
/// drop(memory); // removes the name
/// assert!(SharedMemory::open(&name).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "dropping it removes the name"]
pub struct NamedMemory {
    memory: SharedMemory,
    name: OsString,
    /// The process in which a drop removes the name. `None` if no drop does.
    owner: Option<Origin>,
}

impl NamedMemory {
    /// New memory, made like that of [`SharedMemory::create`].
    ///
    /// # Errors
    ///
    /// Those of [`SharedMemory::create`], among them `AlreadyExists` if the name is taken.
    pub fn create(name: impl AsRef<OsStr>, len: usize) -> io::Result<Self> {
        Self::create_with(name, len, |_| Ok(()))
    }

    /// [`create`](Self::create) that takes the name away from the object that has it, if there is one.
    ///
    /// Use this function in a process that starts again and discards the memory of its predecessor. At every moment the name
    /// leads to the complete old object or to the complete new object. Processes that have opened the old object keep it, and
    /// are not informed. They can watch the process that made it (see [`ProcessId`](crate::ProcessId)), or the new owner can
    /// change and wake one of its words.
    ///
    /// If the process is killed during the call, the name leads to the old or to the new object. The kill may leave a hidden
    /// file `.NAME.PID.NUMBER.tmp` in `/dev/shm`: usually only if it comes between two system calls at the very end, but in a
    /// sandbox without `/proc` or `O_TMPFILE` at any time during the call.
    ///
    /// # Errors
    ///
    /// Those of [`SharedMemory::create`] except `AlreadyExists`. `PermissionDenied` if the old object belongs to another user.
    /// `ResourceBusy` if another process holds the lock for a second (that process may be stopped). After an error the name
    /// is unchanged.
    pub fn replace(name: impl AsRef<OsStr>, len: usize) -> io::Result<Self> {
        Self::replace_with(name, len, |_| Ok(()))
    }

    /// [`create`](Self::create) of memory that `init` sets up before the object gets its name. So a process that opens the
    /// name always finds complete memory, even if this process is killed.
    ///
    /// In some sandboxes `init` is called twice, the second time with other memory.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create), and the error of `init`. After an error, neither a name nor memory is left behind.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futex_sys::{NamedMemory, SharedMemory};
    /// use std::sync::atomic::Ordering;
    ///
    /// const VERSION: u32 = 1;
    /// let name = format!("/futex-sys-doc-with-{}", std::process::id());
    /// let memory = NamedMemory::create_with(&name, 4096, |memory| {
    ///     memory.word(0)?.store(VERSION, Ordering::Relaxed); // the name publishes it afterwards
    ///     Ok(())
    /// })?;
    /// let opened = SharedMemory::open(&name)?; // in another process
    /// assert_eq!(opened.word(0)?.load(Ordering::Relaxed), VERSION);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn create_with(
        name: impl AsRef<OsStr>,
        len: usize,
        init: impl Fn(&SharedMemory) -> io::Result<()>,
    ) -> io::Result<Self> {
        let name = name.as_ref();
        SharedMemory::create_with(name, len, init).map(|memory| Self::own(memory, name))
    }

    /// [`replace`](Self::replace) with memory that `init` sets up before the object gets its name, as described at
    /// [`create_with`](Self::create_with).
    ///
    /// # Errors
    ///
    /// Those of [`replace`](Self::replace), and the error of `init`. After an error the name is unchanged.
    pub fn replace_with(
        name: impl AsRef<OsStr>,
        len: usize,
        init: impl Fn(&SharedMemory) -> io::Result<()>,
    ) -> io::Result<Self> {
        let name = name.as_ref();
        SharedMemory::replace_with(name, len, init).map(|memory| Self::own(memory, name))
    }

    fn own(memory: SharedMemory, name: &OsStr) -> Self {
        Self { memory, name: name.to_owned(), owner: Some(Origin::here()) }
    }

    /// The name in its original form, with or without a leading slash.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// Returns true if the name leads to this memory now ([`SharedMemory::has_name`]).
    ///
    /// Other programs may have removed the name. For instance, systemd-logind removes the POSIX shared memory of a user when
    /// the user's last session ends (`RemoveIPC=` in `logind.conf(5)`).
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.memory.has_name(&self.name)
    }

    /// Removes the name now, and returns the error that `Drop` would ignore.
    ///
    /// In a child of `fork` this function removes the name too, unlike dropping.
    ///
    /// # Errors
    ///
    /// `NotFound` if the name no longer leads to this memory. `PermissionDenied` if this process may not remove the name.
    /// `ResourceBusy` if another process holds the lock for a second (that process may be stopped). After an error the name
    /// is unchanged.
    pub fn unlink(mut self) -> io::Result<()> {
        self.owner = None;
        self.remove()
    }

    /// Gives up the ownership of the name, and returns the memory. The name stays until it is
    /// [removed](SharedMemory::unlink).
    pub fn keep(mut self) -> SharedMemory {
        self.owner = None;
        self.memory.clone()
    }

    fn remove(&self) -> io::Result<()> {
        let name = PosixName::new(&self.name)?;
        match NameLock::of(name, self.memory.identity())? {
            Some(_lock) => name.unlink(),
            None => Err(fail(
                io::ErrorKind::NotFound,
                format!("the name of {name} no longer leads to this memory: it was removed or replaced"),
            )),
        }
    }
}

impl Deref for NamedMemory {
    type Target = SharedMemory;

    fn deref(&self) -> &SharedMemory {
        &self.memory
    }
}

impl Drop for NamedMemory {
    fn drop(&mut self) {
        if self.owner.is_some_and(|owner| owner.is_here()) {
            // An error means that the name was removed already, or that it stays: see the documentation of the type.
            let _ = self.remove();
        }
    }
}

impl fmt::Debug for NamedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedMemory").field("name", &self.name).field("memory", &self.memory).finish()
    }
}
