//! The algorithms, as steps.
//!
//! A *machine* is the state of an operation: a small enum. [`Machine::step`] makes **at most one access** to the shared memory (a
//! load, a compare-and-swap, a wake, …) and returns the kind of the next step. So an async driver, a driver that blocks the thread,
//! loom, and an explorer that kills processes between two steps all run the same algorithm.
//!
//! # Duties of a driver
//!
//! The driver calls [`Machine::step`] until that returns [`Step::Done`].
//!
//! - [`Step::Next`]: the driver steps again. It must not suspend or cancel the operation here.
//! - [`Step::Contended`]: another member was faster, or the memory is damaged. The driver steps again, but the number of such steps is
//!   bounded: after [`PATIENCE`] such steps without a sleep in between, the driver yields to other tasks, or gives up with an error. No
//!   count in the shared memory bounds a loop.
//! - [`Step::Busy`]: the machine can't go on now, and begins to sleep next. The driver steps again, or pauses for a short time and calls
//!   [`Machine::retry`] before. It must not suspend or cancel the operation here.
//! - [`Step::Sleep`]: the driver waits until the low half of the word at `place` differs from `expected`, or until a wake. If the kernel
//!   counted the wake, the driver calls [`Machine::woken`]. In each case it steps again. A sleep that ends at once, because the word
//!   differs, counts as `Contended`.
//!
//! An operation may be cancelled when its last step was `Contended` or `Sleep`. [`Cancel::cancel`] returns the machine that undoes
//! the operation. That machine never sleeps, makes at most one wake for a lock, and runs within `Drop`. If a wake ended the wait,
//! the driver calls [`Machine::woken`] before the cancel, unless it has already passed the wake on to the next waiter.
//!
//! # The memory
//!
//! An object is an array of 64-bit words, and a [`Place`] is an index into it. Each access has the whole width. The kernel compares
//! the low half of a word when a task begins to sleep on it.
//!
//! No machine has a fence. If two sides each change one word and then load the other one (a *Dekker* pair), all four accesses are
//! `SeqCst`, and the comments name the partner. On x86-64 such a load costs nothing; a fence takes about 10 ns.

pub mod barrier;
pub mod condvar;
pub mod event;
pub mod member;
pub mod mutex;
pub mod once;
pub mod record;
pub mod rwlock;
pub mod semaphore;
mod slot;
pub mod sweep;

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::atomic::Ordering;

/// Maximum number of [`Step::Contended`] in a row before a driver yields.
pub const PATIENCE: u32 = 64;

/// Maximum of [`Machine::FAST`].
pub const MAX_FAST: u32 = 3;

/// A 64-bit word of an object, by its index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place(pub u32);

/// A member of the region: a slot of the table, and the generation of that slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Member {
    /// Index into the table of members.
    pub slot: u32,
    /// Number of members that have taken the slot so far. A word with another generation does not name this member.
    pub generation: u32,
}

/// The treatment of a word by a [`sweep`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// The word of a [`mutex`].
    Lock,
    /// A counter on which tasks sleep.
    Counter,
    /// A word whose value alone decides whether a task sleeps.
    Flag,
}

/// The accesses that steps make. A driver implements them for real memory, and the models for theirs.
///
/// Each is one step, except `slots`, `me` and `swept`: these do not access memory that other members change.
pub trait Words {
    /// Loads a word.
    fn load(&self, place: Place, order: Ordering) -> u64;

    /// Stores a word.
    fn store(&self, place: Place, value: u64, order: Ordering);

    /// Replaces `current` by `new`, or returns the value that is there instead. `order` is that of a success; a failure is relaxed.
    ///
    /// # Errors
    ///
    /// The value of the word, if it is not `current`.
    fn compare_exchange(&self, place: Place, current: u64, new: u64, order: Ordering) -> Result<u64, u64>;

    /// Adds to a word, wrapping, and returns the value before.
    fn fetch_add(&self, place: Place, n: u64, order: Ordering) -> u64;

    /// Subtracts from a word, wrapping, and returns the value before.
    fn fetch_sub(&self, place: Place, n: u64, order: Ordering) -> u64 {
        self.fetch_add(place, n.wrapping_neg(), order)
    }

    /// Wakes up to `n` sleepers of a word, and returns their number.
    fn wake(&self, place: Place, n: u32) -> u32;

    /// Loads a slot of the table of members. See [`member`].
    fn slot(&self, slot: u32, order: Ordering) -> u64;

    /// Replaces the word of a slot if it is `current` (acquire and release).
    ///
    /// # Errors
    ///
    /// The value of the word, if it is not `current`.
    fn replace_slot(&self, slot: u32, current: u64, new: u64) -> Result<u64, u64>;

    /// Asks the kernel whether a process has the lock of a slot. Returns true if the kernel gives no answer: unknown means alive.
    fn is_locked(&self, slot: u32) -> bool;

    /// Number of slots of the table, from this process's own memory.
    fn slots(&self) -> u32;

    /// The member that this process is.
    fn me(&self) -> Member;

    /// The words of the whole directory, one after the other; `None` after the last one.
    ///
    /// The driver loads the number of objects after the sweep began (acquire).
    fn swept(&self, index: u32) -> Option<(Role, Place)>;
}

/// A sleep until the low half of the word at `place` differs from `expected`, or until a wake.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Sleep {
    /// The word.
    pub place: Place,
    /// The low half with which the sleep begins.
    pub expected: u32,
    /// The bits of the low half that a [`Recheck`] compares. Other bits change while the sleep goes on: for example, a mutex gets
    /// another owner.
    pub mask: u32,
    /// True if a change of these bits during a sleep proves that a wake was lost. If it is false, a change only shows that a wake may be
    /// lost.
    pub certain: bool,
}

/// Result of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step<T> {
    /// Another step follows.
    Next,
    /// Another step follows, because another member was faster in this one.
    Contended,
    /// The next steps prepare a sleep. The driver may call [`Machine::retry`] before.
    Busy,
    /// The machine sleeps.
    Sleep(Sleep),
    /// The operation is over.
    Done(T),
}

impl<T> Step<T> {
    /// Maps the output of an operation.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Step<U> {
        match self {
            Self::Next => Step::Next,
            Self::Contended => Step::Contended,
            Self::Busy => Step::Busy,
            Self::Sleep(sleep) => Step::Sleep(sleep),
            Self::Done(value) => Step::Done(f(value)),
        }
    }

    /// A sleep that must end when any bit of the low half changes.
    pub(crate) const fn sleep(place: Place, expected: u32) -> Self {
        Self::Sleep(Sleep { place, expected, mask: u32::MAX, certain: true })
    }

    /// A sleep that must end when a flag of the low half is cleared. Other bits change without a wake for this sleep.
    pub(crate) const fn sleep_while_flag(place: Place, expected: u32, flag: u64) -> Self {
        Self::Sleep(Sleep { place, expected, mask: low(flag), certain: true })
    }
}

/// An operation that has begun.
pub trait Machine: Copy + Eq + Hash + Debug {
    /// Output of the operation.
    type Output;

    /// Number of steps if no other operation interferes, at most [`MAX_FAST`]. Drivers have a copy of the code for each of them.
    const FAST: u32 = 1;

    /// Makes the next step, with at most one access to the memory.
    fn step<W: Words>(&mut self, words: &W) -> Step<Self::Output>;

    /// Notes that the sleep was ended by a wake.
    fn woken(&mut self) {}

    /// After [`Step::Busy`]: makes the next step another attempt, instead of one that prepares a sleep. Returns false, and changes
    /// nothing, if there is nothing to attempt.
    fn retry(&mut self) -> bool {
        false
    }

    /// Replaces each value that the machine has loaded from a word and compares later. The explorer gives low numbers to words that
    /// count, so that equal states are recognized.
    #[cfg(test)]
    fn renumber(&mut self, _: &mut dyn FnMut(Place, u64) -> u64) {}
}

/// An operation that can be cancelled.
pub trait Cancel: Machine {
    /// The machine that undoes a cancelled operation. It never sleeps.
    type Undo: Machine<Output = ()>;

    /// Ends the operation early. The last step must have been [`Step::Contended`] or [`Step::Sleep`].
    fn cancel(self) -> Self::Undo;
}

/// Wakes some sleepers of a word, or none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Wake {
    place: Place,
    n: u32,
}

impl Wake {
    /// Wakes up to `n`.
    #[must_use]
    pub fn new(place: Place, n: u32) -> Self {
        Self { place, n }
    }
}

impl Machine for Wake {
    type Output = ();

    fn step<W: Words>(&mut self, words: &W) -> Step<()> {
        if self.n > 0 {
            words.wake(self.place, self.n);
        }
        Step::Done(())
    }
}

/// Compares the word of a sleep again, once a second. It finds a wake that a stopped process has consumed.
///
/// 1. Load the word (`SeqCst`). If the bits of the mask are as expected, the sleep goes on.
/// 2. Otherwise a wake was lost, and other sleepers may have lost theirs: wake all.
///
/// The output is the number of sleepers that were woken. A driver counts the calls with an output above 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Recheck {
    sleep: Sleep,
    differs: bool,
}

impl Recheck {
    /// Compares once.
    #[must_use]
    pub fn new(sleep: Sleep) -> Self {
        Self { sleep, differs: false }
    }
}

impl Machine for Recheck {
    type Output = u32;

    fn step<W: Words>(&mut self, words: &W) -> Step<u32> {
        if self.differs {
            return Step::Done(words.wake(self.sleep.place, u32::MAX));
        }
        let Sleep { place, expected, mask, .. } = self.sleep;
        self.differs = (low(words.load(place, Ordering::SeqCst)) ^ expected) & mask != 0;
        if self.differs { Step::Next } else { Step::Done(0) }
    }

    #[cfg(test)]
    fn renumber(&mut self, f: &mut dyn FnMut(Place, u64) -> u64) {
        self.sleep.expected = low(f(self.sleep.place, self.sleep.expected.into()));
    }
}

/// The half of a word that the kernel compares.
#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
#[must_use]
pub const fn low(word: u64) -> u32 {
    word as u32
}

/// The other half of a word.
#[must_use]
pub const fn high(word: u64) -> u32 {
    low(word >> 32)
}

/// A word of two halves.
#[must_use]
pub const fn halves(high: u32, low: u32) -> u64 {
    (high as u64) << 32 | low as u64
}
