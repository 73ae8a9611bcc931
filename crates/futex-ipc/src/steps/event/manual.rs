//! The event with manual reset: while it is set, no task waits.
//!
//! Bits 2 to 63 count the times that it was set. So each `set` releases all waiters, even if a `reset` follows at once.

use super::bits::{SET, W};
use crate::steps::{Cancel, Machine, Place, Step, Wake, Words, low};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

const COUNT: u64 = !(SET | W);
const ONE: u64 = 4;

/// Waits until the event is set.
///
/// 1. Load the word (Acquire; the partner is [`Set`]). Set: done. Otherwise remember the count.
/// 2. CAS W on, unless it is on. If it fails: load the word as in 3.
/// 3. Sleep on the word. Then load it (Acquire). Set, or another count: done. Otherwise 2.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Wait {
    word: Place,
    count: Option<u64>,
    flag: Option<u64>,
}

impl Wait {
    /// Begins to wait.
    #[must_use]
    pub fn new(word: Place) -> Self {
        Self { word, count: None, flag: None }
    }
}

impl Machine for Wait {
    type Output = ();

    #[inline]
    fn step<M: Words>(&mut self, words: &M) -> Step<()> {
        if let Some(word) = self.flag.take() {
            let sleep = Step::sleep(self.word, low(word | W));
            // It failed: the word is loaded again, with Acquire.
            return words.compare_exchange(self.word, word, word | W, Relaxed).map_or(Step::Contended, |_| sleep);
        }
        let word = words.load(self.word, Acquire);
        let count = *self.count.get_or_insert(word & COUNT);
        if word & SET != 0 || word & COUNT != count {
            return Step::Done(());
        }
        if word & W != 0 {
            return Step::sleep(self.word, low(word));
        }
        self.flag = Some(word);
        Step::Next
    }
}

impl Cancel for Wait {
    type Undo = Wake;

    /// It does nothing: each wake is for all waiters.
    fn cancel(self) -> Wake {
        Wake::new(self.word, 0)
    }
}

/// Sets the event. The output is true if it was not set before.
///
/// 1. Load the word.
/// 2. CAS set, count + 1, W off (release; the partners are [`Wait`] and [`Reset`]). If it is set already, the CAS keeps the count: a
///    task that resets the event later sees the writes before this `set`. If the CAS fails: 2 with the value that is there.
/// 3. If W was on, wake all.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Set {
    word: Place,
    at: At,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum At {
    Load,
    Replace(u64),
    Wake(bool),
}

impl Set {
    /// Begins to set.
    #[must_use]
    pub fn new(word: Place) -> Self {
        Self { word, at: At::Load }
    }
}

impl Machine for Set {
    type Output = bool;

    fn step<M: Words>(&mut self, words: &M) -> Step<bool> {
        let (next, step) = match self.at {
            At::Load => (At::Replace(words.load(self.word, Relaxed)), Step::Next),
            At::Replace(word) => {
                let is_new = word & SET == 0;
                let set = (word & COUNT).wrapping_add(if is_new { ONE } else { 0 }) | SET;
                match words.compare_exchange(self.word, word, set, AcqRel) {
                    Ok(_) if word & W == 0 => return Step::Done(is_new),
                    Ok(_) => (At::Wake(is_new), Step::Next),
                    Err(other) => (At::Replace(other), Step::Contended),
                }
            }
            At::Wake(is_new) => {
                words.wake(self.word, u32::MAX);
                return Step::Done(is_new);
            }
        };
        self.at = next;
        step
    }
}

/// Resets the event. The output is true if it was set.
///
/// 1. Load the word. Not set: done.
/// 2. CAS not set. If it fails: 1, with the value that is there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Reset {
    word: Place,
    seen: Option<u64>,
}

impl Reset {
    /// Begins to reset.
    #[must_use]
    pub fn new(word: Place) -> Self {
        Self { word, seen: None }
    }
}

impl Machine for Reset {
    type Output = bool;

    fn step<M: Words>(&mut self, words: &M) -> Step<bool> {
        let (seen, step) = match self.seen {
            None => (words.load(self.word, Relaxed), Step::Next),
            Some(word) => match words.compare_exchange(self.word, word, word & !SET, AcqRel) {
                Ok(_) => return Step::Done(true),
                Err(other) => (other, Step::Contended),
            },
        };
        if seen & SET == 0 {
            return Step::Done(false);
        }
        self.seen = Some(seen);
        step
    }
}
