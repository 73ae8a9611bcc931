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

/// Shared memory under a POSIX name that this process owns. Dropping this value removes the name.
///
/// A `NamedMemory` dereferences to its [`SharedMemory`]. Clones of the `SharedMemory`, and processes that have opened the name,
/// can use the memory after the name is removed.
///
/// # When the name is removed
///
/// Dropping a `NamedMemory` removes the name, and so does [`unlink`](Self::unlink). In these cases a drop leaves the name:
///
/// - The name no longer leads to this memory, because another process has [replaced](Self::replace) the memory.
/// - The drop happens in a child of `fork`, which has a copy of the value.
/// - The process has no descriptor left (`ulimit -n`). The removal needs one for a moment.
/// - Another process holds the lock of the name for more than one second (see below).
///
/// The name also stays if the value is not dropped: after [`keep`](Self::keep), or if the process is killed, aborts, or calls
/// [`std::process::exit`]. The next process can then take over the name with [`replace`](Self::replace).
///
/// # Several processes that change one name
///
/// Each function that removes or replaces a name works in four steps: it locks the object that has the name (`flock`), checks
/// that the object still has the name, changes the name, and unlocks the object. So a `NamedMemory` never removes the name of
/// another object. This protocol works among users of this library only: `shm_unlink` in another program takes no lock. Do not
/// hold an `flock` of your own on the object, because nobody can remove or replace the name meanwhile.
///
/// The lock is held for microseconds, unless the process that holds it is stopped meanwhile (`SIGSTOP`). The other processes
/// block their thread and give up after one second: functions return a `ResourceBusy` error, and a drop leaves the name. The
/// kernel releases the lock of a process that dies. There is one exception: a child that was forked while the lock was held
/// keeps the lock until it ends or calls `exec`.
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
    /// Creates memory under a name, like [`SharedMemory::create`], and owns the name.
    ///
    /// # Errors
    ///
    /// Those of [`SharedMemory::create`], among them `AlreadyExists` if the name is taken.
    pub fn create(name: impl AsRef<OsStr>, len: usize) -> io::Result<Self> {
        Self::create_with(name, len, |_| Ok(()))
    }

    /// Like [`create`](Self::create), but if the name is taken, the new object takes it over from the old object.
    ///
    /// Use this function in a process that starts again and discards the memory of its predecessor. At every moment the name
    /// leads to the complete old object or to the complete new object.
    ///
    /// Processes that have opened the old object keep it, and are not informed. To notice the change, they can watch the process
    /// that made the old object (see [`ProcessId`](crate::ProcessId)). Or the caller informs them: it opens the old object before
    /// this call, and afterwards changes a word in the old object and wakes the waiters of that word.
    ///
    /// If the process is killed during the call, the name leads to the old or to the new object. A hidden file
    /// `.NAME.PID.NUMBER.tmp` may remain in `/dev/shm`. Usually a kill leaves this file only if it comes between two system calls
    /// at the very end. In a sandbox without `/proc` or `O_TMPFILE`, a kill at any time during the call may leave the file.
    ///
    /// # Errors
    ///
    /// Those of [`SharedMemory::create`] except `AlreadyExists`. `PermissionDenied` if the old object belongs to another user.
    /// `ResourceBusy` if another process holds the lock for more than one second (that process may be stopped). After an error
    /// the name is unchanged.
    pub fn replace(name: impl AsRef<OsStr>, len: usize) -> io::Result<Self> {
        Self::replace_with(name, len, |_| Ok(()))
    }

    /// Like [`create`](Self::create), but calls `init` to set up the memory before the object gets its name. So a process that
    /// opens the name always finds complete memory, even if this process is killed.
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

    /// Like [`replace`](Self::replace), but calls `init` to set up the new memory before the object gets the name. See
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

    /// Returns the name as the caller has written it, with or without a leading slash.
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
    /// `ResourceBusy` if another process holds the lock for more than one second (that process may be stopped). After an error
    /// the name is unchanged.
    pub fn unlink(mut self) -> io::Result<()> {
        self.owner = None;
        self.remove()
    }

    /// Gives up the ownership of the name, and returns the memory. The name stays until somebody removes it, for instance with
    /// [`SharedMemory::unlink`].
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
