//! The event with automatic reset: each `set` lets one waiter pass, or the next one if no task waits.

use super::bits::{SET, W};
use crate::steps::{Cancel, Machine, Place, Step, Wake, Words, low};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

/// Waits for a `set`, and takes it.
///
/// 1. Load the word.
/// 2. Set: CAS not set, with W if this waiter has slept: other tasks may sleep behind it (acquire; the partner is [`SetOne`]).
///    Success: done.
/// 3. Not set: CAS W on, unless it is on. Sleep on the word. Then 1.
///
/// A waiter that is cancelled after a wake wakes the next sleeper.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WaitOne {
    word: Place,
    seen: Option<u64>,
    slept: bool,
}

impl WaitOne {
    /// Begins to wait.
    #[must_use]
    pub fn new(word: Place) -> Self {
        Self { word, seen: None, slept: false }
    }
}

impl Machine for WaitOne {
    type Output = ();

    #[inline]
    fn step<M: Words>(&mut self, words: &M) -> Step<()> {
        let Some(word) = self.seen.take() else {
            let word = words.load(self.word, Relaxed);
            if word & (SET | W) == W {
                return Step::sleep(self.word, low(word));
            }
            self.seen = Some(word);
            return Step::Next;
        };
        let w = if self.slept { W } else { 0 };
        let new = if word & SET != 0 { word & !SET | w } else { word | W };
        match words.compare_exchange(self.word, word, new, Acquire) {
            Ok(_) if word & SET != 0 => Step::Done(()),
            Ok(_) => Step::sleep(self.word, low(new)),
            Err(_) => Step::Contended,
        }
    }

    fn woken(&mut self) {
        self.slept = true;
    }
}

impl Cancel for WaitOne {
    type Undo = Wake;

    fn cancel(self) -> Wake {
        Wake::new(self.word, self.slept.into())
    }
}

/// Lets one waiter pass. The output is false if the event was set already.
///
/// 1. Load the word.
/// 2. CAS set, W off, *even if it is set* (release; the partner is [`WaitOne`]). A waiter that takes the event after this sees the
///    writes before this `set`. A waiter that took it earlier finds it set once more. If the CAS fails: 2 with the value that is
///    there.
/// 3. If W was on, wake one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SetOne {
    word: Place,
    at: At,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum At {
    Load,
    Replace(u64),
    Wake(bool),
}

impl SetOne {
    /// Begins to set.
    #[must_use]
    pub fn new(word: Place) -> Self {
        Self { word, at: At::Load }
    }
}

impl Machine for SetOne {
    type Output = bool;

    fn step<M: Words>(&mut self, words: &M) -> Step<bool> {
        let (next, step) = match self.at {
            At::Load => (At::Replace(words.load(self.word, Relaxed)), Step::Next),
            At::Replace(word) => match words.compare_exchange(self.word, word, word & !W | SET, AcqRel) {
                Ok(_) if word & W == 0 => return Step::Done(word & SET == 0),
                Ok(_) => (At::Wake(word & SET == 0), Step::Next),
                Err(other) => (At::Replace(other), Step::Contended),
            },
            At::Wake(is_new) => {
                words.wake(self.word, 1);
                return Step::Done(is_new);
            }
        };
        self.at = next;
        step
    }
}
