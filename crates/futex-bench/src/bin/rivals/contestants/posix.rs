//! The locks of POSIX that live in shared memory: a robust mutex, and a named semaphore with one permit.
#![expect(unsafe_code, reason = "the C library's locks are called by pointers")]

use crate::handle::{Halves, Handle, scribble};
use anyhow::{Result, bail, ensure};
use futex_sys::SharedMemory;
use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::AtomicU32;

/// Bytes of the shared memory.
const LEN: usize = 4096;
/// Index of the value's first half in the shared memory: beyond the mutex.
const VALUE: usize = 64;

const _: () = assert!(size_of::<libc::pthread_mutex_t>() <= VALUE * 4);

struct RobustMutex {
    memory: SharedMemory,
}

/// The semaphore is an object with a name of its own. The value is in a second object.
struct Semaphore {
    semaphore: *mut libc::sem_t,
    its_memory: SharedMemory,
    memory: SharedMemory,
}

/// Opens the mutex. The first process makes it, before it starts the next one.
pub(super) fn robust_mutex(name: &str) -> Result<Box<dyn Handle>> {
    let memory = match SharedMemory::create(format!("/{name}"), LEN) {
        Ok(memory) => {
            init(mutex_in(&memory))?;
            memory
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => SharedMemory::open(format!("/{name}"))?,
        Err(error) => return Err(error.into()),
    };
    Ok(Box::new(RobustMutex { memory }))
}

pub(super) fn semaphore(name: &str) -> Result<Box<dyn Handle>> {
    let memory = SharedMemory::open_or_create(format!("/{name}"), LEN)?;
    let c_name = CString::new(format!("/{name}"))?;
    // SAFETY: the name ends with a zero byte, and the two arguments behind it are those that O_CREAT needs.
    let semaphore = unsafe { libc::sem_open(c_name.as_ptr(), libc::O_CREAT, 0o600, 1) };
    ensure!(semaphore != libc::SEM_FAILED, "sem_open: {}", io::Error::last_os_error());
    let its_memory = SharedMemory::open_path(format!("/dev/shm/sem.{name}"))?;
    Ok(Box::new(Semaphore { semaphore, its_memory, memory }))
}

fn mutex_in(memory: &SharedMemory) -> *mut libc::pthread_mutex_t {
    memory.as_ptr().cast()
}

fn init(mutex: *mut libc::pthread_mutex_t) -> Result<()> {
    let mut attributes = MaybeUninit::uninit();
    let attributes = attributes.as_mut_ptr();
    // SAFETY: the attributes are initialised by the first call. The mutex has room, at a page's start, and no other process
    // uses it yet.
    let results = unsafe {
        [
            libc::pthread_mutexattr_init(attributes),
            libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED),
            libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST),
            libc::pthread_mutex_init(mutex, attributes),
        ]
    };
    results.into_iter().try_for_each(check)
}

/// An error that the C library returns as a number.
fn check(error: i32) -> Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error).into()) }
}

/// The name and the version of the C library.
#[cfg(target_env = "gnu")]
fn c_library() -> String {
    // SAFETY: the function has no preconditions, and its text is a constant.
    let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
    format!("glibc {}", version.to_string_lossy())
}

#[cfg(not(target_env = "gnu"))]
fn c_library() -> String {
    "the C library".into()
}

impl RobustMutex {
    fn value(&self) -> Halves<'_> {
        Halves(&self.memory.as_words()[VALUE..])
    }
}

impl Handle for RobustMutex {
    fn version(&self) -> String {
        c_library()
    }

    fn hold(&mut self) -> Result<String> {
        let mutex = mutex_in(&self.memory);
        // SAFETY: the memory holds a mutex, and stays mapped. In the situation with garbage it holds anything, and the call may
        // do anything: that is what this process is for.
        match unsafe { libc::pthread_mutex_lock(mutex) } {
            libc::EOWNERDEAD => {
                // SAFETY: as above, and this thread has just locked the mutex.
                check(unsafe { libc::pthread_mutex_consistent(mutex) })?;
                Ok("EOWNERDEAD".into())
            }
            error => check(error).map(|()| String::new()),
        }
    }

    fn release(&mut self) -> Result<()> {
        // SAFETY: as in `hold`.
        check(unsafe { libc::pthread_mutex_unlock(mutex_in(&self.memory)) })
    }

    fn store(&mut self, value: u32) -> Result<()> {
        self.value().store(value);
        Ok(())
    }

    fn store_half(&mut self, value: u32) -> Result<()> {
        self.value().store_half(value);
        Ok(())
    }

    fn load(&mut self) -> Result<[u32; 2]> {
        Ok(self.value().load())
    }

    fn scribble(&mut self, random: &mut fastrand::Rng) -> Result<()> {
        scribble(self.memory.as_words(), random);
        Ok(())
    }
}

impl Handle for Semaphore {
    fn version(&self) -> String {
        c_library()
    }

    fn hold(&mut self) -> Result<String> {
        // SAFETY: `sem_open` returned the pointer, and it is never closed.
        while unsafe { libc::sem_wait(self.semaphore) } != 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                bail!(error);
            }
        }
        Ok(String::new())
    }

    fn release(&mut self) -> Result<()> {
        // SAFETY: as in `hold`.
        ensure!(unsafe { libc::sem_post(self.semaphore) } == 0, io::Error::last_os_error());
        Ok(())
    }

    fn store(&mut self, value: u32) -> Result<()> {
        Halves(self.memory.as_words()).store(value);
        Ok(())
    }

    fn store_half(&mut self, value: u32) -> Result<()> {
        Halves(self.memory.as_words()).store_half(value);
        Ok(())
    }

    fn load(&mut self) -> Result<[u32; 2]> {
        Ok(Halves(self.memory.as_words()).load())
    }

    fn scribble(&mut self, random: &mut fastrand::Rng) -> Result<()> {
        let words: [&[AtomicU32]; 2] = [self.its_memory.as_words(), self.memory.as_words()];
        words.into_iter().for_each(|words| scribble(words, random));
        Ok(())
    }
}
