//! The robust mutex of pthreads, for the lab and for `rivals`.
#![expect(unsafe_code, reason = "the C library's locks are called by pointers")]

use anyhow::Result;
use futex_sys::SharedMemory;
use std::io;
use std::mem::MaybeUninit;

/// A mutex of pthreads, robust and shared by processes, at the start of shared memory.
#[derive(Clone)]
pub(crate) struct RobustMutex(SharedMemory);

impl RobustMutex {
    /// Makes a mutex in memory that nobody uses yet.
    pub(crate) fn make(memory: SharedMemory) -> Result<Self> {
        assert!(size_of::<libc::pthread_mutex_t>() <= memory.len(), "the memory has no room for a mutex");
        let mut attributes = MaybeUninit::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: The first call initialises the attributes. The mutex has room, at the start of a page, and nobody uses it yet.
        let results = unsafe {
            [
                libc::pthread_mutexattr_init(attributes),
                libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED),
                libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST),
                libc::pthread_mutex_init(memory.as_ptr().cast(), attributes),
            ]
        };
        results.into_iter().try_for_each(check)?;
        Ok(Self(memory))
    }

    /// The mutex in memory in which a process has [made](Self::make) one.
    pub(crate) fn of(memory: SharedMemory) -> Self {
        Self(memory)
    }

    pub(crate) fn memory(&self) -> &SharedMemory {
        &self.0
    }

    /// Locks. Returns true if the last owner has died.
    #[inline]
    pub(crate) fn lock(&self) -> Result<bool> {
        // SAFETY: The memory has a mutex, and stays mapped. In a situation of `rivals` with garbage it has anything, and the call
        // may do anything: that is the purpose of that process.
        match unsafe { libc::pthread_mutex_lock(self.0.as_ptr().cast()) } {
            0 => Ok(false),
            libc::EOWNERDEAD => {
                // SAFETY: As above. This thread has just locked the mutex.
                check(unsafe { libc::pthread_mutex_consistent(self.0.as_ptr().cast()) })?;
                Ok(true)
            }
            error => check(error).map(|()| false),
        }
    }

    #[inline]
    pub(crate) fn unlock(&self) -> Result<()> {
        // SAFETY: As in `lock`.
        check(unsafe { libc::pthread_mutex_unlock(self.0.as_ptr().cast()) })
    }
}

/// An error that the C library returns as a number.
#[inline]
pub(crate) fn check(error: i32) -> Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error).into()) }
}
