//! futex-ipc: a mutex with a value, in a region with a name.

use crate::handle::{Handle, scribble};
use anyhow::{Context, Result};
use futex_ipc::{Mutex, OwnedMutexGuard, Region};
use futex_sys::SharedMemory;
use std::sync::Arc;

struct Ours {
    mutex: Arc<Mutex<[u32; 2]>>,
    guard: Option<OwnedMutexGuard<[u32; 2]>>,
    name: String,
}

pub(super) fn open(name: &str) -> Result<Box<dyn Handle>> {
    let region = Region::builder().open_or_create(name)?;
    let mutex = Arc::new(Mutex::open_or_create(&region, "value", [0; 2])?);
    Ok(Box::new(Ours { mutex, guard: None, name: name.into() }))
}

impl Ours {
    fn guard(&mut self) -> Result<&mut OwnedMutexGuard<[u32; 2]>> {
        self.guard.as_mut().context("the lock is not held")
    }
}

impl Handle for Ours {
    fn version(&self) -> String {
        "this workspace".into()
    }

    fn hold(&mut self) -> Result<String> {
        let mut guard = self.mutex.clone().blocking_lock_owned()?;
        let report = if guard.predecessor_died() { "predecessor_died" } else { "" };
        guard.settle();
        self.guard = Some(guard);
        Ok(report.into())
    }

    fn release(&mut self) -> Result<()> {
        self.guard = None;
        Ok(())
    }

    fn store(&mut self, value: u32) -> Result<()> {
        let guard = self.guard()?;
        **guard = [value; 2];
        guard.checkpoint();
        Ok(())
    }

    fn store_half(&mut self, value: u32) -> Result<()> {
        self.guard()?[0] = value;
        Ok(())
    }

    fn load(&mut self) -> Result<[u32; 2]> {
        match &self.guard {
            Some(guard) => Ok(**guard),
            None => {
                Ok(*self.mutex.try_lock()?.context("the value can be loaded only with the lock, which is taken")?)
            }
        }
    }

    fn scribble(&mut self, random: &mut fastrand::Rng) -> Result<()> {
        let memory = SharedMemory::open(&self.name)?;
        scribble(memory.as_words(), random);
        Ok(())
    }
}
