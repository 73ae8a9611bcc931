//! Looking at a word for a moment before sleeping on it.

use futex_sys::Word;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a wait looks at its word before it sleeps, at most.
///
/// A partner that answers within microseconds is faster than going to sleep and being woken. So a wait may look at the word
/// for a bounded time first. It does where the wait before on the same futex was over within four times this limit, and as
/// long as it pays off: after eight looks without a fast answer the next waits sleep at once, sixteen of them at first, then
/// twice as many each time, up to 4,096. (An answer is fast within a fifth of the limit. It takes some looks until two sides
/// that both sleep find out that they could be faster.) On a machine with one processor no wait ever looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spin {
    limit: Duration,
}

impl Spin {
    /// Never look, sleep at once.
    pub const OFF: Self = Self { limit: Duration::ZERO };

    /// Look for up to `limit`, which may not be longer than a millisecond, and is cut to that: other tasks of the thread
    /// wait meanwhile.
    #[must_use]
    pub const fn up_to(limit: Duration) -> Self {
        const LONGEST: Duration = Duration::from_millis(1);
        if limit.as_nanos() > LONGEST.as_nanos() { Self { limit: LONGEST } } else { Self { limit } }
    }

    /// For how long a wait looks at most.
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

/// Decides for one futex whether looking pays off, and does it.
///
/// Clones begin with what the original has learned, and learn on their own.
#[derive(Debug)]
pub struct Spinner {
    spin: Spin,
    /// What was learned: see [`Learned`].
    learned: AtomicU32,
    made: Instant,
    /// When the latest wait went to sleep. With several at a time, the advice is about the latest.
    begun: AtomicU64,
}

/// What the latest waits have taught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Learned {
    /// The last wait that slept was over soon.
    brisk: bool,
    /// How many more looks without a fast answer until waits sleep at once.
    tries: u8,
    /// How many more waits sleep at once.
    pause: u16,
    /// How many times in a row there was no fast answer in all tries.
    vain: u8,
}

/// Within this part of the limit an answer is fast.
const FAST: u32 = 5;
/// A wait that slept was over soon within so many limits.
const SOON: u32 = 4;
const TRIES: u8 = 8;
/// The waits of the first pause, and how often it doubles.
const PAUSE: u16 = 16;
const DOUBLINGS: u8 = 8;

impl Learned {
    const NEW: Self = Self { brisk: false, tries: TRIES, pause: 0, vain: 0 };

    /// Whether this wait looks, and what is known from then on.
    fn decide(self) -> (bool, Self) {
        match (self.brisk, self.pause) {
            (false, _) => (false, self),
            (true, 0) => (true, self),
            (true, pause) => (false, Self { pause: pause - 1, ..self }),
        }
    }

    /// A wait looked, and saw a change fast or not.
    fn looked(self, fast: bool) -> Self {
        match self.tries {
            _ if fast => Self { tries: TRIES, vain: 0, ..self },
            0 | 1 => Self { tries: TRIES, pause: PAUSE << self.vain, vain: (self.vain + 1).min(DOUBLINGS), ..self },
            tries => Self { tries: tries - 1, ..self },
        }
    }

    fn pack(self) -> u32 {
        u32::from(self.brisk) << 24 | u32::from(self.tries) << 20 | u32::from(self.vain) << 16 | u32::from(self.pause)
    }

    fn unpack(packed: u32) -> Self {
        let four = |shift: u32| (packed >> shift) as u8 & 15;
        Self { brisk: packed >> 24 & 1 == 1, tries: four(20), vain: four(16), pause: packed as u16 }
    }
}

impl Spinner {
    /// A spinner that has learned nothing yet.
    #[must_use]
    pub fn new(spin: Spin) -> Self {
        // With one processor the partner runs when this thread sleeps, and not before. (Asked for the first spinner, whatever its
        // setting: a thread that is pinned later would take its one processor for the machine's.)
        let spin = if is_alone() { Spin::OFF } else { spin };
        let learned = AtomicU32::new(Learned::NEW.pack());
        Self { spin, learned, made: Instant::now(), begun: AtomicU64::new(0) }
    }

    /// The setting; [`Spin::OFF`] on a machine with one processor.
    #[must_use]
    pub fn setting(&self) -> Spin {
        self.spin
    }

    /// Looks at `word` for a moment, if that is likely to pay off, and tells whether it has stopped being `expected`. Where it
    /// has not the wait sleeps, and [`slept`](Spinner::slept) is to be told when it is over.
    #[inline]
    pub fn spin(&self, word: &Word, expected: u32) -> bool {
        self.spin != Spin::OFF && self.spin_on(word, expected)
    }

    #[cold]
    fn spin_on(&self, word: &Word, expected: u32) -> bool {
        // Ordering: Relaxed, here and below. It is advice; two threads that learn at once may forget what one of them learned.
        let (looks, mut learned) = self.learned().decide();
        let mut changed = false;
        if looks {
            let seen = look(word, expected, self.spin.limit);
            learned = learned.looked(seen.is_some_and(|after| after <= self.spin.limit / FAST));
            changed = seen.is_some();
        }
        self.learned.store(learned.pack(), Ordering::Relaxed);
        if !changed {
            self.begun.store(self.now(), Ordering::Relaxed);
        }
        changed
    }

    /// A wait that slept is over.
    #[inline]
    pub fn slept(&self) {
        if self.spin != Spin::OFF {
            let time = self.now().saturating_sub(self.begun.load(Ordering::Relaxed));
            let brisk = Duration::from_nanos(time) <= self.spin.limit * SOON;
            self.learned.store(Learned { brisk, ..self.learned() }.pack(), Ordering::Relaxed);
        }
    }

    fn learned(&self) -> Learned {
        Learned::unpack(self.learned.load(Ordering::Relaxed))
    }

    /// Nanoseconds since this was made.
    fn now(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// True on a machine with one processor.
fn is_alone() -> bool {
    /// 0 while it is not known, then 1 for false, 2 for true. (Not a lazy value: a fork could leave its lock locked.)
    static KNOWN: AtomicU32 = AtomicU32::new(0);
    // Ordering: Relaxed, a number that guards no other memory.
    match KNOWN.load(Ordering::Relaxed) {
        0 => {
            let alone = thread::available_parallelism().is_ok_and(|processors| processors.get() == 1);
            KNOWN.store(1 + u32::from(alone), Ordering::Relaxed);
            alone
        }
        known => known == 2,
    }
}

impl Clone for Spinner {
    fn clone(&self) -> Self {
        let learned = AtomicU32::new(self.learned.load(Ordering::Relaxed));
        let begun = AtomicU64::new(self.begun.load(Ordering::Relaxed));
        Self { spin: self.spin, learned, made: self.made, begun }
    }
}

/// Looks until the word is not `expected`, and tells after how long; `None` where `limit` passed first.
#[cold]
fn look(word: &Word, expected: u32, limit: Duration) -> Option<Duration> {
    /// Looks between two looks at the clock.
    const LOOKS: u32 = 16;
    let start = Instant::now();
    let mut patience = limit / (FAST * FAST);
    loop {
        for _ in 0..LOOKS {
            // Ordering: Acquire, the partner is the release store of whoever changed it.
            if word.load(Ordering::Acquire) != expected {
                return Some(start.elapsed());
            }
            spin_loop();
        }
        let time = start.elapsed();
        if time >= limit {
            return None;
        }
        if time >= patience {
            // The partner may be waiting for this very processor.
            thread::yield_now();
            patience += limit / FAST;
        }
    }
}

#[cfg(test)]
mod tests;
