//! Words of the model kernel.

use super::Kernel;
use crate::queue::FutexWord;
use crate::sync::{AtomicU32, Ordering};
use std::num::NonZeroU32;
use std::sync::{Arc, Weak};

/// A word of the model kernel.
#[derive(Clone)]
pub(crate) struct ModelWord {
    kernel: Arc<Kernel>,
    value: Arc<AtomicU32>,
    _owner: Option<Arc<dyn Send + Sync>>,
}

impl ModelWord {
    pub(super) fn new(kernel: &Arc<Kernel>, owner: Option<Arc<dyn Send + Sync>>) -> Self {
        Self { kernel: kernel.clone(), value: Arc::new(AtomicU32::new(0)), _owner: owner }
    }

    /// Stores `value`. Ordering: Release; the partner is the load in [`FutexWord::value`].
    pub(crate) fn set(&self, value: u32) {
        self.value.store(value, Ordering::Release);
    }

    /// Wakes up to `n` waiters like a user, and turns the engine if the signal is set. Returns the number of woken waiters.
    pub(crate) fn wake(&self, n: u32) -> u32 {
        self.wake_with(n, NonZeroU32::MAX)
    }

    /// Like [`wake`](ModelWord::wake), but only for waiters whose mask shares a bit with `mask`.
    pub(crate) fn wake_with(&self, n: u32, mask: NonZeroU32) -> u32 {
        let woken = self.kernel.wake(self, n, mask, true);
        self.kernel.drive();
        woken
    }

    pub(super) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.value, &other.value)
    }
}

impl FutexWord for ModelWord {
    const RAISES_PANICS: bool = true;

    fn value(&self) -> u32 {
        self.value.load(Ordering::Acquire)
    }

    /// Hands on a wake. It takes all locks of the engine and turns it, like handing on may do on a backend with threads. So it
    /// deadlocks if the caller holds a lock.
    fn hand_on(&self, mask: NonZeroU32) {
        if let Some(engine) = self.kernel.engine.get().and_then(Weak::upgrade) {
            engine.take_locks();
        }
        self.kernel.wake(self, 1, mask, false);
        self.kernel.drive();
    }
}
