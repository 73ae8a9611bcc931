//! Writers.

use super::place::RwLock;
use crate::steps::mutex::{Lock, Locked, TryLock, Unlock};
use crate::steps::record::Sum;
use crate::steps::{Cancel, Machine, Step, Wake, Words, low};
use std::sync::atomic::Ordering::Acquire;

/// Begins to write.
///
/// 1. [Lock] the word.
/// 2. Load the event (Acquire).
/// 3. Sum the records (`SeqCst`). 0: done.
/// 4. Sleep on the event, with the value of 2. Then 2.
///
/// 1 and 3 are one side of a Dekker pair. The other is the reader's record and its load of the word. So the CAS of 1 must be
/// `SeqCst` too: [`Write`] locks with [`Lock::before_loads`].
///
/// Writing ends with [`Unlock`], and so does a `Write` that is cancelled while it owns the word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Write {
    place: RwLock,
    at: At,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum At {
    Lock(Lock),
    Event(Locked),
    Sum(Locked, u32, Sum),
}

impl Write {
    /// Begins.
    #[must_use]
    pub fn new(place: RwLock) -> Self {
        Self { place, at: At::Lock(Lock::before_loads(place.word)) }
    }
}

impl Machine for Write {
    type Output = Locked;

    #[inline]
    fn step<W: Words>(&mut self, words: &W) -> Step<Locked> {
        let RwLock { event, records, .. } = self.place;
        match &mut self.at {
            At::Lock(lock) => match lock.step(words) {
                Step::Done(locked) => self.at = At::Event(locked),
                step => return step,
            },
            At::Event(locked) => {
                // Ordering: Acquire. The partner is the Release of a reader that leaves, or of a sweep.
                self.at = At::Sum(*locked, low(words.load(event, Acquire)), Sum::new(records));
            }
            At::Sum(locked, seen, sum) => match sum.step(words) {
                Step::Done(0) => return Step::Done(*locked),
                Step::Done(_) => {
                    let expected = *seen;
                    self.at = At::Event(*locked);
                    return Step::sleep(event, expected);
                }
                step => return step.map(|_| Locked { died: false }),
            },
        }
        Step::Next
    }

    fn woken(&mut self) {
        if let At::Lock(lock) = &mut self.at {
            lock.woken();
        }
    }

    fn retry(&mut self) -> bool {
        if let At::Lock(lock) = &mut self.at { lock.retry() } else { false }
    }

    #[cfg(test)]
    fn renumber(&mut self, f: &mut dyn FnMut(crate::steps::Place, u64) -> u64) {
        if let At::Sum(_, seen, _) = &mut self.at {
            *seen = low(f(self.place.event, (*seen).into()));
        }
    }
}

impl Cancel for Write {
    type Undo = UndoWrite;

    fn cancel(self) -> UndoWrite {
        match self.at {
            At::Lock(lock) => UndoWrite::Wake(lock.cancel()),
            At::Event(locked) | At::Sum(locked, ..) => UndoWrite::Unlock(Unlock::new(self.place.word, locked, false)),
        }
    }
}

/// The machine that undoes a cancelled [`Write`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum UndoWrite {
    /// It did not own the word.
    Wake(Wake),
    /// It owned the word, and waited for readers.
    Unlock(Unlock),
}

impl Machine for UndoWrite {
    type Output = ();

    fn step<W: Words>(&mut self, words: &W) -> Step<()> {
        match self {
            Self::Wake(wake) => wake.step(words),
            Self::Unlock(unlock) => unlock.step(words).map(drop),
        }
    }
}

/// Begins to write if that needs no sleep. Otherwise the output is `None`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TryWrite {
    place: RwLock,
    at: Trying,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Trying {
    Lock(TryLock),
    Sum(Locked, Sum),
    Unlock(Unlock),
}

impl TryWrite {
    /// Begins to try.
    #[must_use]
    pub fn new(place: RwLock) -> Self {
        Self { place, at: Trying::Lock(TryLock::before_loads(place.word)) }
    }
}

impl Machine for TryWrite {
    type Output = Option<Locked>;

    #[inline]
    fn step<W: Words>(&mut self, words: &W) -> Step<Option<Locked>> {
        match &mut self.at {
            Trying::Lock(lock) => match lock.step(words) {
                Step::Done(Some(locked)) => self.at = Trying::Sum(locked, Sum::new(self.place.records)),
                step => return step,
            },
            Trying::Sum(locked, sum) => match sum.step(words) {
                Step::Done(0) => return Step::Done(Some(*locked)),
                Step::Done(_) => self.at = Trying::Unlock(Unlock::new(self.place.word, *locked, false)),
                step => return step.map(|_| None),
            },
            Trying::Unlock(unlock) => return unlock.step(words).map(|_| None),
        }
        Step::Next
    }
}
