//! The other locks of POSIX that processes share.
#![expect(unsafe_code, reason = "the C library's locks are called by pointers")]

use crate::robust_mutex::check;
use anyhow::Result;
use futex_tokio::SharedMemory;
use std::io;
use std::mem::MaybeUninit;

/// Bytes of the memory of a lock.
pub(crate) const LEN: usize = 4096;

/// A read-write lock of pthreads, shared by processes.
#[derive(Clone)]
pub(crate) struct SharedRwLock(SharedMemory);

/// A semaphore of POSIX, shared by processes.
pub(crate) struct SharedSemaphore(SharedMemory);

impl SharedRwLock {
    /// Makes a lock in new memory.
    pub(crate) fn make() -> Result<SharedMemory> {
        let memory = SharedMemory::anonymous(LEN)?;
        let mut attributes = MaybeUninit::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: The first call initialises the attributes. The lock has room, at the start of a page, and nobody uses it yet.
        let results = unsafe {
            [
                libc::pthread_rwlockattr_init(attributes),
                libc::pthread_rwlockattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED),
                libc::pthread_rwlock_init(memory.as_ptr().cast(), attributes),
            ]
        };
        results.into_iter().try_for_each(check)?;
        Ok(memory)
    }

    /// The lock in memory that [`make`](Self::make) has prepared.
    pub(crate) fn of(memory: SharedMemory) -> Self {
        Self(memory)
    }

    /// Reads, and ends that.
    #[inline]
    pub(crate) fn read(&self) -> Result<()> {
        // SAFETY: The memory has a lock, and stays mapped.
        check(unsafe { libc::pthread_rwlock_rdlock(self.0.as_ptr().cast()) })?;
        // SAFETY: As above. This thread reads.
        check(unsafe { libc::pthread_rwlock_unlock(self.0.as_ptr().cast()) })
    }
}

impl SharedSemaphore {
    pub(crate) fn new(permits: u32) -> Result<Self> {
        let memory = SharedMemory::anonymous(LEN)?;
        // SAFETY: The semaphore has room, at the start of a page, and nobody uses it yet.
        check_errno(unsafe { libc::sem_init(memory.as_ptr().cast(), 1, permits) })?;
        Ok(Self(memory))
    }

    /// Takes a permit, and gives it back.
    #[inline]
    pub(crate) fn take_and_give(&self) -> Result<()> {
        // SAFETY: The memory has a semaphore, and stays mapped.
        check_errno(unsafe { libc::sem_wait(self.0.as_ptr().cast()) })?;
        // SAFETY: As above.
        check_errno(unsafe { libc::sem_post(self.0.as_ptr().cast()) })
    }
}

/// An error that the C library leaves in `errno`.
#[inline]
fn check_errno(result: i32) -> Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error().into()) }
}
