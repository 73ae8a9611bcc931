//! The barrier.

use super::world::{Task, World};
use super::{Counted, N, Program, Scenario, Trouble, all_at_once, few};
use crate::steps::barrier::{Arrive, Attach, Barrier, Detach};
use crate::steps::record::Records;
use crate::steps::{Cancel, Machine, Place, Role, Step, Wake, Words, halves};

const BARRIER: Barrier = Barrier { phase: Place(0), event: Place(1), records: Records(Place(2)) };
const CELLS: usize = 5;

/// Arrives `phases` times, and detaches.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Party {
    at: At,
    /// Phases that it has begun and ended.
    begun: u8,
    ended: u8,
    phases: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum At {
    Attach(Attach),
    Arrive(Arrive),
    Detach(Detach),
    Undo(Wake, Option<u64>),
}

impl Party {
    const fn new(phases: u8) -> Self {
        Self { at: At::Arrive(Arrive::new(BARRIER)), begun: 0, ended: 0, phases }
    }
}

impl Program for Party {
    fn step<W: Words>(&mut self, words: &W) -> Step<()> {
        self.at = match &mut self.at {
            At::Attach(attach) => match attach.step(words) {
                Step::Done(_) => At::Arrive(Arrive::new(BARRIER)),
                step => return step.map(drop),
            },
            At::Arrive(arrive) => match arrive.step(words) {
                Step::Done(_) => {
                    self.ended += 1;
                    let last = arrive.arrival();
                    if self.ended == self.phases { At::Detach(Detach::new(BARRIER, last)) } else { Self::new(0).at }
                }
                step => {
                    if arrive.arrival().is_some() {
                        self.begun = self.ended + 1;
                    }
                    return step.map(drop);
                }
            },
            At::Detach(detach) => return detach.step(words),
            At::Undo(undo, arrival) => match undo.step(words) {
                Step::Done(()) => At::Detach(Detach::new(BARRIER, *arrival)),
                step => return step,
            },
        };
        Step::Next
    }

    fn woken(&mut self) {
        if let At::Arrive(arrive) = &mut self.at {
            arrive.woken();
        }
    }

    fn cancel(&mut self) -> bool {
        let At::Arrive(arrive) = self.at else { return false };
        self.at = At::Undo(arrive.cancel(), arrive.arrival());
        true
    }

    fn renumber(&mut self, f: &mut dyn FnMut(Place, u64) -> u64) {
        if let At::Arrive(arrive) = &mut self.at {
            arrive.renumber(f);
        }
    }
}

/// When a task has seen the end of a phase, all tasks that were attached from the beginning have arrived in it.
fn check(world: &World<Party, CELLS>) -> Option<&'static str> {
    let attached = |program: &&Party| matches!(program.at, At::Arrive(_));
    let ended = world.programs().map(|program| program.ended).max()?;
    let lags = world.processes.iter().any(|process| {
        matches!(&process.task, Task::Running(program) if process.generation == 1 && attached(&program) && program.begun < ended)
    });
    lags.then_some("a phase ended before all had arrived")
}

pub(super) const PARTIES: Scenario<Party, CELLS> = Scenario {
    processes: 3,
    start: |_| Party::new(2),
    cells: [0, 0, halves(1, 1 << 20), halves(1, 1 << 20), halves(1, 1 << 20)],
    trouble: Trouble::NONE,
    roles: &[(Role::Counter, BARRIER.event)],
    counted: &[Counted { place: BARRIER.event, bits: u64::MAX }],
    check,
    excused: |_, _| false,
    inside: |_| false,
    followed: |_, _, _| (),
    examine_always: false,
    sweepers: N,
    whole: false,
    two_tasks: false,
};

#[test]
fn all_wait_for_all() {
    Scenario { whole: true, ..PARTIES }.holds("barrier, two phases");
}

#[test]
fn some_leave_after_the_first_phase() {
    let start = |slot| Party::new(if slot == 0 { 1 } else { 2 });
    Scenario { start, trouble: Trouble::new(0, 0, 1), ..PARTIES }.holds("barrier, one leaves, a cancel");
}

#[test]
fn a_death_is_a_departure() {
    Scenario { trouble: Trouble::new(2, 0, 0), sweepers: few(), ..PARTIES }.holds("barrier, 2 kills");
    Scenario { trouble: Trouble::new(1, 0, 1), sweepers: few(), ..PARTIES }.holds("barrier, a kill and a cancel");
}

/// A member that joins again attaches again.
#[test]
fn a_member_joins_again() {
    let start = |_| Party { at: At::Attach(Attach::new(BARRIER)), ..Party::new(1) };
    let cells = [0; CELLS];
    let processes = if all_at_once() { 3 } else { 2 };
    Scenario { processes, start, cells, check: |_| None, trouble: Trouble::new(1, 1, 0), sweepers: few(), ..PARTIES }
        .holds("barrier, all attach, a kill and a rejoin");
}

/// The second task of a member attaches at any time, also while a phase ends.
#[test]
fn a_second_task_of_a_member_attaches() {
    let start =
        |slot| if slot == 1 { Party { at: At::Attach(Attach::new(BARRIER)), ..Party::new(2) } } else { Party::new(2) };
    let late = Scenario { start, two_tasks: true, check: |_| None, ..PARTIES };
    late.holds("barrier, a second task attaches");
    Scenario { trouble: Trouble::new(1, 0, 0), sweepers: few(), ..late }
        .holds("barrier, a second task attaches, a kill");
    Scenario { trouble: Trouble::new(0, 0, 1), ..late }.holds("barrier, a second task attaches, a cancel");
}

#[test]
fn two_tasks_of_a_member_wait_for_each_other() {
    let cells = [0, 0, halves(1, 2 << 20), 0, halves(1, 1 << 20)];
    let both = Scenario { cells, two_tasks: true, ..PARTIES };
    Scenario { whole: true, ..both }.holds("barrier, two tasks of one member");
    Scenario { trouble: Trouble::new(1, 0, 0), sweepers: few(), ..both }
        .holds("barrier, two tasks of one member, a kill");
    Scenario { trouble: Trouble::new(0, 0, 1), ..both }.holds("barrier, two tasks of one member, a cancel");
}
