//! The cell that is initialised once: a [mutex](super::mutex), and a word that is 1 once the value is there.
//!
//! If an initialiser dies, fails or is cancelled, the next one writes the whole value again. So the next one need not know about a
//! death.

use super::mutex::{Lock, Locked, TryLock, Unlock};
use super::{Cancel, Machine, Place, Step, Wake, Words};
use std::sync::atomic::Ordering::{Acquire, Release};

/// The places of a cell.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Once {
    /// The first word of the mutex of the initialisers.
    pub word: Place,
    /// 1 when the value is there. Every other value means 0.
    pub done: Place,
}

/// The duty of the caller.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Turn {
    /// The value is there.
    Ready,
    /// The caller owns the mutex, and writes the value. Then it runs [`Finish`], or [`Unlock`] if it has no value.
    Initialise(Locked),
}

/// Checks whether the value is there. If not, the caller gets the duty to write it.
///
/// 1. Load `done` (Acquire; the partner is the store of [`Finish`]). 1: ready.
/// 2. [Lock] the mutex.
/// 3. Load `done` (Acquire: a death may lie between the store and this lock). Not 1: initialise, with the mutex.
/// 4. 1: unlock, ready.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Get {
    place: Once,
    at: At,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum At {
    Look,
    Lock(Lock),
    Again(Locked),
    Unlock(Unlock),
}

impl Get {
    /// Begins to get.
    #[must_use]
    pub fn new(place: Once) -> Self {
        Self { place, at: At::Look }
    }
}

impl Machine for Get {
    type Output = Turn;

    #[inline]
    fn step<W: Words>(&mut self, words: &W) -> Step<Turn> {
        let Once { word, done } = self.place;
        self.at = match &mut self.at {
            At::Look if words.load(done, Acquire) == 1 => return Step::Done(Turn::Ready),
            At::Look => At::Lock(Lock::new(word)),
            At::Lock(lock) => match lock.step(words) {
                Step::Done(locked) => At::Again(locked),
                step => return step.map(Turn::Initialise),
            },
            At::Again(locked) if words.load(done, Acquire) == 1 => At::Unlock(Unlock::new(word, *locked, true)),
            At::Again(locked) => return Step::Done(Turn::Initialise(*locked)),
            At::Unlock(unlock) => return unlock.step(words).map(|_| Turn::Ready),
        };
        Step::Next
    }

    fn woken(&mut self) {
        if let At::Lock(lock) = &mut self.at {
            lock.woken();
        }
    }
}

impl Cancel for Get {
    type Undo = UndoGet;

    fn cancel(self) -> UndoGet {
        match self.at {
            At::Lock(lock) => UndoGet::Wake(lock.cancel()),
            At::Unlock(unlock) => UndoGet::Unlock(unlock),
            At::Again(locked) => UndoGet::Unlock(Unlock::new(self.place.word, locked, true)),
            At::Look => UndoGet::Wake(Wake::new(self.place.word, 0)),
        }
    }
}

/// The machine that undoes a cancelled [`Get`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum UndoGet {
    /// It did not own the mutex.
    Wake(Wake),
    /// It owned the mutex.
    Unlock(Unlock),
}

impl Machine for UndoGet {
    type Output = ();

    fn step<W: Words>(&mut self, words: &W) -> Step<()> {
        match self {
            Self::Wake(wake) => wake.step(words),
            Self::Unlock(unlock) => unlock.step(words).map(drop),
        }
    }
}

/// Gets the value, or the duty to write it. The output is `None` if another living member has the duty.
///
/// The steps are those of [`Get`], with [`TryLock`] as 2.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TryGet {
    get: Get,
    lock: TryLock,
}

impl TryGet {
    /// Begins to try.
    #[must_use]
    pub fn new(place: Once) -> Self {
        Self { get: Get::new(place), lock: TryLock::new(place.word) }
    }
}

impl Machine for TryGet {
    type Output = Option<Turn>;

    #[inline]
    fn step<W: Words>(&mut self, words: &W) -> Step<Option<Turn>> {
        if !matches!(self.get.at, At::Lock(_)) {
            return self.get.step(words).map(Some);
        }
        match self.lock.step(words) {
            Step::Done(Some(locked)) => {
                self.get.at = At::Again(locked);
                Step::Next
            }
            step => step.map(|_| None),
        }
    }
}

/// Ends the initialisation.
///
/// 1. Store 1 in `done` (Release; the partner is the load of [`Get`]). The value was written before.
/// 2. [Unlock].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Finish {
    place: Once,
    stored: bool,
    unlock: Unlock,
}

impl Finish {
    /// Begins to end the initialisation that [`Get`] began.
    #[must_use]
    pub fn new(place: Once, locked: Locked) -> Self {
        Self { place, stored: false, unlock: Unlock::new(place.word, locked, true) }
    }
}

impl Machine for Finish {
    type Output = ();

    fn step<W: Words>(&mut self, words: &W) -> Step<()> {
        if self.stored {
            return self.unlock.step(words).map(drop);
        }
        words.store(self.place.done, 1, Release);
        self.stored = true;
        Step::Next
    }
}
