//! Locks on a file: `flock` and the record locks of `fcntl`. The value is in the file, which each process maps.

use crate::handle::{Halves, Handle, scribble};
use anyhow::Result;
use futex_sys::SharedMemory;
use rustix::fs::{FlockOperation, fcntl_lock, flock as flock_call};
use rustix::io::{Errno, retry_on_intr};
use std::fs::File;

type Call = fn(&File, FlockOperation) -> Result<(), Errno>;

struct FileLock {
    call: Call,
    file: File,
    memory: SharedMemory,
}

pub(super) fn flock(name: &str) -> Result<Box<dyn Handle>> {
    open(name, |file, operation| flock_call(file, operation))
}

pub(super) fn fcntl(name: &str) -> Result<Box<dyn Handle>> {
    open(name, |file, operation| fcntl_lock(file, operation))
}

fn open(name: &str, call: Call) -> Result<Box<dyn Handle>> {
    let path = std::env::temp_dir().join(name);
    let file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
    file.set_len(8)?;
    // Never closed: a process that closes any descriptor of a file loses its record locks.
    let memory = SharedMemory::open_path(&path)?;
    Ok(Box::new(FileLock { call, file, memory }))
}

impl Handle for FileLock {
    fn version(&self) -> String {
        format!("Linux {}", rustix::system::uname().release().to_string_lossy())
    }

    fn hold(&mut self) -> Result<String> {
        retry_on_intr(|| (self.call)(&self.file, FlockOperation::LockExclusive))?;
        Ok(String::new())
    }

    fn release(&mut self) -> Result<()> {
        Ok((self.call)(&self.file, FlockOperation::Unlock)?)
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
        scribble(self.memory.as_words(), random);
        Ok(())
    }
}
