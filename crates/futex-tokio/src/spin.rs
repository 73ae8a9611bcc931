//! Spinning on a word for a moment before sleeping.

use futex_core::Word;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// The longest time that a wait spins on its word before it sleeps.
///
/// An answer that comes within microseconds is faster than a sleep and a wake-up. So a wait may load the word again and again
/// for a bounded time first. It does so as long as that pays off: after eight waits in a row that spun in vain, the next 16
/// waits sleep at once; after eight more that spun in vain, the next 32, and so on up to 4,096. After a change that a spin
/// saw, the next pause is 16 waits again. [`wait_any`](crate::wait_any()) and
/// [owned waits](crate::WaitAsyncOwned) do not spin.
///
/// Each [`AsyncFutex`](crate::AsyncFutex) learns this for itself, so keep it and use it for many waits. A clone begins with what
/// the original has learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spin {
    limit: Duration,
}

impl Spin {
    /// No spinning: waits sleep at once.
    pub const OFF: Self = Self { limit: Duration::ZERO };

    /// Spinning for up to `limit`. More than 1 ms counts as 1 ms, because the thread's other tasks wait meanwhile.
    #[must_use]
    pub const fn up_to(limit: Duration) -> Self {
        const LONGEST: Duration = Duration::from_millis(1);
        if limit.as_nanos() > LONGEST.as_nanos() { Self { limit: LONGEST } } else { Self { limit } }
    }

    /// The longest time that a wait spins.
    #[must_use]
    pub const fn limit(self) -> Duration {
        self.limit
    }
}

impl Default for Spin {
    /// [`OFF`](Spin::OFF).
    fn default() -> Self {
        Self::OFF
    }
}

/// Number of waits in a row that spin in vain before a pause.
const TRIES: u8 = 8;
/// Number of waits in the first pause, and in the longest.
const FIRST_PAUSE: u16 = 16;
const LONGEST_PAUSE: u16 = 4_096;

/// Spins on the word of one futex, as long as that pays off.
///
/// Ordering: Relaxed for all fields. They are advice; of two threads that learn at once, one may be forgotten.
#[derive(Debug)]
pub(crate) struct Spinner {
    setting: Spin,
    /// Number of waits in a row that have spun in vain since the last pause.
    vain: AtomicU8,
    /// Number of waits that are left of this pause.
    pause: AtomicU16,
    /// Number of waits in the next pause.
    next_pause: AtomicU16,
}

impl Spinner {
    /// A spinner that has learned nothing yet.
    pub(crate) fn new(setting: Spin) -> Self {
        Self { setting, vain: 0.into(), pause: 0.into(), next_pause: FIRST_PAUSE.into() }
    }

    pub(crate) fn setting(&self) -> Spin {
        self.setting
    }

    /// Spins on `word` for a moment, if that is likely to pay off. Returns true if the word has stopped being `expected`.
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

/// Loads `word` until it is not `expected`, or `limit` has passed. Returns true if the word has changed.
fn changes_within(limit: Duration, word: &Word, expected: u32) -> bool {
    /// Loads between two readings of the clock.
    const LOADS: u32 = 16;
    let start = Instant::now();
    loop {
        for _ in 0..LOADS {
            // Ordering: Acquire, the partner is the release store of the side that changed the word.
            if word.load(Ordering::Acquire) != expected {
                return true;
            }
            spin_loop();
        }
        // Without a yield: if more threads want to run than there are processors, a thread that yields gives up
        // milliseconds.
        if start.elapsed() >= limit {
            return false;
        }
    }
}

#[cfg(test)]
mod tests;
