//! Taking permits.

use super::release::Release;
use super::state::{Semaphore, W, available, changed, permits};
use crate::steps::mutex::{Lock, Locked, Unlock};
use crate::steps::record::Sum;
use crate::steps::{Cancel, Machine, Step, Wake, Words, low};
use std::sync::atomic::Ordering::{AcqRel, Acquire as See, Relaxed, Release as Publish, SeqCst};

/// Acquires `n` permits.
///
/// *Fast*:
///
/// 1. Load the state. Fewer than `n`, or W: slow, behind the waiting tasks.
/// 2. record += n (`SeqCst`).
/// 3. CAS available −= n (acquire, and release for the next sum of the records). Success: done.
/// 4. record −= n (`SeqCst`).
/// 5. Load the state (`SeqCst`). W: event += 1, wake one: the waiting task may have counted the record. Then 1.
///
/// *Slow*:
///
/// 6. Lock the turnstile.
/// 7. Load the event (Acquire), then the state.
/// 8. Enough: record += n, CAS available −= n and W off. Success: unlock the turnstile, done. Otherwise record −= n, and 7.
/// 9. CAS W on, *even if it is on*: the version changes, so that a release that saw W before does not take it off (`SeqCst`).
///    If it fails: 7.
/// 10. Sum the records (`SeqCst`), *then* load the capacity (`SeqCst`). capacity − sum > available: CAS available up to that,
///     and 7.
/// 11. Sleep on the event, with the value of 7. Then 7.
///
/// The sum of 10 misses no holder. A holder that took permits before 9 has added them to its record. A holder that takes permits after
/// 9 changes the version, and the CAS fails. If records decrease during the sum, the sum may be too high, and then 5, or the release,
/// finds W and changes the event: 9 and 10 are one side of a Dekker pair, 4 and 5 the other. If the sum misses permits that were
/// [forgotten](Release::forget), the load of the capacity after it returns the smaller capacity.
///
/// A cancelled acquire leaves the turnstile. W may stay on: the next task in the turnstile takes it off, or a release that finds no
/// sleeper.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Acquire {
    place: Semaphore,
    n: u32,
    at: At,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum At {
    Load,
    Record(u64),
    Take(u64),
    Retract,
    Look,
    Bump,
    WakeOne,
    Turnstile(Lock),
    Slow(Locked, Slow),
    Leave(Unlock),
}

/// In the turnstile.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Slow {
    Event,
    State(u32),
    Record(u64),
    Take(u64),
    Retract,
    Flag(u32, u64),
    Sum(u32, u64, Sum),
    Capacity(u32, u64, u64),
    Raise(u64, u32),
}

impl Acquire {
    /// Begins to acquire. If `n` exceeds the capacity, the machine waits until the capacity has [grown](super::Grow).
    #[must_use]
    pub fn new(place: Semaphore, n: u32) -> Self {
        Self { place, n, at: At::Load }
    }

    /// The steps after a lost race, and those of a task that waits.
    #[cold]
    fn contended<M: Words>(&mut self, words: &M) -> Step<()> {
        let Semaphore { state, event, records, .. } = self.place;
        let (next, step) = match &mut self.at {
            At::Retract => {
                records.subtract(words, self.n);
                (At::Look, Step::Next)
            }
            At::Look => match words.load(state, SeqCst) & W {
                0 => (At::Load, Step::Contended),
                _ => (At::Bump, Step::Next),
            },
            At::Bump => {
                words.fetch_add(event, 1, Publish);
                (At::WakeOne, Step::Next)
            }
            At::WakeOne => {
                words.wake(event, 1);
                (At::Load, Step::Contended)
            }
            At::Turnstile(lock) => match lock.step(words) {
                Step::Done(locked) => (At::Slow(locked, Slow::Event), Step::Next),
                step => return step.map(drop),
            },
            At::Slow(locked, at) => {
                let (locked, at) = (*locked, *at);
                return self.slow(words, locked, at);
            }
            At::Leave(unlock) => return unlock.step(words).map(drop),
            at => (*at, Step::Next),
        };
        self.at = next;
        step
    }

    fn slow<M: Words>(&mut self, words: &M, locked: Locked, at: Slow) -> Step<()> {
        let Semaphore { state, event, turnstile, records, capacity } = self.place;
        let n = self.n;
        let (next, step) = match at {
            // Ordering: Acquire. The partners are the Release accesses that change it. The changes before them are seen below.
            Slow::Event => (Slow::State(low(words.load(event, See))), Step::Next),
            Slow::State(seen) => {
                let word = words.load(state, Relaxed);
                (if available(word) >= n { Slow::Record(word) } else { Slow::Flag(seen, word) }, Step::Next)
            }
            Slow::Record(word) => {
                records.add(words, n);
                (Slow::Take(word), Step::Next)
            }
            Slow::Take(word) => {
                let taken = changed(word, available(word) - n, 0);
                if words.compare_exchange(state, word, taken, AcqRel).is_ok() {
                    self.at = At::Leave(Unlock::new(turnstile, locked, true));
                    return Step::Next;
                }
                (Slow::Retract, Step::Next)
            }
            Slow::Retract => {
                records.subtract(words, n);
                (Slow::Event, Step::Contended)
            }
            Slow::Flag(seen, word) => {
                let flagged = changed(word, available(word), W);
                match words.compare_exchange(state, word, flagged, SeqCst) {
                    Ok(_) => (Slow::Sum(seen, flagged, Sum::new(records)), Step::Next),
                    Err(_) => (Slow::Event, Step::Contended),
                }
            }
            Slow::Sum(seen, word, mut sum) => match sum.step(words) {
                Step::Done(sum) => (Slow::Capacity(seen, word, sum), Step::Next),
                step => (Slow::Sum(seen, word, sum), step.map(drop)),
            },
            Slow::Capacity(seen, word, sum) => {
                let capacity = permits(words.load(capacity, SeqCst));
                let left = low(u64::from(capacity).saturating_sub(sum));
                if left > available(word) {
                    (Slow::Raise(word, left), Step::Next)
                } else {
                    (Slow::Event, Step::sleep(event, seen))
                }
            }
            Slow::Raise(word, left) => {
                // A failure needs no treatment. A peer that overwrites the records may cause this step any number of times.
                let _ = words.compare_exchange(state, word, changed(word, left, W), AcqRel);
                (Slow::Event, Step::Contended)
            }
        };
        self.at = At::Slow(locked, next);
        step
    }
}

impl Machine for Acquire {
    type Output = ();
    const FAST: u32 = 3;

    #[inline(always)]
    fn step<M: Words>(&mut self, words: &M) -> Step<()> {
        let Semaphore { state, turnstile, records, .. } = self.place;
        self.at = match self.at {
            At::Load => {
                let word = words.load(state, Relaxed);
                let free = word & W == 0 && available(word) >= self.n;
                if free { At::Record(word) } else { At::Turnstile(Lock::new(turnstile)) }
            }
            At::Record(word) => {
                records.add(words, self.n);
                At::Take(word)
            }
            At::Take(word) => {
                let taken = changed(word, available(word) - self.n, 0);
                if words.compare_exchange(state, word, taken, AcqRel).is_ok() {
                    return Step::Done(());
                }
                At::Retract
            }
            _ => {
                // A copy, so that the state is kept in registers.
                let mut slow = *self;
                let step = slow.contended(words);
                *self = slow;
                return step;
            }
        };
        Step::Next
    }

    fn woken(&mut self) {
        if let At::Turnstile(lock) = &mut self.at {
            lock.woken();
        }
    }

    #[cfg(test)]
    fn renumber(&mut self, f: &mut dyn FnMut(crate::steps::Place, u64) -> u64) {
        let Semaphore { state, event, .. } = self.place;
        match &mut self.at {
            At::Record(word) | At::Take(word) => *word = f(state, *word),
            At::Slow(_, at) => match at {
                Slow::Record(word) | Slow::Take(word) | Slow::Raise(word, _) => *word = f(state, *word),
                Slow::State(seen) => *seen = low(f(event, (*seen).into())),
                Slow::Flag(seen, word) | Slow::Sum(seen, word, _) | Slow::Capacity(seen, word, _) => {
                    *seen = low(f(event, (*seen).into()));
                    *word = f(state, *word);
                }
                Slow::Event | Slow::Retract => {}
            },
            _ => {}
        }
    }
}

impl Cancel for Acquire {
    type Undo = UndoAcquire;

    fn cancel(self) -> UndoAcquire {
        let Semaphore { turnstile, .. } = self.place;
        UndoAcquire(match self.at {
            At::Turnstile(lock) => Undo::Wake(lock.cancel()),
            At::Slow(locked, _) => Undo::Leave(Unlock::new(turnstile, locked, true)),
            At::Leave(unlock) => Undo::LeaveAndRelease(unlock, Release::new(self.place, self.n)),
            _ => Undo::Nothing,
        })
    }
}

/// The machine that undoes a cancelled [`Acquire`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UndoAcquire(Undo);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Undo {
    Nothing,
    Wake(Wake),
    Leave(Unlock),
    /// The permits were acquired already.
    LeaveAndRelease(Unlock, Release),
    Release(Release),
}

impl Machine for UndoAcquire {
    type Output = ();

    fn step<M: Words>(&mut self, words: &M) -> Step<()> {
        match &mut self.0 {
            Undo::Nothing => Step::Done(()),
            Undo::Wake(wake) => wake.step(words),
            Undo::Leave(unlock) => unlock.step(words).map(drop),
            Undo::LeaveAndRelease(unlock, release) => match unlock.step(words) {
                Step::Done(_) => {
                    self.0 = Undo::Release(*release);
                    Step::Next
                }
                step => step.map(drop),
            },
            Undo::Release(release) => release.step(words),
        }
    }

    #[cfg(test)]
    fn renumber(&mut self, f: &mut dyn FnMut(crate::steps::Place, u64) -> u64) {
        if let Undo::Release(release) = &mut self.0 {
            release.renumber(f);
        }
    }
}

/// Acquires `n` permits if that needs no sleep. The output is true if the permits were acquired.
///
/// The steps are those of [`Acquire`], the sum included: permits of dead members return only by a sum.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TryAcquire {
    acquire: Acquire,
    leaving: Option<Unlock>,
}

impl TryAcquire {
    /// Begins to try.
    #[must_use]
    pub fn new(place: Semaphore, n: u32) -> Self {
        Self { acquire: Acquire::new(place, n), leaving: None }
    }
}

impl Machine for TryAcquire {
    type Output = bool;
    const FAST: u32 = Acquire::FAST;

    #[inline(always)]
    fn step<M: Words>(&mut self, words: &M) -> Step<bool> {
        if let Some(unlock) = &mut self.leaving {
            return unlock.step(words).map(|_| false);
        }
        match self.acquire.step(words) {
            // Another task is in the turnstile.
            Step::Busy => Step::Done(false),
            Step::Sleep { .. } => {
                if let At::Slow(locked, _) = self.acquire.at {
                    self.leaving = Some(Unlock::new(self.acquire.place.turnstile, locked, true));
                }
                Step::Next
            }
            step => step.map(|()| true),
        }
    }

    #[cfg(test)]
    fn renumber(&mut self, f: &mut dyn FnMut(crate::steps::Place, u64) -> u64) {
        self.acquire.renumber(f);
    }
}

impl Cancel for TryAcquire {
    type Undo = UndoAcquire;

    fn cancel(self) -> UndoAcquire {
        self.leaving.map_or_else(|| self.acquire.cancel(), |unlock| UndoAcquire(Undo::Leave(unlock)))
    }
}
