//! The condition variable, with the mutex and a number of things that it guards.

use super::world::{Wait as InKernel, World};
use super::{Counted, N, Program, Scenario, Trouble, all_at_once, few};
use crate::steps::condvar::{Notify, Prepare, UndoWait, WaitAndLock};
use crate::steps::mutex::{Lock, Locked, Unlock, predecessor_word};
use crate::steps::{Cancel, Machine, Place, Role, Sleep, Step, Wake, Words};
use std::sync::atomic::Ordering::Relaxed;

const MUTEX: Place = Place(0);
const WORD: Place = Place(2);
const THINGS: Place = Place(3);

/// Puts a thing there and wakes, or waits for one and takes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum User {
    Gives(Giver),
    /// How often it takes one.
    Takes(Taker, u8),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Giver {
    Lock(Lock),
    Give(Locked),
    Unlock(Unlock),
    Notify(Notify),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Taker {
    Lock(Lock),
    Check(Locked),
    Take(Locked),
    Prepare(Locked, Prepare),
    UnlockToWait(Unlock, WaitAndLock),
    Wait(WaitAndLock),
    Unlock(Unlock),
    UndoLock(Wake),
    UndoWait(UndoWait),
}

impl Giver {
    fn step<W: Words>(&mut self, words: &W) -> Step<()> {
        *self = match self {
            Self::Lock(lock) => match lock.step(words) {
                Step::Done(locked) => Self::Give(locked),
                step => return step.map(drop),
            },
            Self::Give(locked) => {
                words.fetch_add(THINGS, 1, Relaxed);
                Self::Unlock(Unlock::new(MUTEX, *locked, true))
            }
            Self::Unlock(unlock) => match unlock.step(words) {
                Step::Done(_) => Self::Notify(Notify::one(WORD)),
                step => return step.map(drop),
            },
            Self::Notify(notify) => return notify.step(words),
        };
        Step::Next
    }
}

impl Taker {
    fn step<W: Words>(&mut self, words: &W) -> Step<()> {
        *self = match self {
            Self::Lock(lock) => match lock.step(words) {
                Step::Done(locked) => Self::Check(locked),
                step => return step.map(drop),
            },
            Self::Check(locked) if words.load(THINGS, Relaxed) > 0 => Self::Take(*locked),
            Self::Check(locked) => Self::Prepare(*locked, Prepare::new(WORD)),
            Self::Take(locked) => {
                words.fetch_sub(THINGS, 1, Relaxed);
                Self::Unlock(Unlock::new(MUTEX, *locked, true))
            }
            Self::Prepare(locked, prepare) => match prepare.step(words) {
                Step::Done(wait) => {
                    Self::UnlockToWait(Unlock::new(MUTEX, *locked, true), WaitAndLock::new(wait, MUTEX))
                }
                step => return step.map(drop),
            },
            Self::UnlockToWait(unlock, wait) => match unlock.step(words) {
                Step::Done(_) => Self::Wait(*wait),
                step => return step.map(drop),
            },
            Self::Wait(wait) => match wait.step(words) {
                Step::Done(locked) => Self::Check(locked),
                step => return step.map(drop),
            },
            Self::Unlock(unlock) => return unlock.step(words).map(drop),
            Self::UndoLock(wake) => return wake.step(words),
            Self::UndoWait(undo) => return undo.step(words),
        };
        Step::Next
    }
}

impl Program for User {
    fn step<W: Words>(&mut self, words: &W) -> Step<()> {
        match self {
            Self::Gives(giver) => giver.step(words),
            Self::Takes(taker, left) => match taker.step(words) {
                Step::Done(()) if *left > 1 && matches!(taker, Taker::Unlock(_)) => {
                    *self = taker_of(*left - 1);
                    Step::Next
                }
                step => step,
            },
        }
    }

    fn woken(&mut self) {
        match self {
            Self::Gives(Giver::Lock(lock)) | Self::Takes(Taker::Lock(lock), _) => lock.woken(),
            Self::Takes(Taker::Wait(wait), _) => wait.woken(),
            _ => {}
        }
    }

    fn retry(&mut self) -> bool {
        match self {
            Self::Gives(Giver::Lock(lock)) | Self::Takes(Taker::Lock(lock), _) => lock.retry(),
            Self::Takes(Taker::Wait(wait), _) => wait.retry(),
            _ => false,
        }
    }

    fn cancel(&mut self) -> bool {
        let undo = match *self {
            Self::Takes(Taker::Lock(lock), _) => Taker::UndoLock(lock.cancel()),
            Self::Takes(Taker::Wait(wait), _) => Taker::UndoWait(wait.cancel()),
            _ => return false,
        };
        *self = Self::Takes(undo, 1);
        true
    }

    fn renumber(&mut self, f: &mut dyn FnMut(Place, u64) -> u64) {
        match self {
            Self::Gives(Giver::Notify(notify)) => notify.renumber(f),
            Self::Takes(Taker::Prepare(_, prepare), _) => prepare.renumber(f),
            Self::Takes(Taker::UnlockToWait(_, wait) | Taker::Wait(wait), _) => wait.renumber(f),
            _ => {}
        }
    }
}

fn check(world: &World<User, 4>) -> Option<&'static str> {
    (world.cells[3] > 4).then_some("more was taken than given")
}

/// A taker may sleep while there is nothing to take.
fn nothing_is_there(world: &World<User, 4>, i: usize) -> bool {
    matches!(world.processes[i].wait, InKernel::Queued(Sleep { place: WORD, .. })) && world.cells[3] == 0
}

const GIVER: User = User::Gives(Giver::Lock(Lock::new(MUTEX)));

const fn taker_of(n: u8) -> User {
    User::Takes(Taker::Lock(Lock::new(MUTEX)), n)
}

pub(super) const ONE_GIVES: Scenario<User, 4> = Scenario {
    processes: 3,
    start: |slot| if slot == 0 { GIVER } else { taker_of(1) },
    cells: [0; 4],
    trouble: Trouble::NONE,
    roles: &[(Role::Lock, MUTEX), (Role::Counter, WORD)],
    counted: &[
        Counted { place: WORD, bits: 0xffff_ffff << 32 },
        Counted { place: WORD, bits: 0x7fff_ffff },
        Counted::unused(predecessor_word(MUTEX)),
    ],
    check,
    excused: nothing_is_there,
    inside: |_| false,
    followed: |_, _, _| (),
    examine_always: false,
    sweepers: N,
    whole: false,
    two_tasks: false,
};

const TWO_GIVE: Scenario<User, 4> = Scenario { start: |slot| if slot == 2 { taker_of(2) } else { GIVER }, ..ONE_GIVES };

#[test]
fn each_thing_that_is_put_there_is_taken() {
    Scenario { whole: true, ..ONE_GIVES }.holds("condvar, one gives, two take");
    Scenario { whole: true, ..TWO_GIVE }.holds("condvar, two give, one takes both");
}

#[test]
fn a_cancelled_taker_keeps_no_wake() {
    Scenario { trouble: Trouble::new(0, 0, 1), ..ONE_GIVES }.holds("condvar, one gives, two take, a cancel");
}

#[test]
fn a_killed_member_keeps_no_wake() {
    Scenario { trouble: Trouble::new(1, 0, 0), sweepers: few(), ..ONE_GIVES }
        .holds("condvar, one gives, two take, a kill");
    Scenario { trouble: Trouble::new(1, 0, 0), sweepers: few(), ..TWO_GIVE }
        .holds("condvar, two give, one takes both, a kill");
    if all_at_once() {
        Scenario { trouble: Trouble::new(2, 0, 1), sweepers: few(), ..ONE_GIVES }
            .holds("condvar, 2 kills and a cancel");
        Scenario { trouble: Trouble::new(1, 1, 0), sweepers: 1, ..ONE_GIVES }.holds("condvar, a kill and a rejoin");
    }
}

#[test]
fn a_kill_beside_a_cancel_loses_no_wake() {
    Scenario { trouble: Trouble::new(1, 0, 1), sweepers: few(), ..ONE_GIVES }
        .holds("condvar, one gives, two take, a kill and a cancel");
}

#[test]
fn a_stopped_taker_keeps_no_wake() {
    let excused = |world: &World<User, 4>, i| {
        world.is_any_stopped_awake() || world.is_owner_stopped(MUTEX) || nothing_is_there(world, i)
    };
    let trouble = Trouble { stops: 1, ..Trouble::NONE };
    Scenario { trouble, excused, ..ONE_GIVES }.holds("condvar, one gives, two take, a stop");
}

#[test]
fn two_users_survive_all_kinds_of_trouble() {
    Scenario { processes: 2, trouble: Trouble::new(1, 1, 1), sweepers: few(), ..ONE_GIVES }
        .holds("condvar, 2 users, all");
}

#[test]
fn two_tasks_of_a_member_take_and_give() {
    for (scenario, name) in
        [(ONE_GIVES, "condvar, one gives, two take"), (TWO_GIVE, "condvar, two give, one takes both")]
    {
        let both = Scenario { two_tasks: true, ..scenario };
        both.holds(&format!("{name}, two tasks of one member"));
        Scenario { trouble: Trouble::new(1, 0, 0), sweepers: few(), ..both }
            .holds(&format!("{name}, two tasks of one member, a kill"));
        Scenario { trouble: Trouble::new(0, 0, 1), ..both }
            .holds(&format!("{name}, two tasks of one member, a cancel"));
    }
}
