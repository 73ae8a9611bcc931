//! The lock that a process needs to change a POSIX name.
//!
//! Linux has no atomic "unlink if the name still leads to this object". So a process that removes or replaces a name
//!
//! 1. opens the object that has the name, with an open file description of its own,
//! 2. locks the object (`flock`),
//! 3. verifies that the name still leads to the object,
//! 4. changes the name,
//! 5. unlocks the object.
//!
//! So processes change a name one after the other: from step 3 to step 4, the name leads to the locked object. If a process dies
//! meanwhile, the kernel releases the lock, and the next process finds the name in its state before or after step 4.

use crate::error::{explain, fail};
use crate::object::{Identity, identity};
use crate::posix_name::PosixName;
use rustix::fs::{FileType, FlockOperation, flock, fstat};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

const FIRST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(10);
/// Maximum sum of the pauses. The lock is held for microseconds, unless its holder is stopped.
const PATIENCE: Duration = Duration::from_secs(1);

/// The object that has a name.
pub(crate) enum Holder {
    /// The name does not exist.
    Nobody,
    /// Not a regular file, not an object that this user may open, or not the wanted object. It was not locked.
    Unlockable,
    /// An object that keeps the name while the lock lives.
    Object(NameLock),
}

impl Holder {
    /// Locks the object that has the name.
    pub(crate) fn of(name: PosixName<'_>) -> io::Result<Self> {
        lock(name, None, || ())
    }
}

/// A lock on the object that has the name. Dropping it unlocks the object.
pub(crate) struct NameLock {
    file: OwnedFd,
}

impl NameLock {
    /// Locks the object with this identity. Returns `None` if the name leads to another object or does not exist.
    pub(crate) fn of(name: PosixName<'_>, object: Identity) -> io::Result<Option<Self>> {
        match lock(name, Some(object), || ())? {
            Holder::Object(lock) => Ok(Some(lock)),
            Holder::Nobody | Holder::Unlockable => Ok(None),
        }
    }
}

impl Drop for NameLock {
    fn drop(&mut self) {
        // Closing the descriptor is not enough: a child that was forked meanwhile has a copy of it.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Locks the object that has the name, if `wanted` is `None` or its identity. Calls `opened` between the steps 1 and 2, for
/// tests.
fn lock(name: PosixName<'_>, wanted: Option<Identity>, mut opened: impl FnMut()) -> io::Result<Holder> {
    let mut pause = FIRST_PAUSE;
    // The sum of the pauses, and not the elapsed time: a process that gets no processor for a while does not give up sooner.
    let mut paused = Duration::ZERO;
    loop {
        let file = match name.open_to_lock() {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(Holder::Nobody),
            // No permission, a symbolic link, a socket, or a device.
            Err(Errno::ACCESS | Errno::PERM | Errno::LOOP | Errno::NXIO | Errno::NODEV) if wanted.is_none() => {
                return Ok(Holder::Unlockable);
            }
            Err(errno) => return Err(explain(errno, format!("cannot open {name} to lock its name"))),
        };
        let stat = fstat(&file).map_err(|errno| explain(errno, format!("cannot get the metadata of {name}")))?;
        let object = identity(&stat);
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || wanted.is_some_and(|it| it != object) {
            return Ok(Holder::Unlockable);
        }
        opened();
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let lock = NameLock { file };
                if name.leads_to(object)? {
                    return Ok(Holder::Object(lock));
                }
                // Another process changed the name before this one had the lock. That process has progressed, so no pause is
                // needed.
                continue;
            }
            Err(Errno::WOULDBLOCK) => {}
            Err(errno) => return Err(explain(errno, format!("cannot lock the name of {name}"))),
        }
        if paused >= PATIENCE {
            return Err(fail(
                io::ErrorKind::ResourceBusy,
                format!(
                    "cannot change the name of {name}: another process has held its lock (`flock`) for a second. It may be \
                     stopped: continue it (SIGCONT) or end it, and try again"
                ),
            ));
        }
        thread::sleep(pause);
        paused += pause;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::named_memory::NamedMemory;

    fn name(what: &str) -> String {
        format!("/futex-sys-unit-lock-{what}-{}", std::process::id())
    }

    #[test]
    fn a_name_that_is_replaced_just_before_the_lock_is_not_locked_for_the_old_object() {
        let name = name("replaced");
        let old = NamedMemory::create(&name, 64).unwrap();
        let mut new = None;
        let replace = || {
            new.get_or_insert_with(|| NamedMemory::replace(&name, 64).unwrap());
        };
        let holder = lock(PosixName::new(&name).unwrap(), Some(old.identity()), replace).unwrap();
        assert!(matches!(holder, Holder::Unlockable));
        assert!(new.unwrap().is_current());
    }

    #[test]
    fn a_name_that_is_replaced_just_before_the_lock_is_locked_by_its_new_object() {
        let name = name("locked");
        let _old = NamedMemory::create(&name, 64).unwrap();
        let mut new = None;
        let replace = || {
            new.get_or_insert_with(|| NamedMemory::replace(&name, 64).unwrap());
        };
        let Holder::Object(lock) = lock(PosixName::new(&name).unwrap(), None, replace).unwrap() else {
            panic!("there is an object");
        };
        let new = new.unwrap();
        assert_eq!(identity(&fstat(&lock.file).unwrap()), new.identity());
        drop(lock);
        new.unlink().unwrap();
    }

    #[test]
    fn a_name_that_is_removed_just_before_the_lock_has_no_holder() {
        let name = name("gone");
        let mut old = Some(NamedMemory::create(&name, 64).unwrap());
        let holder = lock(PosixName::new(&name).unwrap(), None, || drop(old.take())).unwrap();
        assert!(matches!(holder, Holder::Nobody));
    }
}
