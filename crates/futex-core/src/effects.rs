//! Actions that a thread collects under a lock and performs after it has released the lock.

use crate::queue::FutexWord;
use arrayvec::ArrayVec;
use std::any::Any;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;

/// Maximum number of effects that are collected before the lock is released to perform them. It is small under loom, so that
/// the models explore more than one batch.
const BATCH: usize = if cfg!(loom) { 2 } else { 32 };

/// An action that must not happen under a lock, because it is slow or runs foreign code.
pub(crate) enum Effect<W> {
    /// Wake a task.
    Wake(Waker),
    /// Pass a consumed wake to the next waiter of the word.
    HandOn(W, NonZeroU32),
    /// Drop a waker.
    Forget(Waker),
    /// Drop a word.
    Release(W),
}

/// A batch of effects, in the order of their causes. Dropping the batch performs them.
pub(crate) struct Effects<W: FutexWord>(ArrayVec<Effect<W>, BATCH>);

impl<W: FutexWord> Effects<W> {
    pub(crate) fn new() -> Self {
        Self(ArrayVec::new())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.is_full()
    }

    /// Adds an effect, if there is one. The batch must not be full.
    pub(crate) fn extend(&mut self, effect: Option<Effect<W>>) {
        if let Some(effect) = effect {
            self.0.push(effect);
        }
    }

    /// Performs all effects. The caller must not hold a lock of this crate.
    #[inline]
    pub(crate) fn perform(&mut self) {
        if !self.0.is_empty() {
            perform(self.0.drain(..));
        }
    }
}

impl<W: FutexWord> Drop for Effects<W> {
    fn drop(&mut self) {
        self.perform();
    }
}

/// Performs effects. The caller must not hold a lock of this crate.
///
/// If a waker or the owner of a word panics, the other effects are still performed. The panic is swallowed: the caller did
/// not cause it, and the panic hook has reported it.
pub(crate) fn perform<W: FutexWord>(effects: impl IntoIterator<Item = Effect<W>>) {
    let mut effects = effects.into_iter();
    let mut panicked = None;
    // Each pass ends with the last effect or with one that panics.
    while let Err(payload) = catch_unwind(AssertUnwindSafe(|| effects.by_ref().for_each(Effect::perform))) {
        if let Some(another) = panicked.replace(payload) {
            std::mem::forget(another); // its `Drop` may panic as well
        }
    }
    if let Some(payload) = panicked {
        swallow::<W>(payload);
    }
}

#[cold]
fn swallow<W: FutexWord>(payload: Box<dyn Any + Send>) {
    if W::RAISES_PANICS {
        resume_unwind(payload);
    }
    std::mem::forget(payload); // its `Drop` may panic as well
}

impl<W: FutexWord> Effect<W> {
    /// Performs one effect, like [`perform`].
    #[inline]
    pub(crate) fn perform_alone(self) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| self.perform())) {
            swallow::<W>(payload);
        }
    }

    #[inline]
    fn perform(self) {
        match self {
            Self::Wake(waker) => waker.wake(),
            Self::HandOn(word, mask) => word.hand_on(mask),
            Self::Forget(waker) => drop(waker),
            Self::Release(word) => drop(word),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use futex_sys::Word;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Panics(AtomicU32);

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
            panic!("a waker panics");
        }
    }

    #[test]
    fn a_waker_that_panics_stops_neither_the_other_effects_nor_the_caller() {
        let counts = Arc::new(Panics::default());
        let mut effects = Effects::<Word>::new();
        for _ in 0..BATCH {
            effects.extend(Some(Effect::Wake(Waker::from(counts.clone()))));
        }
        effects.perform();
        assert_eq!(counts.0.load(Ordering::Relaxed), BATCH as u32);
        effects.extend(Some(Effect::Wake(Waker::from(counts.clone()))));
        drop(effects);
        assert_eq!(counts.0.load(Ordering::Relaxed), BATCH as u32 + 1);
    }
}
