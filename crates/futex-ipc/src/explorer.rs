//! Runs the steps of three processes in every order, with kills, over a model of the memory and of the kernel.
//!
//! [`world`] is the memory, the kernel and the processes, [`search`] visits every reachable state, and the other files have the
//! programs of the processes. All accesses are sequentially consistent here; the loom models check the orderings.
//!
//! # The kernel of the model
//!
//! - Waits queue first in, first out, all places together. Comparing and queueing is one step.
//! - A kill takes effect between any two steps. The waits of a killed process stay in the queue for any time, and consume wakes, as on
//!   Linux 6.12. The lock of the slot is freed some time after the kill.
//! - A process that joins again takes the lock of its slot first.
//! - Each living process has a watcher that marks and sweeps the dead, one step at a time.
//! - A process that is stopped makes no step, and keeps its wait and its lock.
//! - In some explorations one member has two tasks, which die together.
//!
//! # Checks
//!
//! In each state: the promises of the lock are kept ([`Scenario::check`]), and some process can go on, unless all are done. Otherwise a
//! living process sleeps forever. After the search: from each state, events other than a kill, a cancel, a join or a stop lead to a
//! state in which all are done.
//!
//! # Size
//!
//! With `FUTEX_IPC_EXPLORE=all` each test has all kinds of trouble at once. Without it they come in pairs.

mod barrier;
mod commit;
mod condvar;
mod crash_points;
mod event;
mod members;
mod mutex;
mod once;
mod queue;
mod real_memory;
mod rwlock;
mod search;
mod semaphore;
mod view;
mod world;

use self::world::World;
use crate::steps::{Place, Role, Step, Words};
use std::fmt::Debug;
use std::hash::Hash;

/// Number of processes.
pub(crate) const N: usize = 3;

/// The program of a task.
pub(crate) trait Program: Copy + Eq + Hash + Debug {
    /// Makes the next step of its operation. `Done` is the end of the program.
    fn step<W: Words>(&mut self, words: &W) -> Step<()>;

    /// Passes a wake to the operation.
    fn woken(&mut self);

    /// See [`Machine::retry`](crate::steps::Machine::retry).
    fn retry(&mut self) -> bool {
        false
    }

    /// Cancels the operation, or returns false if it can't be cancelled.
    fn cancel(&mut self) -> bool;

    /// See [`Machine::renumber`](crate::steps::Machine::renumber).
    fn renumber(&mut self, f: &mut dyn FnMut(Place, u64) -> u64);
}

/// Numbers of kills and other events in an exploration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Trouble {
    pub(crate) kills: u8,
    pub(crate) rejoins: u8,
    pub(crate) cancels: u8,
    pub(crate) stops: u8,
}

impl Trouble {
    pub(crate) const NONE: Self = Self { kills: 0, rejoins: 0, cancels: 0, stops: 0 };

    pub(crate) const fn new(kills: u8, rejoins: u8, cancels: u8) -> Self {
        Self { kills, rejoins, cancels, stops: 0 }
    }
}

/// A counter or a version, which the explorer renumbers in each state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) place: Place,
    /// The bits that count.
    pub(crate) bits: u64,
}

impl Counted {
    /// A word that no algorithm loads.
    pub(crate) const fn unused(place: Place) -> Self {
        Self { place, bits: u64::MAX }
    }
}

/// The processes, the memory and the trouble of an exploration.
#[derive(Clone, Copy)]
pub(crate) struct Scenario<P: Program, const CELLS: usize> {
    /// Number of processes.
    pub(crate) processes: usize,
    /// The program of a process, by its slot. It is the same after the process joins again.
    pub(crate) start: fn(usize) -> P,
    /// The words at the beginning.
    pub(crate) cells: [u64; CELLS],
    pub(crate) trouble: Trouble,
    /// The words, for a sweep.
    pub(crate) roles: &'static [(Role, Place)],
    pub(crate) counted: &'static [Counted],
    /// Returns the fault of a state.
    pub(crate) check: fn(&World<P, CELLS>) -> Option<&'static str>,
    /// True if a process need not finish.
    pub(crate) excused: fn(&World<P, CELLS>, usize) -> bool,
    /// True if a death in this state of a program leaves the data in the middle of a change.
    pub(crate) inside: fn(&P) -> bool,
    /// Updates [`World::dirty`] after a step of a program.
    pub(crate) followed: fn(before: &P, after: &P, dirty: &mut bool),
    /// True if watchers may examine a slot at any time, not only after a death.
    pub(crate) examine_always: bool,
    /// Maximum number of watchers that are at work at the same time. A process that joins again sweeps beside them.
    pub(crate) sweepers: usize,
    /// True if the search keeps whole states, and not only their hashes.
    pub(crate) whole: bool,
    /// True if the second process is another task of the first one, and both are one member.
    pub(crate) two_tasks: bool,
}

impl<P: Program, const CELLS: usize> Scenario<P, CELLS> {
    /// The slot of a process.
    fn slot_of(&self, i: usize) -> usize {
        if self.is_second_task(i) { 0 } else { i }
    }

    /// True if a process is not one of its own.
    fn is_second_task(&self, i: usize) -> bool {
        self.two_tasks && i == 1
    }
}

/// True if each exploration has all kinds of trouble at once.
pub(crate) fn all_at_once() -> bool {
    std::env::var_os("FUTEX_IPC_EXPLORE").is_some_and(|value| value == "all")
}

/// Number of sweepers. A process that joins again sweeps beside them.
pub(crate) fn few() -> usize {
    if all_at_once() { N } else { 1 }
}
