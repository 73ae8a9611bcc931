//! Readers.

use super::place::RwLock;
use crate::steps::mutex::{C, INC, Locked, is_dead, owner, store_predecessor};
use crate::steps::{Cancel, Machine, Step, Wake, Words, low};
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release, SeqCst};

/// Begins to read.
///
/// 1. Load the word. Owned: 5.
/// 2. record += 1 (`SeqCst`).
/// 3. Load the word again (`SeqCst`; the partners are the CAS by which a writer takes it, after which the writer sums the
///    records, and the Release with which the last writer left it). Free: a reader that has slept wakes the next sleeper of the
///    word, because an unlock wakes only one. Done.
/// 4. Owned: record −= 1 (`SeqCst`), event += 1, wake one: the writer may have counted the record.
/// 5. Load the owner's slot. Dead: store the dead owner in the second word, CAS the word free, with INC and the C that it had, and
///    1. A sweep will wake the sleepers.
/// 6. Alive: CAS C on, unless it is on. Sleep on the word with C. Then 1.
///
/// A reader that is cancelled after a wake wakes the next sleeper.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Read {
    place: RwLock,
    at: At,
    slept: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum At {
    Load,
    Record,
    Again,
    Chain(Locked),
    Retract(u64),
    Bump(u64),
    Wake(u64),
    Owner(u64),
    Predecessor(u64),
    Free(u64),
    Flag(u64),
}

impl Read {
    /// Begins.
    #[must_use]
    pub fn new(place: RwLock) -> Self {
        Self { place, at: At::Load, slept: false }
    }

    fn sleep(&mut self, word: u64) -> Step<Locked> {
        self.at = At::Load;
        Step::sleep_while_flag(self.place.word, low(word), C)
    }

    #[cold]
    fn slow<W: Words>(&mut self, words: &W) -> Step<Locked> {
        let RwLock { word: place, event, records } = self.place;
        self.at = match self.at {
            At::Retract(word) => {
                records.subtract(words, 1);
                At::Bump(word)
            }
            At::Bump(word) => {
                words.fetch_add(event, 1, Release);
                At::Wake(word)
            }
            At::Wake(word) => {
                words.wake(event, 1);
                At::Owner(word)
            }
            At::Owner(word) if is_dead(words, word) => At::Predecessor(word),
            At::Owner(word) if word & C != 0 => return self.sleep(word),
            At::Owner(word) => At::Flag(word),
            At::Predecessor(word) => {
                store_predecessor(words, place, word);
                At::Free(word)
            }
            At::Free(word) => {
                // A failure needs no treatment. A peer that overwrites the word may cause this step any number of times.
                let _ = words.compare_exchange(place, word, INC | word & C, AcqRel);
                self.at = At::Load;
                return Step::Contended;
            }
            At::Flag(word) => match words.compare_exchange(place, word, word | C, Relaxed) {
                Ok(_) => return self.sleep(word | C),
                Err(_) => {
                    self.at = At::Load;
                    return Step::Contended;
                }
            },
            At::Chain(locked) => {
                words.wake(place, 1);
                return Step::Done(locked);
            }
            at => at,
        };
        Step::Next
    }
}

impl Machine for Read {
    type Output = Locked;
    const FAST: u32 = 3;

    #[inline(always)]
    fn step<W: Words>(&mut self, words: &W) -> Step<Locked> {
        match self.at {
            At::Load => {
                let word = words.load(self.place.word, Relaxed);
                self.at = if owner(word).is_none() { At::Record } else { At::Owner(word) };
            }
            At::Record => {
                self.place.records.add(words, 1);
                self.at = At::Again;
            }
            At::Again => {
                let word = words.load(self.place.word, SeqCst);
                let locked = Locked { died: word & INC != 0 };
                if owner(word).is_some() {
                    self.at = At::Retract(word);
                } else if self.slept {
                    self.at = At::Chain(locked);
                } else {
                    return Step::Done(locked);
                }
            }
            _ => {
                // A copy, so that the state is kept in registers.
                let mut slow = *self;
                let step = slow.slow(words);
                *self = slow;
                return step;
            }
        }
        Step::Next
    }

    fn woken(&mut self) {
        self.slept = true;
    }
}

impl Cancel for Read {
    type Undo = UndoRead;

    fn cancel(self) -> UndoRead {
        Wake::new(self.place.word, self.slept.into())
    }
}

/// The machine that undoes a cancelled [`Read`].
pub type UndoRead = Wake;

/// Begins to read. The output is `None` if a living writer has the word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TryRead(Read);

impl TryRead {
    /// Begins to try.
    #[must_use]
    pub fn new(place: RwLock) -> Self {
        Self(Read::new(place))
    }
}

impl Machine for TryRead {
    type Output = Option<Locked>;
    const FAST: u32 = Read::FAST;

    #[inline(always)]
    fn step<W: Words>(&mut self, words: &W) -> Step<Option<Locked>> {
        if matches!(self.0.at, At::Flag(_)) {
            return Step::Done(None);
        }
        match self.0.step(words) {
            Step::Sleep { .. } => Step::Done(None),
            step => step.map(Some),
        }
    }
}

/// Ends reading.
///
/// 1. record −= 1 (`SeqCst`, which includes the Release for the next writer).
/// 2. Load the word (`SeqCst`; the partner is the CAS by which a writer takes it). Free: done.
/// 3. event += 1 (Release), wake one: the writer sums again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EndRead {
    place: RwLock,
    at: Ending,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Ending {
    Record,
    Look,
    Bump,
    Wake,
}

impl EndRead {
    /// Begins to end.
    #[must_use]
    pub fn new(place: RwLock) -> Self {
        Self { place, at: Ending::Record }
    }
}

impl Machine for EndRead {
    type Output = ();
    const FAST: u32 = 2;

    #[inline(always)]
    fn step<W: Words>(&mut self, words: &W) -> Step<()> {
        let RwLock { word, event, records } = self.place;
        self.at = match self.at {
            Ending::Record => {
                records.subtract(words, 1);
                Ending::Look
            }
            Ending::Look if owner(words.load(word, SeqCst)).is_none() => return Step::Done(()),
            Ending::Look => Ending::Bump,
            Ending::Bump => {
                words.fetch_add(event, 1, Release);
                Ending::Wake
            }
            Ending::Wake => {
                words.wake(event, 1);
                return Step::Done(());
            }
        };
        Step::Next
    }
}
