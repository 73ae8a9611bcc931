//! What is to be done once a lock is released.

use crate::backend::FutexWord;
use arrayvec::ArrayVec;
use std::num::NonZeroU32;
use std::task::Waker;

/// How many effects are gathered before the lock is released for them. Small in the models, so that more than one batch is
/// explored.
const BATCH: usize = if cfg!(loom) { 2 } else { 32 };

/// Something that must not be done under a lock, because it is slow or runs somebody else's code.
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

/// A batch of effects, in the order of their causes. They are performed when it is dropped, so none is lost where one of
/// them panics.
pub(crate) struct Effects<W: FutexWord>(ArrayVec<Effect<W>, BATCH>);

impl<W: FutexWord> Effects<W> {
    pub(crate) fn new() -> Self {
        Self(ArrayVec::new())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.is_full()
    }

    /// Adds an effect. The batch is not full.
    pub(crate) fn push(&mut self, effect: Effect<W>) {
        self.0.push(effect);
    }

    /// [`push`](Effects::push) where there is one.
    pub(crate) fn extend(&mut self, effect: Option<Effect<W>>) {
        self.0.extend(effect);
    }

    /// Performs all effects. No lock of this crate is held.
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

/// Performs effects, all of them even where one panics. No lock of this crate is held.
pub(crate) fn perform<W: FutexWord>(effects: impl IntoIterator<Item = Effect<W>>) {
    struct Rest<W: FutexWord, I: Iterator<Item = Effect<W>>>(I);

    impl<W: FutexWord, I: Iterator<Item = Effect<W>>> Rest<W, I> {
        fn perform(&mut self) {
            for effect in self.0.by_ref() {
                match effect {
                    Effect::Wake(waker) => waker.wake(),
                    Effect::HandOn(word, mask) => word.hand_on(mask),
                    Effect::Forget(waker) => drop(waker),
                    Effect::Release(word) => drop(word),
                }
            }
        }
    }

    impl<W: FutexWord, I: Iterator<Item = Effect<W>>> Drop for Rest<W, I> {
        fn drop(&mut self) {
            self.perform();
        }
    }

    Rest(effects.into_iter()).perform();
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    struct Counts(AtomicU32);

    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            if self.0.fetch_add(1, Ordering::Relaxed) == 1 {
                panic!("the second waker panics");
            }
        }
    }

    #[test]
    fn a_waker_that_panics_keeps_no_wake_from_the_others() {
        let counts = Arc::new(Counts(AtomicU32::new(0)));
        let panicked = std::panic::catch_unwind({
            let counts = counts.clone();
            move || {
                let mut effects = Effects::<futex_sys::Word>::new();
                for _ in 0..5 {
                    effects.push(Effect::Wake(Waker::from(counts.clone())));
                }
                effects.perform();
            }
        });
        assert!(panicked.is_err());
        assert_eq!(counts.0.load(Ordering::Relaxed), 5);
    }
}
