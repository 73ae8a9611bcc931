//! The events.

use super::world::{Event, Task, Wait as InKernel, World};
use super::{N, Program, Scenario, Trouble, all_at_once};
use crate::steps::event::{Reset, SET, Set, SetOne, Wait, WaitOne};
use crate::steps::{Cancel, Machine, Place, Role, Sleep, Step, Wake, Words, low};

const WORD: Place = Place(0);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum User {
    Set(Set),
    Reset(Reset),
    Wait(Wait),
    SetOne(SetOne, u8),
    WaitOne(WaitOne),
    Undo(Wake),
}

impl Program for User {
    fn step<W: Words>(&mut self, words: &W) -> Step<()> {
        match self {
            Self::Set(set) => set.step(words).map(drop),
            Self::Reset(reset) => reset.step(words).map(drop),
            Self::Wait(wait) => wait.step(words),
            Self::SetOne(set, left) => match set.step(words) {
                Step::Done(_) if *left > 1 => {
                    *self = Self::SetOne(SetOne::new(WORD), *left - 1);
                    Step::Next
                }
                step => step.map(drop),
            },
            Self::WaitOne(wait) => wait.step(words),
            Self::Undo(undo) => undo.step(words),
        }
    }

    fn woken(&mut self) {
        match self {
            Self::Wait(wait) => wait.woken(),
            Self::WaitOne(wait) => wait.woken(),
            _ => {}
        }
    }

    fn cancel(&mut self) -> bool {
        *self = match *self {
            Self::Wait(wait) => Self::Undo(wait.cancel()),
            Self::WaitOne(wait) => Self::Undo(wait.cancel()),
            _ => return false,
        };
        true
    }

    fn renumber(&mut self, _: &mut dyn FnMut(Place, u64) -> u64) {}
}

/// A process may sleep on an event that is not set.
fn nothing_is_set(world: &World<User, 1>, i: usize) -> bool {
    let word = world.cells[0];
    matches!(world.processes[i].wait, InKernel::Queued(Sleep { expected, .. }) if word & SET == 0 && expected == low(word))
}

pub(super) const EVENT: Scenario<User, 1> = Scenario {
    processes: 3,
    start: |slot| if slot == 0 { User::Set(Set::new(WORD)) } else { User::Wait(Wait::new(WORD)) },
    cells: [0],
    trouble: Trouble::NONE,
    roles: &[(Role::Flag, WORD)],
    counted: &[],
    check: |_| None,
    excused: nothing_is_set,
    inside: |_| false,
    followed: |_, _, _| (),
    examine_always: false,
    sweepers: N,
    whole: true,
    two_tasks: false,
};

pub(super) const ONE_BY_ONE: Scenario<User, 1> = Scenario {
    start: |slot| if slot == 0 { User::SetOne(SetOne::new(WORD), 2) } else { User::WaitOne(WaitOne::new(WORD)) },
    ..EVENT
};

#[test]
fn an_event_that_is_set_releases_all() {
    EVENT.holds("event");
    Scenario { trouble: Trouble::new(1, 1, 0), ..EVENT }.holds("event, a kill and a rejoin");
    Scenario { trouble: Trouble::new(2, 0, 0), ..EVENT }.holds("event, 2 kills");
    Scenario { trouble: Trouble::new(1, 0, 1), ..EVENT }.holds("event, a kill and a cancel");
    if all_at_once() {
        Scenario { trouble: Trouble::new(2, 1, 1), ..EVENT }.holds("event, all");
    }
}

#[test]
fn an_event_that_is_reset_releases_earlier_waiters() {
    let start = |slot| match slot {
        0 => User::Set(Set::new(WORD)),
        1 => User::Reset(Reset::new(WORD)),
        _ => User::Wait(Wait::new(WORD)),
    };
    Scenario { start, trouble: Trouble::new(1, 1, 0), ..EVENT }.holds("event, set and reset, a kill and a rejoin");
}

#[test]
fn an_automatic_event_that_is_set_has_no_sleeper() {
    ONE_BY_ONE.holds("automatic event");
    Scenario { trouble: Trouble::new(1, 1, 0), ..ONE_BY_ONE }.holds("automatic event, a kill and a rejoin");
    Scenario { trouble: Trouble::new(2, 0, 0), ..ONE_BY_ONE }.holds("automatic event, 2 kills");
    Scenario { trouble: Trouble::new(1, 0, 1), ..ONE_BY_ONE }.holds("automatic event, a kill and a cancel");
    if all_at_once() {
        Scenario { trouble: Trouble::new(2, 1, 1), ..ONE_BY_ONE }.holds("automatic event, all");
    }
}

#[test]
fn a_stopped_waiter_keeps_no_wake() {
    let excused = |world: &World<User, 1>, i| world.is_any_stopped_awake() || nothing_is_set(world, i);
    let trouble = Trouble { stops: 1, ..Trouble::NONE };
    Scenario { trouble, excused, ..EVENT }.holds("event, a stop");
    Scenario { trouble, excused, ..ONE_BY_ONE }.holds("automatic event, a stop");
}

/// A member that takes the event without a wait, even if others wait.
#[test]
fn an_event_that_resets_itself_is_taken_by_a_try() {
    let start = |slot| match slot {
        0 => User::SetOne(SetOne::new(WORD), 2),
        1 => User::Reset(Reset::new(WORD)),
        _ => User::WaitOne(WaitOne::new(WORD)),
    };
    Scenario { start, trouble: Trouble::new(1, 1, 0), ..EVENT }.holds("automatic event, a try, a kill and a rejoin");
    Scenario { start, trouble: Trouble::new(0, 0, 1), ..EVENT }.holds("automatic event, a try and a cancel");
    let start = |slot| match slot {
        0 => User::Reset(Reset::new(WORD)),
        1 => User::SetOne(SetOne::new(WORD), 2),
        _ => User::WaitOne(WaitOne::new(WORD)),
    };
    Scenario { start, trouble: Trouble::new(1, 0, 1), ..EVENT }.holds("automatic event, a try, a kill and a cancel");
}

/// Two setters: each `set` that finds the event not set lets one pass.
#[test]
fn an_automatic_event_can_be_set_by_two() {
    let start = |slot| match slot {
        2 => User::WaitOne(WaitOne::new(WORD)),
        _ => User::SetOne(SetOne::new(WORD), 1),
    };
    Scenario { start, trouble: Trouble::new(1, 1, 0), ..EVENT }.holds("automatic event, two set it");
}

/// A `set` is for all waiters, even if the event is reset before they run. The explorer can't distinguish such a waiter from one that
/// came after the reset.
#[test]
fn a_waiter_that_slept_through_set_and_reset_goes_on() {
    let start = |slot| match slot {
        0 => User::Set(Set::new(WORD)),
        1 => User::Reset(Reset::new(WORD)),
        _ => User::Wait(Wait::new(WORD)),
    };
    let scenario = Scenario { start, excused: |_, _| false, ..EVENT };
    for arms in [false, true] {
        let mut world = World::new(&scenario);
        while world.processes[2].wait == InKernel::None {
            world = world.after(&scenario, Event::Steps(2));
        }
        if arms {
            world = world.after(&scenario, Event::Arms(2));
        }
        for process in [0, 1] {
            while world.processes[process].task != Task::Over {
                world = world.after(&scenario, Event::Steps(process));
            }
        }
        if !arms {
            world = world.after(&scenario, Event::Arms(2));
        }
        assert_eq!(world.processes[2].wait, InKernel::None, "the event was set, and the waiter sleeps");
        while world.processes[2].task != Task::Over {
            assert_eq!(world.processes[2].wait, InKernel::None, "the waiter sleeps again");
            world = world.after(&scenario, Event::Steps(2));
        }
    }
}
