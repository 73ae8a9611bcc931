//! The ways to wait on Linux, each a [`Queue`](crate::queue::Queue).

mod stray;
pub(crate) mod thread;
#[cfg(feature = "uring")]
pub(crate) mod uring;
pub(crate) mod waitv;

pub(crate) use stray::Turn;

use crate::queue::FutexWord;
use futex_sys::Word;
use std::num::NonZeroU32;
use std::sync::atomic::Ordering;

/// Passes a wake that a wait has consumed, and that its owner can't act on, to the next waiter of the word whose mask shares a
/// bit with `mask`, in whatever process. `mask` is the one of the wait.
///
/// A future that is dropped does it by itself. This is for code that received [`Woken`](crate::Outcome::Woken) and gives up
/// after that, for instance because of a panic.
pub fn hand_on(word: &Word, mask: NonZeroU32) {
    word.hand_on(mask);
}

impl FutexWord for Word {
    #[inline]
    fn value(&self) -> u32 {
        self.load(Ordering::Acquire)
    }

    fn hand_on(&self, mask: NonZeroU32) {
        if let Some(turn) = stray::hand_on(self, mask) {
            turn();
        }
    }
}
