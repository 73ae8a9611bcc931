//! Looking at a word for a moment before sleeping on it.

use futex_sys::Word;
use std::hint::spin_loop;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a wait looks at its word before it sleeps, at most.
///
/// A partner that answers within a microsecond is faster than going to sleep and being woken. So a wait may look at the
/// word for a bounded time first, where that has paid off lately on its futex; where it has not, only one wait in 256
/// tries it again. On a machine with one processor no wait ever does.
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
    /// Up to 5 microseconds.
    fn default() -> Self {
        Self::up_to(Duration::from_micros(5))
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
    /// How many more disappointments until waits sleep at once.
    credit: u8,
    /// The binary logarithm of the waits between two tries, while there is no credit.
    patience: u8,
    /// Waits that sleep at once before the next try.
    skip: u16,
}

/// The most disappointments in a row that are paid for.
const MOST_CREDIT: u8 = 4;
/// While there is no credit, one wait in 2^8 tries.
const MOST_PATIENCE: u8 = 8;

impl Learned {
    /// Of a new futex: two tries, to begin with.
    const NEW: Self = Self { credit: 2, patience: 0, skip: 0 };

    /// Whether this wait tries, and what is known afterwards if it does not.
    fn decide(self) -> (bool, Self) {
        if self.credit > 0 || self.skip == 0 {
            (true, self)
        } else {
            (false, Self { skip: self.skip - 1, ..self })
        }
    }

    /// It tried.
    fn learn(self, paid_off: bool) -> Self {
        if paid_off {
            return Self { credit: (self.credit + 1).clamp(2, MOST_CREDIT), patience: 0, skip: 0 };
        }
        let credit = self.credit.saturating_sub(1);
        if credit > 0 {
            return Self { credit, ..self };
        }
        let patience = (self.patience + 1).min(MOST_PATIENCE);
        Self { credit, patience, skip: (1 << patience) - 1 }
    }

    fn pack(self) -> u32 {
        u32::from(self.credit) | u32::from(self.patience) << 8 | u32::from(self.skip) << 16
    }

    fn unpack(packed: u32) -> Self {
        Self { credit: packed as u8, patience: (packed >> 8) as u8, skip: (packed >> 16) as u16 }
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
        let (tries, learned) = Learned::unpack(self.learned.load(Ordering::Relaxed)).decide();
        let (changed, learned) = if tries {
            let changed = look(word, expected, self.spin.limit);
            (changed, learned.learn(changed))
        } else {
            (false, learned)
        };
        self.learned.store(learned.pack(), Ordering::Relaxed);
        changed
    }
}

impl Clone for Spinner {
    fn clone(&self) -> Self {
        Self { spin: self.spin, learned: AtomicU32::new(self.learned.load(Ordering::Relaxed)) }
    }
}

/// Looks until the word is not `expected`, or `limit` has passed.
#[cold]
fn look(word: &Word, expected: u32, limit: Duration) -> bool {
    /// Looks between two looks at the clock.
    const LOOKS: u32 = 32;
    let start = Instant::now();
    loop {
        for _ in 0..LOOKS {
            // Ordering: Acquire, the partner is the release store of whoever changed it.
            if word.load(Ordering::Acquire) != expected {
                return true;
            }
            spin_loop();
        }
        if start.elapsed() >= limit {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// How many of `waits` try, where none of them pays off.
    fn tries_in_vain(learned: &mut Learned, waits: u32) -> u32 {
        let mut tried = 0;
        for _ in 0..waits {
            let (tries, next) = learned.decide();
            *learned = if tries { next.learn(false) } else { next };
            tried += u32::from(tries);
        }
        tried
    }

    #[test]
    fn looking_in_vain_becomes_rare() {
        let mut learned = Learned::NEW;
        let first = tries_in_vain(&mut learned, 1_000);
        assert!((2..=12).contains(&first), "{first}");
        let later = tries_in_vain(&mut learned, 256 * 100);
        assert!((99..=101).contains(&later), "{later}");
    }

    #[test]
    fn one_success_brings_looking_back() {
        let mut learned = Learned::NEW;
        tries_in_vain(&mut learned, 10_000);
        learned = learned.learn(true);
        assert!(learned.decide().0);
        assert_eq!(learned.learn(false).decide(), (true, learned.learn(false)));
    }

    #[test]
    fn what_was_learned_fits_in_a_word() {
        for credit in 0..=MOST_CREDIT {
            for patience in 0..=MOST_PATIENCE {
                for skip in [0, 1, 255, u16::MAX] {
                    let learned = Learned { credit, patience, skip };
                    assert_eq!(Learned::unpack(learned.pack()), learned);
                }
            }
        }
    }

    #[test]
    fn a_word_that_stays_is_looked_at_for_the_limit_and_no_more_often_than_it_pays() {
        let word = Word::from(Arc::new(AtomicU32::new(0)));
        let spinner = Spinner::new(Spin::up_to(Duration::from_nanos(1)));
        assert!((0..100).all(|_| !spinner.spin(&word, 0)));
        assert_eq!(Learned::unpack(spinner.learned.load(Ordering::Relaxed)).credit, if spinner.setting() == Spin::OFF { 2 } else { 0 });
    }

    #[test]
    fn a_change_is_seen_and_off_is_off() {
        let word = Word::from(Arc::new(AtomicU32::new(1)));
        let spinner = Spinner::new(Spin::default());
        assert_eq!(spinner.spin(&word, 0), spinner.setting() != Spin::OFF);
        assert!(!Spinner::new(Spin::OFF).spin(&word, 0));
    }

    #[test]
    fn the_limit_is_cut_to_a_millisecond() {
        assert_eq!(Spin::up_to(Duration::from_secs(1)).limit(), Duration::from_millis(1));
        assert_eq!(Spin::up_to(Duration::ZERO), Spin::OFF);
    }
}
