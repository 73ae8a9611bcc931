//! The cell that is initialised once.

use super::world::World;
use super::{Counted, N, Program, Scenario, Trouble, all_at_once, few};
use crate::steps::mutex::{Locked, predecessor_word};
use crate::steps::once::{Finish, Get, Once, TryGet, Turn, UndoGet};
use crate::steps::{Cancel, Machine, Place, Role, Step, Words};

const ONCE: Once = Once { word: Place(0), done: Place(2) };

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum User {
    Get(Get),
    Try(TryGet),
    Initialises(Locked),
    Finish(Finish),
    Has,
    Undo(UndoGet),
}

impl Program for User {
    fn step<W: Words>(&mut self, words: &W) -> Step<()> {
        *self = match self {
            Self::Get(get) => match get.step(words) {
                Step::Done(Turn::Ready) => Self::Has,
                Step::Done(Turn::Initialise(locked)) => Self::Initialises(locked),
                step => return step.map(drop),
            },
            Self::Try(get) => match get.step(words) {
                Step::Done(Some(Turn::Ready)) => Self::Has,
                Step::Done(Some(Turn::Initialise(locked))) => Self::Initialises(locked),
                step => return step.map(drop),
            },
            Self::Initialises(locked) => Self::Finish(Finish::new(ONCE, *locked)),
            Self::Finish(finish) => match finish.step(words) {
                Step::Done(()) => Self::Has,
                step => return step,
            },
            Self::Has => return Step::Done(()),
            Self::Undo(undo) => return undo.step(words),
        };
        Step::Next
    }

    fn woken(&mut self) {
        if let Self::Get(get) = self {
            get.woken();
        }
    }

    fn cancel(&mut self) -> bool {
        let Self::Get(get) = self else { return false };
        *self = Self::Undo(get.cancel());
        true
    }

    fn renumber(&mut self, _: &mut dyn FnMut(Place, u64) -> u64) {}
}

fn check(world: &World<User, 3>) -> Option<&'static str> {
    let is_done = world.cells[2] == 1;
    let initialisers = world.programs().filter(|program| matches!(program, User::Initialises(_))).count();
    if initialisers > 1 {
        return Some("two initialise at the same time");
    }
    if initialisers > 0 && is_done {
        return Some("a value that is there is initialised");
    }
    if !is_done && world.programs().any(|program| *program == User::Has) {
        return Some("a user has a value that is not there");
    }
    None
}

pub(super) const CELL: Scenario<User, 3> = Scenario {
    processes: 3,
    start: |_| User::Get(Get::new(ONCE)),
    cells: [0; 3],
    trouble: Trouble::NONE,
    roles: &[(Role::Lock, ONCE.word)],
    counted: &[Counted::unused(predecessor_word(ONCE.word))],
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
fn a_cell_is_initialised_once() {
    Scenario { whole: true, ..CELL }.holds("once");
}

#[test]
fn a_cell_survives_two_kills() {
    Scenario { trouble: Trouble::new(2, 0, 0), sweepers: few(), ..CELL }.holds("once, 2 kills");
}

#[test]
fn a_cell_survives_a_kill_and_a_cancel() {
    Scenario { trouble: Trouble::new(1, 0, 1), sweepers: few(), ..CELL }.holds("once, a kill and a cancel");
}

#[test]
fn a_cell_survives_a_kill_and_a_rejoin() {
    Scenario { trouble: Trouble::new(1, 1, 0), sweepers: few(), ..CELL }.holds("once, a kill and a rejoin");
}

#[test]
fn a_cell_survives_all_kinds_of_trouble() {
    Scenario { processes: 2, trouble: Trouble::new(1, 1, 1), sweepers: few(), ..CELL }.holds("once, 2 users, all");
    if all_at_once() {
        Scenario { trouble: Trouble::new(2, 1, 1), sweepers: 1, ..CELL }.holds("once, 2 kills, a rejoin and a cancel");
    }
}

#[test]
fn a_cell_that_one_gets_only_if_it_need_not_wait() {
    let start = |slot| if slot == 0 { User::Try(TryGet::new(ONCE)) } else { User::Get(Get::new(ONCE)) };
    Scenario { start, trouble: Trouble::new(1, 0, 0), sweepers: few(), ..CELL }.holds("once, one tries, a kill");
}

#[test]
fn two_tasks_of_a_member_initialise_a_cell_once() {
    Scenario { two_tasks: true, whole: true, ..CELL }.holds("once, two tasks of one member");
    Scenario { two_tasks: true, trouble: Trouble::new(1, 0, 1), sweepers: few(), ..CELL }
        .holds("once, two tasks of one member, a kill and a cancel");
}
