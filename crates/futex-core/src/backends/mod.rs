//! The three backends. Each implements [`Queue`](crate::queue::Queue).

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

/// Passes a consumed wake to the next waiter of the word, in any process, whose mask shares a bit with `mask`. Pass the mask of
/// the wait that consumed the wake.
///
/// Dropping a wait does this by itself. This function is for code that received [`Woken`](crate::Outcome::Woken) but can't act
/// on it, for instance because of a panic.
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
