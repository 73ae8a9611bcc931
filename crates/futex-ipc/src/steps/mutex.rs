//! The mutex: one word that names its owner, and a second one that names the last owner that died.
//!
//! | bits | |
//! |---|---|
//! | 0 to 29 | slot of the owner + 1; 0: free |
//! | 30 | [`INC`]: an owner died inside the section, and no later owner has settled that |
//! | 31 | [`C`], contended: a task may sleep on the word |
//! | 32 to 63 | generation of the owner |
//!
//! The kernel compares the low half only. That suffices: a locker sleeps on a word that has C, and a wake follows each change of
//! such a word, from an unlock or from a sweep.
//!
//! The second word is information only: it names the member whose other resources may be released later. No algorithm depends on it.
//! When [`Locked::died`] is true, it names a member that died inside; after several deaths it may name an earlier one.
//!
//! An owner is dead if it is not a living member of its generation, or if its slot is not in the table. So a word that a peer has
//! overwritten can be locked again.
//!
//! Both the next locker that finds a dead owner and a [sweep] of all words repair a death. The sweep wakes all sleepers, *also of words
//! that are free*: the kill may have come between an unlock and its wake, or the wake may have gone to the process that was killed.
//!
//! A locker does not load the owner's slot a second time before it sleeps. It sleeps only while the word names the owner. If the owner
//! dies, its sweep ends only when no word names it any more, and all sleepers were woken after that.
//!
//! [sweep]: super::sweep

use super::slot::is_live;
use super::{Cancel, Machine, Member, Place, Step, Wake, Words, halves, high, low};
use std::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst};

/// An owner died inside the section, and no later owner has settled that.
pub const INC: u64 = 1 << 30;

/// A task may sleep on the word.
pub const C: u64 = 1 << 31;

const OWNER: u32 = (1 << 30) - 1;

/// The word of a mutex that `member` owns.
#[must_use]
pub const fn owned_by(member: Member) -> u64 {
    halves(member.generation, (member.slot + 1) & OWNER)
}

/// The member that a word names as the owner. Its slot may be any number.
#[must_use]
pub const fn owner(word: u64) -> Option<Member> {
    match low(word) & OWNER {
        0 => None,
        slot => Some(Member { slot: slot - 1, generation: high(word) }),
    }
}

/// The word beside that of a mutex, for the last owner that died inside.
#[must_use]
pub const fn predecessor_word(word: Place) -> Place {
    Place(word.0 + 1)
}

/// Loads the last owner of a mutex that died inside. Its slot may be any number.
pub fn predecessor<W: Words>(words: &W, word: Place) -> Option<Member> {
    owner(words.load(predecessor_word(word), Relaxed))
}

/// Stores the owner that `dead` names, with one access.
///
/// Ordering: relaxed. The CAS that follows, or the unlock, publishes it.
pub(super) fn store_predecessor<W: Words>(words: &W, word: Place, dead: u64) {
    words.store(predecessor_word(word), dead & !(INC | C), Relaxed);
}

/// Result of a lock.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Locked {
    /// True if an owner died inside the section, and no later owner has settled that.
    pub died: bool,
}

/// Locks.
///
/// 1. CAS 0 → me (Acquire; the partner is the Release of [`Unlock`] or of the sweep). Success: done. Otherwise 2 or 3 with the
///    value that is there.
/// 2. Free: CAS → me, keeping INC, with C if this locker has slept. (Other tasks may sleep behind it, and the unlock that woke it
///    has cleared C.) Success: done. Otherwise 2 or 3 with the value that is there.
/// 3. Owned: load the owner's slot (Acquire). Dead: CAS → me, with INC. Success: store the dead owner in the second word, done.
///    The sweep of that death has not come to this word yet. It will wake the sleepers behind the dead owner.
/// 4. Alive: pause and load the word again: 2 or 3. After two pauses: CAS C on, unless it is on. Sleep on the word with C. Then load
///    the word: 2 or 3.
///
/// A locker that is cancelled after a wake wakes the next sleeper.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Lock {
    word: Place,
    at: At,
    slept: bool,
    order: Ordering,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum At {
    Fast,
    Load,
    Owner(u64),
    /// The owner is alive.
    Busy(u64),
    Take(u64),
    /// The word that was taken over.
    Predecessor(u64),
}

impl Lock {
    /// Begins to lock.
    #[must_use]
    pub const fn new(word: Place) -> Self {
        Self { word, at: At::Fast, slept: false, order: Acquire }
    }

    /// Begins to lock, as one half of a Dekker pair: the owner loads other words next. The CAS is `SeqCst`.
    #[must_use]
    pub(super) fn before_loads(word: Place) -> Self {
        Self { order: SeqCst, ..Self::new(word) }
    }

    fn saw(&mut self, word: u64) {
        self.at = if owner(word).is_none() { At::Take(word) } else { At::Owner(word) };
    }

    fn sleep(&mut self, word: u64) -> Step<Locked> {
        self.at = At::Load;
        Step::sleep_while_flag(self.word, low(word), C)
    }

    #[cold]
    fn slow<W: Words>(&mut self, words: &W) -> Step<Locked> {
        match self.at {
            At::Fast | At::Load => {
                let word = words.load(self.word, Relaxed);
                self.saw(word);
                Step::Next
            }
            At::Owner(word) => {
                if is_dead(words, word) {
                    self.at = At::Take(word);
                    return Step::Next;
                }
                self.at = At::Busy(word);
                Step::Busy
            }
            At::Busy(word) if word & C != 0 => self.sleep(word),
            At::Take(word) => {
                let taken_over = owner(word).is_some();
                let mut new = owned_by(words.me()) | word & (INC | C);
                if taken_over {
                    new |= INC;
                }
                if self.slept {
                    new |= C;
                }
                // Ordering: Acquire. The partner is the Release of `Unlock`. An owner that died has published only its commits, by
                // `commit`.
                match words.compare_exchange(self.word, word, new, self.order) {
                    Ok(_) if taken_over => {
                        self.at = At::Predecessor(word);
                        Step::Next
                    }
                    Ok(_) => Step::Done(Locked { died: new & INC != 0 }),
                    Err(other) => {
                        self.saw(other);
                        Step::Contended
                    }
                }
            }
            At::Predecessor(word) => {
                store_predecessor(words, self.word, word);
                Step::Done(Locked { died: true })
            }
            At::Busy(word) => {
                if let Err(other) = words.compare_exchange(self.word, word, word | C, Relaxed) {
                    self.saw(other);
                    return Step::Contended;
                }
                self.sleep(word | C)
            }
        }
    }
}

impl Machine for Lock {
    type Output = Locked;

    #[inline(always)]
    fn step<W: Words>(&mut self, words: &W) -> Step<Locked> {
        if self.at != At::Fast {
            // A copy, so that the state is kept in registers.
            let mut slow = *self;
            let step = slow.slow(words);
            *self = slow;
            return step;
        }
        match words.compare_exchange(self.word, 0, owned_by(words.me()), self.order) {
            Ok(_) => Step::Done(Locked { died: false }),
            Err(other) => {
                self.saw(other);
                Step::Next
            }
        }
    }

    fn woken(&mut self) {
        self.slept = true;
    }

    fn retry(&mut self) -> bool {
        let is_busy = matches!(self.at, At::Busy(_));
        if is_busy {
            self.at = At::Load;
        }
        is_busy
    }
}

impl Cancel for Lock {
    type Undo = Wake;

    fn cancel(self) -> Wake {
        Wake::new(self.word, self.slept.into())
    }
}

/// Locks, unless the owner is alive: steps 1 to 3 of [`Lock`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TryLock(Lock);

impl TryLock {
    /// Begins to try.
    #[must_use]
    pub fn new(word: Place) -> Self {
        Self(Lock::new(word))
    }

    /// As [`Lock::before_loads`].
    #[must_use]
    pub(super) fn before_loads(word: Place) -> Self {
        Self(Lock::before_loads(word))
    }
}

impl Machine for TryLock {
    type Output = Option<Locked>;

    #[inline(always)]
    fn step<W: Words>(&mut self, words: &W) -> Step<Option<Locked>> {
        match self.0.step(words) {
            Step::Busy => Step::Done(None),
            step => step.map(Some),
        }
    }
}

/// Unlocks.
///
/// 1. CAS me → 0, or → INC if the death of an owner is not settled (Release; the partner is the Acquire of [`Lock`]). Another
///    locker may have set C after the lock: CAS again.
/// 2. If C was on, wake one.
///
/// An unlock is not a swap, because an owner that was marked as dead by mistake must not release the lock of its successor. In that
/// case the output is false.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Unlock {
    word: Place,
    at: Unlocking,
    leaves: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Unlocking {
    /// With the flags from the time of the lock.
    First(u64),
    Again(u64),
    Wake,
}

impl Unlock {
    /// Begins to unlock what was locked as `locked`. If `settled`, [`Locked::died`] is false for the next owners.
    #[must_use]
    pub fn new(word: Place, locked: Locked, settled: bool) -> Self {
        let inc = if locked.died { INC } else { 0 };
        Self { word, at: Unlocking::First(inc), leaves: if settled { 0 } else { inc } }
    }
}

impl Machine for Unlock {
    type Output = bool;

    #[inline(always)]
    fn step<W: Words>(&mut self, words: &W) -> Step<bool> {
        let me = words.me();
        let word = match self.at {
            Unlocking::First(flags) => owned_by(me) | flags,
            Unlocking::Again(word) => word,
            Unlocking::Wake => {
                words.wake(self.word, 1);
                return Step::Done(true);
            }
        };
        match words.compare_exchange(self.word, word, self.leaves, Release) {
            Ok(_) if word & C != 0 => {
                self.at = Unlocking::Wake;
                Step::Next
            }
            Ok(_) => Step::Done(true),
            Err(other) if owner(other) == Some(me) => {
                self.at = Unlocking::Again(other);
                Step::Contended
            }
            Err(_) => Step::Done(false),
        }
    }
}

/// Repairs the word of a mutex after a death, as a part of a [sweep](super::sweep).
///
/// 1. Load the word. The dead member does not own it: done.
/// 2. Store the dead owner in the second word.
/// 3. CAS → INC, without C (release and acquire). The word has changed, so a sleeper that compares it again does not sleep again.
///    If it fails: done or 3, with the value that is there.
///
/// The sweep wakes all sleepers in either case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Repair {
    word: Place,
    dead: Member,
    at: Repairing,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Repairing {
    Load,
    Predecessor(u64),
    Replace(u64),
}

impl Repair {
    /// Begins to repair.
    #[must_use]
    pub fn new(word: Place, dead: Member) -> Self {
        Self { word, dead, at: Repairing::Load }
    }
}

impl Machine for Repair {
    type Output = ();

    fn step<W: Words>(&mut self, words: &W) -> Step<()> {
        let (there, next, step) = match self.at {
            Repairing::Load => {
                let there = words.load(self.word, Acquire);
                (there, Repairing::Predecessor(there), Step::Next)
            }
            Repairing::Predecessor(word) => {
                store_predecessor(words, self.word, word);
                (word, Repairing::Replace(word), Step::Next)
            }
            Repairing::Replace(word) => match words.compare_exchange(self.word, word, INC, AcqRel) {
                Ok(_) => return Step::Done(()),
                Err(there) => (there, Repairing::Replace(there), Step::Contended),
            },
        };
        if owner(there) != Some(self.dead) {
            return Step::Done(());
        }
        self.at = next;
        step
    }
}

/// True if a word names an owner that is dead.
pub(super) fn is_dead<W: Words>(words: &W, word: u64) -> bool {
    owner(word).is_some_and(|Member { slot, generation }| {
        // Ordering: Acquire. The partner is the CAS that marks the slot.
        slot >= words.slots() || !is_live(words.slot(slot, Acquire), generation)
    })
}

/// Makes another copy of a value the current one, within the section.
///
/// Ordering: Release. The partner is [`current`] of the next owner. After a death no unlock comes in between, so this store must
/// publish the copy.
pub fn commit<W: Words>(words: &W, place: Place, number: u64) {
    words.store(place, number, Release);
}

/// Loads the number of the current copy, within the section. Ordering: see [`commit`].
pub fn current<W: Words>(words: &W, place: Place) -> u64 {
    words.load(place, Acquire)
}
