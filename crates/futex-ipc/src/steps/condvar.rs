//! The condition variable: one word beside a [mutex](super::mutex).
//!
//! | bits | |
//! |---|---|
//! | 0 to 30 | number of wakes that were asked for |
//! | 31 | [`W`]: somebody may sleep on the word |
//! | 32 to 63 | version: changes whenever somebody begins to wait |
//!
//! A wait may end without cause, so its condition is checked again, with the mutex. A member that dies after it was woken takes no
//! wake along: the sweep of that death wakes all who wait, as a [`Role::Counter`](super::Role::Counter). So does the sweep after the
//! death of a member that changed the data and had not woken anybody yet.

use super::{Cancel, Machine, Place, Sleep, Step, Wake, Words, halves, high, low};
use std::sync::atomic::Ordering::{AcqRel, Relaxed};

/// Somebody may sleep on the word.
pub const W: u64 = 1 << 31;

const COUNT: u32 = (1 << 31) - 1;

/// Prepares to wait, with the mutex. It gives the [`Wait`] that follows when the mutex is unlocked.
///
/// 1. Load the word.
/// 2. CAS W on and the version + 1, *also if W is on*: a wake that found nobody does not take W off then. It failed: 2 with what is
///    there.
///
/// Ordering: relaxed. The mutex orders this before whoever changes the data next, and that one loads the word afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Prepare {
    word: Place,
    seen: Option<u64>,
}

impl Prepare {
    /// Begins to prepare.
    #[must_use]
    pub const fn new(word: Place) -> Self {
        Self { word, seen: None }
    }
}

impl Machine for Prepare {
    type Output = Wait;

    fn step<M: Words>(&mut self, words: &M) -> Step<Wait> {
        let Some(word) = self.seen else {
            self.seen = Some(words.load(self.word, Relaxed));
            return Step::Next;
        };
        let waits = halves(high(word).wrapping_add(1), low(word | W));
        match words.compare_exchange(self.word, word, waits, Relaxed) {
            Ok(_) => Step::Done(Wait { word: self.word, expected: low(waits), state: State::Begins }),
            Err(other) => {
                self.seen = Some(other);
                Step::Contended
            }
        }
    }

    #[cfg(test)]
    fn renumber(&mut self, f: &mut dyn FnMut(Place, u64) -> u64) {
        self.seen = self.seen.map(|word| f(self.word, word));
    }
}

/// Waits, without the mutex, for a wake since [`Prepare`]. Then the caller locks the mutex and checks its condition.
///
/// 1. Sleep on the word with the low half that [`Prepare`] left. Done, whatever ended the sleep.
///
/// Cancelled after a wake, also while the mutex is locked again, it wakes the next one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Wait {
    word: Place,
    expected: u32,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum State {
    Begins,
    Slept,
    Woken,
}

impl Machine for Wait {
    type Output = ();

    fn step<M: Words>(&mut self, _: &M) -> Step<()> {
        if self.state != State::Begins {
            return Step::Done(());
        }
        self.state = State::Slept;
        // A wake for another waiter changes the word too.
        Step::Sleep(Sleep { place: self.word, expected: self.expected, mask: u32::MAX, certain: false })
    }

    fn woken(&mut self) {
        self.state = State::Woken;
    }

    #[cfg(test)]
    fn renumber(&mut self, f: &mut dyn FnMut(Place, u64) -> u64) {
        self.expected = low(f(self.word, self.expected.into()));
    }
}

impl Cancel for Wait {
    type Undo = Wake;

    fn cancel(self) -> Wake {
        Wake::new(self.word, (self.state == State::Woken).into())
    }
}

/// Wakes one of those who wait, or all. The caller has changed the data, with the mutex, and may have unlocked it.
///
/// 1. Load the word. No W: done.
/// 2. CAS the count + 1 (acquire and release); for all, also W off. It failed: 1 with what is there.
/// 3. Wake.
/// 4. One was to be woken, and nobody slept: CAS W off, with what 2 left. A member that began to wait since has changed
///    the version.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Notify {
    word: Place,
    all: bool,
    at: At,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum At {
    Load,
    Count(u64),
    Wake(u64),
    Clear(u64),
}

impl Notify {
    /// Begins to wake one.
    #[must_use]
    pub const fn one(word: Place) -> Self {
        Self { word, all: false, at: At::Load }
    }

    /// Begins to wake all.
    #[must_use]
    pub const fn all(word: Place) -> Self {
        Self { word, all: true, at: At::Load }
    }
}

impl Machine for Notify {
    type Output = ();

    fn step<M: Words>(&mut self, words: &M) -> Step<()> {
        let (seen, step) = match self.at {
            At::Load => (words.load(self.word, Relaxed), Step::Next),
            At::Count(word) => {
                let w = if self.all { 0 } else { low(W) };
                let counted = halves(high(word), low(word).wrapping_add(1) & COUNT | w);
                match words.compare_exchange(self.word, word, counted, AcqRel) {
                    Ok(_) => {
                        self.at = At::Wake(counted);
                        return Step::Next;
                    }
                    Err(other) => (other, Step::Contended),
                }
            }
            At::Wake(word) => {
                let woken = words.wake(self.word, if self.all { u32::MAX } else { 1 });
                if self.all || woken > 0 {
                    return Step::Done(());
                }
                self.at = At::Clear(word);
                return Step::Next;
            }
            At::Clear(word) => {
                // It fails if anything happened since 2.
                let _ = words.compare_exchange(self.word, word, word & !W, AcqRel);
                return Step::Done(());
            }
        };
        if seen & W == 0 {
            return Step::Done(());
        }
        self.at = At::Count(seen);
        step
    }

    #[cfg(test)]
    fn renumber(&mut self, f: &mut dyn FnMut(Place, u64) -> u64) {
        if let At::Count(word) | At::Wake(word) | At::Clear(word) = &mut self.at {
            *word = f(self.word, *word);
        }
    }
}
