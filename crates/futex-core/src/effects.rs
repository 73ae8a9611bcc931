//! What is to be done once a lock is released.

use crate::queue::FutexWord;
use arrayvec::ArrayVec;
use std::any::Any;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;

/// Maximum number of effects that are gathered before the lock is released for them. Small in the models, so that more than
/// one batch is explored.
const BATCH: usize = if cfg!(loom) { 2 } else { 32 };

/// Something that must not be done under a lock, because it is slow or runs code of others.
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

/// A batch of effects, in the order of their causes. They are performed when it is dropped.
pub(crate) struct Effects<W: FutexWord>(ArrayVec<Effect<W>, BATCH>);

impl<W: FutexWord> Effects<W> {
    pub(crate) fn new() -> Self {
        Self(ArrayVec::new())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.is_full()
    }

    /// Adds an effect, if there is one. The batch is not full.
    pub(crate) fn extend(&mut self, effect: Option<Effect<W>>) {
        if let Some(effect) = effect {
            self.0.push(effect);
        }
    }

    /// Performs all effects. No lock of this crate is held.
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

/// Performs effects. No lock of this crate is held.
///
/// A waker, or the code of a word's owner, that panics keeps none of the others from being performed. The panic ends here:
/// it is not the caller's, and the panic hook has reported it.
pub(crate) fn perform<W: FutexWord>(effects: impl IntoIterator<Item = Effect<W>>) {
    let mut effects = effects.into_iter();
    let mut panicked = None;
    // Each pass ends with the last effect, or with one that panics.
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
    /// [`perform`]s one effect.
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
    fn wakers_that_panic_keep_nothing_from_the_others_or_from_the_caller() {
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
