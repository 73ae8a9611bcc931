//! Looking at a word for a moment before sleeping on it.

use futex_sys::Word;
use std::hint::spin_loop;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a wait looks at its word before it sleeps, at most.
///
/// A partner that answers within microseconds is faster than going to sleep and being woken. So a wait may look at the word
/// for a bounded time first, where that has paid off lately on its futex. Where it has not, one wait in eight looks for a
/// microsecond, and nine in four thousand for the whole limit. (The latter is how two sides that both sleep find out that they
/// could be faster: the one that looks answers fast enough for the other to notice.) On a machine with one processor no
/// wait ever looks.
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
}

/// What the latest waits have taught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Learned {
    /// How many more looks in vain until waits sleep at once.
    credit: u8,
    /// Waits without credit, modulo [`CYCLE`].
    waits: u16,
}

/// How much of the limit a wait with credit looks for, and within which an answer counts as fast.
const FAST: u32 = 5;
/// The most looks in vain in a row that are paid for.
const MOST_CREDIT: u8 = 4;
/// Without credit: of so many waits...
const CYCLE: u16 = 4096;
/// ...the first few look for the whole limit, one after the other, enough for a partner that takes a short look at...
const LONG: u16 = 9;
/// ...one wait in so many.
const SHORT_EVERY: u16 = 8;
/// How long a short look is.
const SHORT: Duration = Duration::from_micros(1);

impl Learned {
    /// Of a new futex, which gets to its first long looks soon.
    const NEW: Self = Self { credit: 0, waits: CYCLE - 3 * SHORT_EVERY };

    /// For how long this wait looks, and what is known from then on.
    fn decide(self, limit: Duration) -> (Duration, Self) {
        if self.credit > 0 {
            return (limit / FAST, self);
        }
        let look = match self.waits {
            waits if waits < LONG => limit,
            waits if waits % SHORT_EVERY == 0 => SHORT.min(limit),
            _ => Duration::ZERO,
        };
        (look, Self { waits: (self.waits + 1) % CYCLE, ..self })
    }

    /// A wait looked, and saw a change fast or not.
    fn learn(self, fast: bool) -> Self {
        let credit = if fast { (self.credit + 2).min(MOST_CREDIT) } else { self.credit.saturating_sub(1) };
        Self { credit, ..self }
    }

    fn pack(self) -> u32 {
        u32::from(self.credit) << 16 | u32::from(self.waits)
    }

    fn unpack(packed: u32) -> Self {
        Self { credit: (packed >> 16) as u8, waits: packed as u16 }
    }
}

impl Spinner {
    /// A spinner that has learned nothing yet.
    #[must_use]
    pub fn new(spin: Spin) -> Self {
        static ALONE: LazyLock<bool> =
            LazyLock::new(|| std::thread::available_parallelism().is_ok_and(|processors| processors.get() == 1));
        // With one processor the partner runs when this thread sleeps, and not before.
        let spin = if *ALONE { Spin::OFF } else { spin };
        Self { spin, learned: AtomicU32::new(Learned::NEW.pack()) }
    }

    /// The setting; [`Spin::OFF`] on a machine with one processor.
    #[must_use]
    pub fn setting(&self) -> Spin {
        self.spin
    }

    /// Looks at `word` for a moment, if that has paid off lately, and tells whether it has stopped being `expected`.
    #[inline]
    pub fn spin(&self, word: &Word, expected: u32) -> bool {
        if self.spin == Spin::OFF {
            return false;
        }
        // Ordering: Relaxed. It is advice; two threads that learn at once may forget what one of them learned.
        let learned = Learned::unpack(self.learned.load(Ordering::Relaxed));
        let (time, mut learned) = learned.decide(self.spin.limit);
        let mut changed = false;
        if !time.is_zero() {
            let seen = look(word, expected, time);
            learned = learned.learn(seen.is_some_and(|after| after <= self.spin.limit / FAST));
            changed = seen.is_some();
        }
        self.learned.store(learned.pack(), Ordering::Relaxed);
        changed
    }
}

impl Clone for Spinner {
    fn clone(&self) -> Self {
        Self { spin: self.spin, learned: AtomicU32::new(self.learned.load(Ordering::Relaxed)) }
    }
}

/// Looks until the word is not `expected`, and tells after how long; `None` where `limit` passed first.
#[cold]
fn look(word: &Word, expected: u32, limit: Duration) -> Option<Duration> {
    /// Looks between two looks at the clock.
    const LOOKS: u32 = 16;
    let start = Instant::now();
    loop {
        for _ in 0..LOOKS {
            // Ordering: Acquire, the partner is the release store of whoever changed it.
            if word.load(Ordering::Acquire) != expected {
                return Some(start.elapsed());
            }
            spin_loop();
        }
        if start.elapsed() >= limit {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const LIMIT: Duration = Duration::from_micros(50);

    /// For how long `waits` look together, where none of them sees a change.
    fn look_in_vain(learned: &mut Learned, waits: u32) -> Duration {
        let mut sum = Duration::ZERO;
        for _ in 0..waits {
            let (time, next) = learned.decide(LIMIT);
            *learned = if time.is_zero() { next } else { next.learn(false) };
            sum += time;
        }
        sum
    }

    #[test]
    fn looking_in_vain_costs_little() {
        let mut learned = Learned::NEW;
        let waits = u32::from(CYCLE);
        assert!(look_in_vain(&mut learned, waits) < Duration::from_nanos(300) * waits);
    }

    #[test]
    fn an_answer_that_is_fast_is_waited_for_again_and_again() {
        let mut learned = Learned::NEW.learn(true);
        assert_eq!(learned.decide(LIMIT), (LIMIT / FAST, learned));
        for _ in 0..100 {
            learned = learned.learn(true);
        }
        // And given up after a few disappointments.
        for _ in 0..MOST_CREDIT {
            assert_eq!(learned.decide(LIMIT).0, LIMIT / FAST);
            learned = learned.learn(false);
        }
        assert_eq!(learned.credit, 0);
    }

    #[test]
    fn two_sides_that_sleep_find_each_other() {
        // Wherever the long looks of one side fall, the other side takes a short look meanwhile.
        for start in 0..CYCLE {
            let mut other = Learned { credit: 0, waits: start };
            let looks = (0..LONG).filter(|_| {
                let (time, next) = other.decide(LIMIT);
                other = next;
                !time.is_zero()
            });
            assert!(looks.count() >= 1, "{start}");
        }
    }

    #[test]
    fn what_was_learned_fits_in_a_word() {
        for credit in 0..=MOST_CREDIT {
            for waits in 0..CYCLE {
                let learned = Learned { credit, waits };
                assert_eq!(Learned::unpack(learned.pack()), learned);
            }
        }
    }

    #[test]
    fn a_change_is_seen_and_off_is_off() {
        let word = Word::from(Arc::new(AtomicU32::new(1)));
        let spinner = Spinner { spin: Spin::up_to(LIMIT), learned: AtomicU32::new(Learned::NEW.learn(true).pack()) };
        assert!(spinner.spin(&word, 0));
        assert!(!spinner.spin(&word, 1));
        assert!(!Spinner::new(Spin::OFF).spin(&word, 0));
    }

    #[test]
    fn the_limit_is_cut_to_a_millisecond() {
        assert_eq!(Spin::up_to(Duration::from_secs(1)).limit(), Duration::from_millis(1));
        assert_eq!(Spin::up_to(Duration::ZERO), Spin::OFF);
    }
}
