//! The condition variable: one word beside a [mutex](super::mutex).
//!
//! | bits | |
//! |---|---|
//! | 0 to 30 | number of notifications |
//! | 31 | [`W`]: a task may sleep on the word |
//! | 32 to 63 | version: changes when a task begins to wait |
//!
//! A wait may end without a cause, so the caller checks its condition again, with the mutex. If a member dies after it was woken, the
//! wake is not lost: the sweep of that death wakes all waiters, as for every [`Role::Counter`](super::Role::Counter). The same is true
//! if a member has changed the data and dies before its wake.

use super::mutex::{Lock, Locked};
use super::{Cancel, Machine, Place, Sleep, Step, Wake, Words, halves, high, low};
use std::sync::atomic::Ordering::{AcqRel, Relaxed};

/// A task may sleep on the word.
pub const W: u64 = 1 << 31;

const COUNT: u32 = (1 << 31) - 1;

/// Prepares to wait, with the mutex. The output is the [`Wait`] that follows when the mutex is unlocked.
///
/// 1. Load the word.
/// 2. CAS W on and the version + 1, *even if W is on*: then a wake that found no sleeper does not take W off. If the CAS fails: 2
///    with the value that is there.
///
/// Ordering: relaxed. The mutex orders this before the next change of the data, after which the word is loaded.
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
/// 1. Sleep on the word with the low half that [`Prepare`] left. Done, even if the sleep ended without a wake.
///
/// A waiter that is cancelled after a wake, also while it locks the mutex again, wakes the next sleeper.
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

/// Waits as [`Wait`], and locks the mutex.
///
/// If it is cancelled, it passes on a wake of the mutex, and an earlier wake of the condition variable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WaitAndLock {
    wait: Wait,
    lock: Lock,
    waits: bool,
}

impl WaitAndLock {
    /// Begins to wait. `mutex` is the word of the mutex.
    #[must_use]
    pub const fn new(wait: Wait, mutex: Place) -> Self {
        Self { wait, lock: Lock::new(mutex), waits: true }
    }
}

impl Machine for WaitAndLock {
    type Output = Locked;

    fn step<M: Words>(&mut self, words: &M) -> Step<Locked> {
        if !self.waits {
            return self.lock.step(words);
        }
        match self.wait.step(words) {
            Step::Sleep(sleep) => Step::Sleep(sleep),
            _ => {
                self.waits = false;
                Step::Next
            }
        }
    }

    fn woken(&mut self) {
        if self.waits { self.wait.woken() } else { self.lock.woken() }
    }

    fn retry(&mut self) -> bool {
        self.lock.retry()
    }

    #[cfg(test)]
    fn renumber(&mut self, f: &mut dyn FnMut(Place, u64) -> u64) {
        self.wait.renumber(f);
        self.lock.renumber(f);
    }
}

impl Cancel for WaitAndLock {
    type Undo = UndoWait;

    fn cancel(self) -> UndoWait {
        UndoWait { first: (!self.waits).then(|| self.lock.cancel()), second: self.wait.cancel() }
    }
}

/// The machine that undoes a cancelled [`WaitAndLock`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UndoWait {
    first: Option<Wake>,
    second: Wake,
}

impl Machine for UndoWait {
    type Output = ();

    fn step<M: Words>(&mut self, words: &M) -> Step<()> {
        match self.first.take() {
            Some(mut wake) => {
                let _ = wake.step(words);
                Step::Next
            }
            None => self.second.step(words),
        }
    }
}

/// Wakes one waiter or all. The caller has changed the data with the mutex, and may have unlocked it.
///
/// 1. Load the word. No W: done.
/// 2. CAS the count + 1 (acquire and release); for all, also W off. If it fails: 1 with the value that is there.
/// 3. Wake.
/// 4. If the wake was for one, and found no sleeper: CAS W off, with the value of 2. A task that began to wait since then has
///    changed the version.
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
                // It fails if the word changed since 2.
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
