//! A process that reads beside another reader.

use super::posix::SharedRwLock;
use crate::hull::Hull;
use anyhow::Result;
use futex_ipc::{Region, RwLock};
use futex_tokio::{SharedMemory, Word};
use serde::{Deserialize, Serialize};
use std::sync::atomic::Ordering::{Acquire, Relaxed};

/// A read-write lock that processes share.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Reader {
    Ours,
    Pthread,
}

/// A value of the control word. The other process sleeps.
pub(crate) const REST: u32 = 0;
/// A value of the control word. The other process shall read.
pub(crate) const READ: u32 = 1;
/// A value of the control word. The other process reads.
pub(crate) const READS: u32 = 2;

/// Reads when the control word says so, until this process is killed.
pub(crate) fn read(reader: Reader, mut hull: Hull) -> Result<()> {
    let word = SharedMemory::from_fd(hull.take_fd()?)?.word(0)?;
    let object = hull.take_fd()?;
    match reader {
        Reader::Ours => {
            let lock = RwLock::open_or_create(&Region::builder().from_fd(object)?, "lock", ())?;
            read_with(&word, || {
                drop(lock.blocking_read()?);
                Ok(())
            })
        }
        Reader::Pthread => {
            let lock = SharedRwLock::of(SharedMemory::from_fd(object)?);
            read_with(&word, || lock.read())
        }
    }
}

fn read_with(word: &Word, read: impl Fn() -> Result<()>) -> Result<()> {
    loop {
        word.wait(REST, None)?;
        if word.compare_exchange(READ, READS, Acquire, Relaxed).is_ok() {
            read()?;
            word.wake(1);
        }
        while word.load(Relaxed) == READS {
            read()?;
        }
    }
}
