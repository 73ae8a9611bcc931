//! The mutex.

use super::world::World;
use super::{N, Program, Scenario, Trouble, all_at_once, few};
use crate::steps::mutex::{Lock, Locked, TryLock, Unlock, predecessor_word};
use crate::steps::{Cancel, Machine, Place, Role, Step, Wake, Words};

const WORD: Place = Place(0);

/// Locks and unlocks, `left` times.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Locker {
    at: At,
    left: u8,
    tries: bool,
    /// True if it settles a death.
    settles: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum At {
    Lock(Lock),
    Try(TryLock),
    Inside(Locked),
    Unlock(Unlock),
    Undo(Wake),
}

impl Locker {
    fn new(left: u8, tries: bool, settles: bool) -> Self {
        let at = if tries { At::Try(TryLock::new(WORD)) } else { At::Lock(Lock::new(WORD)) };
        Self { at, left, tries, settles }
    }
}

impl Program for Locker {
    fn step<W: Words>(&mut self, words: &W) -> Step<()> {
        let at = match &mut self.at {
            At::Lock(lock) => match lock.step(words) {
                Step::Done(locked) => At::Inside(locked),
                step => return step.map(drop),
            },
            At::Try(lock) => match lock.step(words) {
                Step::Done(Some(locked)) => At::Inside(locked),
                step => return step.map(drop),
            },
            At::Inside(locked) => At::Unlock(Unlock::new(WORD, *locked, self.settles)),
            At::Unlock(unlock) => match unlock.step(words) {
                Step::Done(kept) => {
                    assert!(kept, "the mutex had another owner when it was unlocked");
                    self.left -= 1;
                    if self.left == 0 {
                        return Step::Done(());
                    }
                    Self::new(self.left, self.tries, self.settles).at
                }
                step => return step.map(drop),
            },
            At::Undo(undo) => return undo.step(words),
        };
        self.at = at;
        Step::Next
    }

    fn woken(&mut self) {
        if let At::Lock(lock) = &mut self.at {
            lock.woken();
        }
    }

    fn retry(&mut self) -> bool {
        if let At::Lock(lock) = &mut self.at { lock.retry() } else { false }
    }

    fn cancel(&mut self) -> bool {
        let At::Lock(lock) = self.at else { return false };
        self.at = At::Undo(lock.cancel());
        true
    }

    fn renumber(&mut self, _: &mut dyn FnMut(Place, u64) -> u64) {}
}

fn check(world: &World<Locker, 2>) -> Option<&'static str> {
    let owners = world.programs().filter(|program| matches!(program.at, At::Inside(_))).count();
    if owners > 1 {
        return Some("two owners");
    }
    let is_told = |program: &Locker| !matches!(program.at, At::Inside(Locked { died: false }));
    if world.dirty && !world.programs().all(is_told) {
        return Some("an owner does not learn of a death");
    }
    let is_told = |program: &Locker| matches!(program.at, At::Inside(Locked { died: true }));
    if world.programs().any(is_told) && !world.names_dead(predecessor_word(WORD)) {
        return Some("an owner learns of a death, but not of the dead member");
    }
    None
}

/// A process may wait for a stopped process until that process goes on.
fn owner_is_stopped(world: &World<Locker, 2>, _: usize) -> bool {
    world.is_owner_stopped(WORD)
}

pub(super) const LOCKERS: Scenario<Locker, 2> = Scenario {
    processes: 3,
    start: |slot| Locker::new(1, false, slot != 0),
    cells: [0; 2],
    trouble: Trouble::NONE,
    roles: &[(Role::Lock, WORD)],
    counted: &[],
    check,
    excused: |_, _| false,
    inside: |program| matches!(program.at, At::Inside(_)),
    followed: |before, after, dirty| {
        if before.settles && matches!((before.at, after.at), (At::Inside(Locked { died: true }), At::Unlock(_))) {
            *dirty = false;
        }
    },
    examine_always: false,
    sweepers: N,
    whole: false,
    two_tasks: false,
};

/// One of them locks only if it need not wait.
pub(super) const ONE_TRIES: Scenario<Locker, 2> = Scenario { start: |slot| Locker::new(1, slot == 2, true), ..LOCKERS };

#[test]
fn lockers_exclude_each_other() {
    Scenario { start: |_| Locker::new(2, false, true), whole: true, ..LOCKERS }.holds("mutex, twice each");
}

#[test]
fn lockers_survive_two_kills() {
    Scenario { trouble: Trouble::new(2, 0, 0), ..LOCKERS }.holds("mutex, 2 kills");
}

#[test]
fn lockers_survive_a_kill_and_a_rejoin() {
    Scenario { trouble: Trouble::new(1, 1, 0), sweepers: few(), ..LOCKERS }.holds("mutex, a kill and a rejoin");
}

#[test]
fn lockers_survive_a_kill_and_a_cancel() {
    Scenario { trouble: Trouble::new(1, 0, 1), ..LOCKERS }.holds("mutex, a kill and a cancel");
}

#[test]
fn lockers_survive_a_cancel() {
    let twice = |_| Locker::new(2, false, true);
    Scenario { start: twice, trouble: Trouble::new(0, 0, 1), ..LOCKERS }.holds("mutex, twice each, a cancel");
}

#[test]
fn lockers_survive_one_that_only_tries() {
    Scenario { trouble: Trouble::new(1, 0, 1), ..ONE_TRIES }.holds("mutex, one tries, a kill and a cancel");
}

#[test]
fn lockers_survive_a_stop() {
    let trouble = Trouble { stops: 1, kills: u8::from(all_at_once()), ..Trouble::NONE };
    Scenario { trouble, excused: owner_is_stopped, ..LOCKERS }.holds("mutex, a stop");
}

#[test]
fn lockers_survive_all_kinds_of_trouble() {
    if all_at_once() {
        Scenario { trouble: Trouble::new(2, 1, 1), ..LOCKERS }.holds("mutex, 2 kills, a rejoin and a cancel");
    }
    Scenario { processes: 2, trouble: Trouble::new(1, 1, 1), ..LOCKERS }.holds("mutex, 2 lockers, all");
}

#[test]
fn two_tasks_of_a_member_exclude_each_other() {
    let twice = |_| Locker::new(2, false, true);
    Scenario { start: twice, two_tasks: true, whole: true, ..LOCKERS }.holds("mutex, two tasks of one member");
    Scenario { two_tasks: true, trouble: Trouble::new(1, 0, 1), ..LOCKERS }
        .holds("mutex, two tasks of one member, a kill and a cancel");
}
