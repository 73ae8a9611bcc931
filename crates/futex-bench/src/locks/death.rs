//! Owners of a lock: the one that is killed, and the next one.

use super::lock::{Lock, NAME, Shared, reopen};
use crate::hull::Hull;
use crate::ours::Kind;
use crate::robust_mutex::RobustMutex;
use anyhow::Result;
use futex_ipc::{Mutex, Region};
use futex_tokio::SharedMemory;
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering::Release;
use std::time::Instant;

/// A function that takes the lock, notes the time, and releases the lock.
#[expect(clippy::type_complexity, reason = "it has one use")]
pub(crate) fn taker(lock: Lock, shared: &Shared) -> Result<Box<dyn FnMut() -> Result<(Instant, bool)> + Send>> {
    Ok(match (lock, shared) {
        (Lock::Blocking, Shared::Region(region)) => {
            let mutex = Mutex::open_or_create(region, NAME, ())?;
            Box::new(move || {
                let mut guard = mutex.blocking_lock()?;
                guard.settle();
                Ok((Instant::now(), guard.predecessor_died()))
            })
        }
        (Lock::Tasks, Shared::Region(region)) => {
            let mutex = Arc::new(Mutex::open_or_create(region, NAME, ())?);
            let runtime = Kind::CurrentThread.runtime()?;
            Box::new(move || {
                runtime.block_on(async {
                    let mut guard = mutex.lock().await?;
                    guard.settle();
                    Ok((Instant::now(), guard.predecessor_died()))
                })
            })
        }
        (Lock::Robust, Shared::Memory(memory)) => {
            let mutex = RobustMutex::of(memory.clone());
            Box::new(move || {
                let died = mutex.lock()?;
                let now = Instant::now();
                mutex.unlock()?;
                Ok((now, died))
            })
        }
        (_, Shared::File(file)) => {
            let file = reopen(file)?;
            Box::new(move || {
                flock(&file, FlockOperation::LockExclusive)?;
                let now = Instant::now();
                flock(&file, FlockOperation::Unlock)?;
                Ok((now, false))
            })
        }
        _ => anyhow::bail!("the lock has another object"),
    })
}

/// Owns the lock, until this process is killed.
pub(crate) fn hold(lock: Lock, mut hull: Hull) -> Result<()> {
    let control = SharedMemory::from_fd(hull.take_fd()?)?;
    let held = control.word(0)?;
    let object = hull.take_fd()?;
    let rest = || -> Result<()> {
        held.store(1, Release);
        held.wake(1);
        loop {
            held.wait(1, None)?;
        }
    };
    match lock {
        Lock::Blocking | Lock::Tasks => {
            let mutex = Mutex::open_or_create(&Region::builder().from_fd(object)?, NAME, ())?;
            let _guard = mutex.blocking_lock()?;
            rest()
        }
        Lock::Robust => {
            let mutex = RobustMutex::of(SharedMemory::from_fd(object)?);
            mutex.lock()?;
            rest()
        }
        Lock::Flock => {
            let file = reopen(&File::from(object))?;
            flock(&file, FlockOperation::LockExclusive)?;
            rest()
        }
    }
}
