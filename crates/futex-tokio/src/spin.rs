//! Spinning on a word for a short time before a wait sleeps.

use futex_core::Word;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// The maximum time that a wait spins on its word before it sleeps.
///
/// A wait that spins loads the word again and again. If the word changes within microseconds, this is faster than a sleep and a
/// wake-up.
///
/// A futex spins only as long as that pays off. After eight waits in a row that spun in vain, there is a pause: the next 16
/// waits sleep at once. After eight more waits that spun in vain, the pause is 32 waits, and so on up to 4,096. When a spin sees
/// a change, the next pause is 16 waits again.
///
/// Each [`AsyncFutex`](crate::AsyncFutex) has its own counts. So create a futex once and use it for many waits. A clone starts
/// with a copy of the counts.
///
/// [`wait_any`](crate::wait_any()) and [owned waits](crate::WaitAsyncOwned) do not spin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spin {
    limit: Duration,
}

impl Spin {
    /// No spinning: waits sleep at once.
    pub const OFF: Self = Self { limit: Duration::ZERO };

    /// Returns a setting with which waits spin for up to `limit`.
    ///
    /// If `limit` is longer than 1 ms, 1 ms is used, because the thread runs no other task while a wait spins.
    #[must_use]
    pub const fn up_to(limit: Duration) -> Self {
        const LONGEST: Duration = Duration::from_millis(1);
        if limit.as_nanos() > LONGEST.as_nanos() { Self { limit: LONGEST } } else { Self { limit } }
    }

    /// Returns the maximum time that a wait spins.
    #[must_use]
    pub const fn limit(self) -> Duration {
        self.limit
    }
}

impl Default for Spin {
    /// Returns [`OFF`](Spin::OFF).
    fn default() -> Self {
        Self::OFF
    }
}

/// Number of waits in a row that spin in vain before a pause.
const TRIES: u8 = 8;
/// Number of waits in the first pause.
const FIRST_PAUSE: u16 = 16;
/// Number of waits in the longest pause.
const LONGEST_PAUSE: u16 = 4_096;

/// Spins on the word of one futex, as long as that pays off.
///
/// Ordering: Relaxed for all fields. They are hints. If two threads update them at once, one update may be lost.
#[derive(Debug)]
pub(crate) struct Spinner {
    setting: Spin,
    /// Number of waits in a row that have spun in vain, since the last pause.
    vain: AtomicU8,
    /// Number of waits that remain in this pause.
    pause: AtomicU16,
    /// Number of waits in the next pause.
    next_pause: AtomicU16,
}

impl Spinner {
    /// Creates a spinner that has not spun yet.
    pub(crate) fn new(setting: Spin) -> Self {
        Self { setting, vain: 0.into(), pause: 0.into(), next_pause: FIRST_PAUSE.into() }
    }

    pub(crate) fn setting(&self) -> Spin {
        self.setting
    }

    /// Spins on `word`, if that is likely to pay off. Returns true if a load has found a value other than `expected`.
    #[inline]
    pub(crate) fn spin(&self, word: &Word, expected: u32) -> bool {
        self.setting != Spin::OFF && self.spin_or_pause(word, expected)
    }

    #[cold]
    fn spin_or_pause(&self, word: &Word, expected: u32) -> bool {
        let pause = self.pause.load(Ordering::Relaxed);
        if pause > 0 {
            self.pause.store(pause - 1, Ordering::Relaxed);
            return false;
        }
        let changed = changes_within(self.setting.limit, word, expected);
        let vain = self.vain.load(Ordering::Relaxed) + 1;
        if changed {
            self.next_pause.store(FIRST_PAUSE, Ordering::Relaxed);
        } else if vain == TRIES {
            let pause = self.next_pause.load(Ordering::Relaxed);
            self.pause.store(pause, Ordering::Relaxed);
            self.next_pause.store(LONGEST_PAUSE.min(2 * pause), Ordering::Relaxed);
        }
        self.vain.store(if changed { 0 } else { vain % TRIES }, Ordering::Relaxed);
        changed
    }
}

impl Clone for Spinner {
    fn clone(&self) -> Self {
        Self {
            setting: self.setting,
            vain: self.vain.load(Ordering::Relaxed).into(),
            pause: self.pause.load(Ordering::Relaxed).into(),
            next_pause: self.next_pause.load(Ordering::Relaxed).into(),
        }
    }
}

/// Loads `word` until it differs from `expected` or `limit` has passed. Returns true if it differs.
fn changes_within(limit: Duration, word: &Word, expected: u32) -> bool {
    /// Number of loads between two readings of the clock.
    const LOADS: u32 = 16;
    let start = Instant::now();
    loop {
        for _ in 0..LOADS {
            // Ordering: Acquire. The partner is the release store of the process that changes the word.
            if word.load(Ordering::Acquire) != expected {
                return true;
            }
            spin_loop();
        }
        // This does not yield: if more threads are runnable than there are processors, a yield can take milliseconds.
        if start.elapsed() >= limit {
            return false;
        }
    }
}

#[cfg(test)]
mod tests;
