//! The locks of POSIX that live in shared memory: a robust mutex, and a named semaphore with one permit.
#![expect(unsafe_code, reason = "the C library's locks are called by pointers")]

use crate::handle::{Halves, Handle, scribble};
use crate::robust_mutex::RobustMutex;
use anyhow::{Result, bail, ensure};
use futex_sys::SharedMemory;
use std::ffi::CString;
use std::io;
use std::sync::atomic::AtomicU32;

/// Bytes of the shared memory.
const LEN: usize = 4096;
/// Index of the value's first half in the shared memory: beyond the mutex.
const VALUE: usize = 64;

const _: () = assert!(size_of::<libc::pthread_mutex_t>() <= VALUE * 4);

struct Robust {
    mutex: RobustMutex,
}

/// The semaphore is an object with a name of its own. The value is in a second object.
struct Semaphore {
    semaphore: *mut libc::sem_t,
    its_memory: SharedMemory,
    memory: SharedMemory,
}

/// Opens the mutex. The first process makes it, before it starts the next one.
pub(super) fn robust_mutex(name: &str) -> Result<Box<dyn Handle>> {
    let mutex = match SharedMemory::create(format!("/{name}"), LEN) {
        Ok(memory) => RobustMutex::make(memory)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            RobustMutex::of(SharedMemory::open(format!("/{name}"))?)
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Box::new(Robust { mutex }))
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

impl Robust {
    fn value(&self) -> Halves<'_> {
        Halves(&self.mutex.memory().as_words()[VALUE..])
    }
}

impl Handle for Robust {
    fn version(&self) -> String {
        c_library()
    }

    fn hold(&mut self) -> Result<String> {
        let has_died = self.mutex.lock()?;
        Ok(if has_died { "EOWNERDEAD".into() } else { String::new() })
    }

    fn release(&mut self) -> Result<()> {
        self.mutex.unlock()
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
        scribble(self.mutex.memory().as_words(), random);
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
