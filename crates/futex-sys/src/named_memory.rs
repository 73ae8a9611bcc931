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

/// Shared memory under a POSIX name that this process owns: dropping it removes the name.
///
/// It dereferences to the [`SharedMemory`]. Clones of that, and processes that have opened it, keep the memory after the
/// name is removed.
///
/// # When the name is removed
///
/// - The owner removes it when it is dropped, or by [`unlink`](Self::unlink). [`keep`](Self::keep) gives the name up instead.
/// - It does so only while the name still leads to its memory. An object with which another process has
///   [replaced](Self::replace) the memory stays.
/// - It does so only in the process that made it. A `fork` that drops its copy leaves the name alone.
/// - A process that ends without dropping the owner leaves the name behind: it is killed, it aborts, or it calls
///   [`std::process::exit`]. The next owner then uses [`replace`](Self::replace).
/// - A process without a descriptor left (`ulimit -n`) leaves the name behind too: the removal takes one for a moment.
///
/// # Several processes that change one name
///
/// Owners and [`SharedMemory::unlink`] lock the object that has the name (`flock`), verify that it still has it, change the
/// name, and unlock. So none of them ever removes or replaces another object than the one it means. That holds among users
/// of this library: `shm_unlink` in another program takes no lock. Hold no `flock` of your own on the memory's descriptor,
/// because the name can't be changed meanwhile.
///
/// The lock is held for microseconds. A process that is stopped in between (`SIGSTOP`) keeps it, and the others give up after
/// a second: with a `ResourceBusy` error, or, in `Drop`, by leaving the name. They block their thread meanwhile. A process that
/// dies loses the lock, unless a `fork` that was made of it within these microseconds, and has not called `exec`, lives on.
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
    /// The process whose drop removes the name.
    owner: Option<Origin>,
}

impl NamedMemory {
    /// New memory as by [`SharedMemory::create`].
    ///
    /// # Errors
    ///
    /// Those of [`SharedMemory::create`], among them `AlreadyExists` if the name is taken.
    pub fn create(name: impl AsRef<OsStr>, len: usize) -> io::Result<Self> {
        Self::create_with(name, len, |_| Ok(()))
    }

    /// New memory as by [`create`](Self::create), in place of the object that has the name, if there is one.
    ///
    /// This is for a process that starts again and wants none of what its predecessor left. At every moment, the name leads
    /// to the whole old object or to the whole new one. Processes that have the old one keep it and are not informed: let
    /// them watch the process that made it (see [`ProcessId`](crate::ProcessId)), or change and wake one of its words.
    ///
    /// If the process is killed during the call, the name leads to the old object or to the new one. A kill between two
    /// system calls at the very end also leaves a hidden file `.NAME.PID.NUMBER.tmp` in `/dev/shm`. In a sandbox without
    /// `/proc` or without `O_TMPFILE`, a kill at any time while the memory is made does so.
    ///
    /// # Errors
    ///
    /// Those of [`SharedMemory::create`] except `AlreadyExists`. `PermissionDenied` if the object there is another user's.
    /// `ResourceBusy` if another process holds the lock of the name for a second: it may be stopped. After an error the name
    /// is as it was.
    pub fn replace(name: impl AsRef<OsStr>, len: usize) -> io::Result<Self> {
        Self::replace_with(name, len, |_| Ok(()))
    }

    /// [`create`](Self::create) of memory that `init` sets up before it has its name. So another process that opens the name
    /// finds the memory set up, whenever this one is killed.
    ///
    /// In some sandboxes, `init` is called a second time, for other memory.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create), and that of `init`, after which there is neither a name nor memory.
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
    ///     memory.word(0)?.store(VERSION, Ordering::Relaxed); // the name is what publishes it
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

    /// [`replace`](Self::replace) with memory that `init` sets up before it has its name, as with
    /// [`create_with`](Self::create_with).
    ///
    /// # Errors
    ///
    /// Those of [`replace`](Self::replace), and that of `init`, after which the name is as it was.
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

    /// The name, as it was given.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// Returns true if the name leads to this memory now: nobody has removed or replaced it.
    ///
    /// Other programs may do so too. For instance systemd-logind removes the POSIX shared memory of a user who logs out
    /// (`RemoveIPC=` in `logind.conf(5)`).
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.memory.has_name(&self.name)
    }

    /// Removes the name now, and returns the error that dropping ignores.
    ///
    /// A `fork` may call it too.
    ///
    /// # Errors
    ///
    /// `NotFound` if the name no longer leads to this memory. `PermissionDenied` if this process may not remove it.
    /// `ResourceBusy` if another process holds the lock of the name for a second: it may be stopped. After an error the name
    /// is as it was.
    pub fn unlink(mut self) -> io::Result<()> {
        self.owner = None;
        self.remove()
    }

    /// Gives the name up, and returns the memory. The name stays until somebody [removes](SharedMemory::unlink) it.
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
            // The name is gone already, or stays: documented.
            let _ = self.remove();
        }
    }
}

impl fmt::Debug for NamedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedMemory").field("name", &self.name).field("memory", &self.memory).finish()
    }
}
