//! Locks on bytes of a file that belong to an open file description (`F_OFD_SETLK`, Linux 3.15; fcntl(2)).
//!
//! The kernel drops such a lock when the last reference to the description is gone: its last descriptor in any process, and the
//! last mapping that was made through it. So the lock of a killed process is dropped, and a `close` of another descriptor of the
//! same file has no effect on the lock (unlike that of a traditional lock of fcntl).
//!
//! The bytes need not exist in the file.
#![expect(unsafe_code, reason = "fcntl with a pointer to a struct")]

use futex_sys::__private::explain;
use libc::{c_int, c_short, off_t};
use rustix::io::Errno;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};

/// Tries to get the write lock of a range of bytes. Returns false if another description has a lock on one of them.
///
/// # Errors
///
/// Those of fcntl(2): for example `EBADF` after other code has closed the descriptor.
pub(crate) fn try_lock(file: impl AsFd, bytes: Range<u32>) -> io::Result<bool> {
    match fcntl(&file, libc::F_OFD_SETLK, libc::F_WRLCK, bytes) {
        Ok(_) => Ok(true),
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(false),
        Err(errno) => Err(explain(errno, "cannot lock a byte of the region's file")),
    }
}

/// Unlocks a range of bytes that this description has locked.
///
/// # Errors
///
/// As [`try_lock`].
pub(crate) fn unlock(file: impl AsFd, bytes: Range<u32>) -> io::Result<()> {
    fcntl(&file, libc::F_OFD_SETLK, libc::F_UNLCK, bytes)
        .map(drop)
        .map_err(|errno| explain(errno, "cannot unlock a byte of the region's file"))
}

/// Returns the range of a write lock that *another* description has on one of the bytes. The range is longer than one byte if the lock
/// covers several bytes.
///
/// # Errors
///
/// As [`try_lock`].
pub(crate) fn locked_by_others(file: impl AsFd, bytes: Range<u32>) -> io::Result<Option<Range<u32>>> {
    // As a reader, so that read locks of other programs do not conflict. No member has a read lock.
    let found = fcntl(&file, libc::F_OFD_GETLK, libc::F_RDLCK, bytes)
        .map_err(|errno| explain(errno, "cannot check which process has locked a byte of the region's file"))?;
    if c_int::from(found.l_type) == libc::F_UNLCK {
        return Ok(None);
    }
    let start = u32::try_from(found.l_start).unwrap_or(0);
    // A length of 0 means: to the end of the file, however long it becomes.
    let len = if found.l_len == 0 { u32::MAX } else { u32::try_from(found.l_len).unwrap_or(u32::MAX) };
    Ok(Some(start..start.saturating_add(len)))
}

fn fcntl(file: impl AsFd, command: c_int, kind: c_int, bytes: Range<u32>) -> Result<libc::flock, Errno> {
    // SAFETY: All zero is a valid `flock`. (Its fields, and whether it has padding, depend on the processor.)
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as c_short;
    lock.l_whence = libc::SEEK_SET as c_short;
    lock.l_start = off_t::from(bytes.start as i32);
    lock.l_len = off_t::from(bytes.len() as i32);
    loop {
        // SAFETY: The three commands read and write one `flock`, which outlives the call.
        if unsafe { libc::fcntl(file.as_fd().as_raw_fd(), command, &raw mut lock) } != -1 {
            return Ok(lock);
        }
        let errno = Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO);
        if errno != Errno::INTR {
            return Err(errno);
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use futex_sys::SharedMemory;
    use std::fs::File;

    fn two_descriptions() -> (SharedMemory, File) {
        let memory = SharedMemory::anonymous(4096).unwrap();
        let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
        let other = File::options().read(true).write(true).open(path).unwrap();
        (memory, other)
    }

    #[test]
    fn a_lock_excludes_other_descriptions_until_it_is_unlocked() {
        let (memory, other) = two_descriptions();
        assert!(try_lock(&memory, 70..71).unwrap());
        assert!(!try_lock(&other, 70..71).unwrap());
        assert!(try_lock(&other, 71..72).unwrap());
        unlock(&memory, 70..71).unwrap();
        assert!(try_lock(&other, 70..71).unwrap());
    }

    #[test]
    fn a_lock_of_ones_own_is_not_reported() {
        let (memory, other) = two_descriptions();
        assert!(try_lock(&memory, 70..73).unwrap());
        assert_eq!(locked_by_others(&memory, 71..72).unwrap(), None);
        assert_eq!(locked_by_others(&other, 71..72).unwrap(), Some(70..73));
        assert_eq!(locked_by_others(&other, 73..74).unwrap(), None);
    }

    /// A program that only looks may lock for reading.
    #[test]
    fn a_read_lock_is_not_reported() {
        let (memory, other) = two_descriptions();
        fcntl(&other, libc::F_OFD_SETLK, libc::F_RDLCK, 70..71).unwrap();
        assert_eq!(locked_by_others(&memory, 70..71).unwrap(), None);
        unlock(&other, 70..71).unwrap();
        assert!(try_lock(&other, 70..71).unwrap());
        assert_eq!(locked_by_others(&memory, 70..71).unwrap(), Some(70..71));
    }

    #[test]
    fn a_mapping_keeps_the_lock_of_a_closed_descriptor() {
        let (memory, other) = two_descriptions();
        let mapped = SharedMemory::from_fd(other.into()).unwrap();
        assert!(try_lock(&mapped, 70..71).unwrap());
        assert_eq!(locked_by_others(&memory, 70..71).unwrap(), Some(70..71));
        drop(mapped);
        assert_eq!(locked_by_others(&memory, 70..71).unwrap(), None);
    }
}
