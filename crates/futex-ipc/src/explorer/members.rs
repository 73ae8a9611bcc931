//! The table of members.

use super::world::{Life, Task, World};
use super::{N, Program, Scenario, Trouble};
use crate::steps::member::{Leave, is_live};
use crate::steps::{Machine, Place, Step, Words};

/// Is a member for a while, and leaves.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Guest {
    There,
    Leaves(Leave),
}

impl Program for Guest {
    fn step<W: Words>(&mut self, words: &W) -> Step<()> {
        match self {
            Self::There => {
                *self = Self::Leaves(Leave);
                Step::Next
            }
            Self::Leaves(leave) => {
                leave.step(words).map(|left| assert!(left, "the slot did not belong to its member any more"))
            }
        }
    }

    fn woken(&mut self) {}

    fn cancel(&mut self) -> bool {
        false
    }

    fn renumber(&mut self, _: &mut dyn FnMut(Place, u64) -> u64) {}
}

fn check(world: &World<Guest, 1>) -> Option<&'static str> {
    let is_lost = world.processes.iter().zip(world.slots).any(|(process, slot)| {
        process.life == Life::Alive && matches!(process.task, Task::Running(_)) && !is_live(slot, process.generation)
    });
    is_lost.then_some("a living member was marked as dead")
}

const TABLE: Scenario<Guest, 1> = Scenario {
    processes: 3,
    start: |_| Guest::There,
    cells: [0],
    trouble: Trouble::NONE,
    roles: &[],
    counted: &[],
    check,
    excused: |_, _| false,
    inside: |_| false,
    followed: |_, _, _| (),
    examine_always: true,
    sweepers: N,
    whole: true,
    two_tasks: false,
};

#[test]
fn a_living_member_is_never_marked_as_dead() {
    Scenario { trouble: Trouble::new(1, 1, 0), ..TABLE }.holds("members, a kill and a rejoin");
    Scenario { trouble: Trouble::new(2, 2, 0), processes: 2, ..TABLE }.holds("members, 2 kills and 2 rejoins of 2");
    Scenario { trouble: Trouble::new(2, 1, 0), sweepers: 2, ..TABLE }.holds("members, 2 kills and a rejoin");
}
