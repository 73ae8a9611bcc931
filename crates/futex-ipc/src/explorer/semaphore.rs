//! The semaphore.

use super::world::{Task, World};
use super::{Counted, N, Program, Scenario, Trouble, all_at_once, few};
use crate::steps::mutex::predecessor_word;
use crate::steps::record::{Attach, Records};
use crate::steps::semaphore::{Acquire, Grow, Release, Semaphore, TryAcquire, UndoAcquire, available};
use crate::steps::{Cancel, Machine, Place, Role, Step, Words, halves, high, low};

const STATE: Place = Place(0);
const EVENT: Place = Place(1);
const TURNSTILE: Place = Place(2);
const RECORDS: Records = Records(Place(4));
const CAPACITY: Place = Place(7);
const SEMAPHORE: Semaphore =
    Semaphore { state: STATE, event: EVENT, turnstile: TURNSTILE, records: RECORDS, capacity: CAPACITY };
pub(super) const CELLS: usize = 8;

/// Acquires and releases, `left` times. The process attaches itself first if it joins again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Holder {
    at: At,
    n: u8,
    forgets: bool,
    left: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum At {
    Attach(Attach),
    Acquire(Acquire),
    Try(TryAcquire),
    Inside,
    Release(Release),
    Undo(UndoAcquire),
    Grow(Grow),
}

impl Holder {
    fn new(n: u8) -> Self {
        Self { at: At::Attach(Attach::new(RECORDS)), n, forgets: false, left: 1 }
    }

    fn trying(n: u8) -> Self {
        Self { at: At::Try(TryAcquire::new(SEMAPHORE, n.into())), ..Self::new(n) }
    }

    fn forgetting(n: u8) -> Self {
        Self { forgets: true, ..Self::new(n) }
    }

    /// Adds permits, and holds none.
    fn growing(n: u8) -> Self {
        Self { at: At::Grow(Grow::new(SEMAPHORE, n.into())), ..Self::new(0) }
    }
}

impl Program for Holder {
    fn step<W: Words>(&mut self, words: &W) -> Step<()> {
        let (place, n) = (SEMAPHORE, self.n.into());
        self.at = match &mut self.at {
            At::Attach(attach) => match attach.step(words) {
                Step::Done(()) => At::Acquire(Acquire::new(place, n)),
                step => return step,
            },
            At::Acquire(acquire) => match acquire.step(words) {
                Step::Done(()) => At::Inside,
                step => return step,
            },
            At::Try(acquire) => match acquire.step(words) {
                Step::Done(true) => At::Inside,
                step => return step.map(drop),
            },
            At::Inside if self.forgets => At::Release(Release::forget(place, n)),
            At::Inside => At::Release(Release::new(place, n)),
            At::Grow(grow) => return grow.step(words).map(|has_grown| assert!(has_grown)),
            At::Release(release) => match release.step(words) {
                Step::Done(()) if self.left > 1 => {
                    self.left -= 1;
                    At::Acquire(Acquire::new(place, n))
                }
                step => return step,
            },
            At::Undo(undo) => return undo.step(words),
        };
        Step::Next
    }

    fn woken(&mut self) {
        if let At::Acquire(acquire) = &mut self.at {
            acquire.woken();
        }
    }

    fn cancel(&mut self) -> bool {
        let At::Acquire(acquire) = self.at else { return false };
        self.at = At::Undo(acquire.cancel());
        true
    }

    fn renumber(&mut self, f: &mut dyn FnMut(Place, u64) -> u64) {
        match &mut self.at {
            At::Acquire(acquire) => acquire.renumber(f),
            At::Try(acquire) => acquire.renumber(f),
            At::Release(release) => release.renumber(f),
            At::Undo(undo) => undo.renumber(f),
            At::Attach(_) | At::Inside | At::Grow(_) => {}
        }
    }
}

fn check(world: &World<Holder, CELLS>) -> Option<&'static str> {
    let held: u32 =
        world.programs().filter(|program| program.at == At::Inside).map(|program| u32::from(program.n)).sum();
    let capacity = low(world.cells[CAPACITY.0 as usize]);
    if held > capacity {
        return Some("more holders than permits");
    }
    if held + available(world.cells[0]) > capacity {
        return Some("more available permits than the capacity");
    }
    let records = &world.cells[4..7];
    if records.iter().any(|record| high(*record) > 2 || low(*record) > 5) {
        return Some("a record has wrapped");
    }
    None
}

const COUNTED: &[Counted] = &[
    Counted { place: STATE, bits: 0xffff_ffff << 32 },
    Counted { place: EVENT, bits: u64::MAX },
    Counted::unused(predecessor_word(TURNSTILE)),
];

/// A process that requests more permits than the capacity may sleep.
fn too_few(world: &World<Holder, CELLS>, i: usize) -> bool {
    let capacity = low(world.cells[CAPACITY.0 as usize]);
    matches!(&world.processes[i].task, Task::Running(program) if u32::from(program.n) > capacity)
}

const fn scenario(start: fn(usize) -> Holder, capacity: u64) -> Scenario<Holder, CELLS> {
    let attached = halves(1, 0);
    Scenario {
        processes: 3,
        start,
        cells: [capacity, 0, 0, 0, attached, attached, attached, capacity],
        trouble: Trouble::NONE,
        roles: &[(Role::Lock, TURNSTILE), (Role::Counter, EVENT)],
        counted: COUNTED,
        check,
        excused: |_, _| false,
        inside: |_| false,
        followed: |_, _, _| (),
        examine_always: false,
        sweepers: N,
        whole: false,
        two_tasks: false,
    }
}

pub(super) const ONE: Scenario<Holder, CELLS> = scenario(|_| Holder::new(1), 1);
/// Demands of 2, 1 and 1 of 2.
const UNEVEN: Scenario<Holder, CELLS> = scenario(|slot| Holder::new(if slot == 0 { 2 } else { 1 }), 2);
/// Demands of 3, 2 and 1 of 3.
pub(super) const LARGE: Scenario<Holder, CELLS> = scenario(|slot| Holder::new([3, 2, 1][slot]), 3);

#[test]
fn holders_share_the_permits() {
    Scenario { whole: true, ..ONE }.holds("semaphore of 1");
    Scenario { whole: true, ..LARGE }.holds("semaphore of 3, demands 3 2 1");
}

#[test]
fn holders_survive_a_kill() {
    Scenario { trouble: Trouble::new(1, 0, 0), sweepers: few(), ..ONE }.holds("semaphore of 1, a kill");
}

#[test]
fn holders_survive_two_kills() {
    Scenario { trouble: Trouble::new(2, 0, 0), sweepers: few(), ..ONE }.holds("semaphore of 1, 2 kills");
}

#[test]
fn holders_survive_a_kill_and_a_rejoin() {
    Scenario { trouble: Trouble::new(1, 1, 0), sweepers: few(), processes: 2, ..ONE }
        .holds("semaphore of 1, 2 holders, a kill and a rejoin");
    if all_at_once() {
        Scenario { trouble: Trouble::new(1, 1, 0), sweepers: 1, ..ONE }.holds("semaphore of 1, a kill and a rejoin");
    }
}

#[test]
fn holders_survive_a_kill_and_a_cancel() {
    Scenario { trouble: Trouble::new(1, 0, 1), sweepers: few(), ..ONE }.holds("semaphore of 1, a kill and a cancel");
}

#[test]
fn holders_of_different_size_survive_a_cancel() {
    Scenario { trouble: Trouble::new(0, 0, 1), ..UNEVEN }.holds("semaphore of 2, demands 2 1 1, a cancel");
    Scenario { trouble: Trouble::new(0, 0, 1), ..LARGE }.holds("semaphore of 3, demands 3 2 1, a cancel");
}

#[test]
fn holders_of_different_size_survive_a_kill() {
    Scenario { trouble: Trouble::new(1, 0, 0), sweepers: few(), ..UNEVEN }
        .holds("semaphore of 2, demands 2 1 1, a kill");
    let kills = if all_at_once() { Trouble::new(2, 0, 1) } else { Trouble::new(1, 0, 0) };
    Scenario { trouble: kills, sweepers: few(), ..LARGE }.holds("semaphore of 3, demands 3 2 1, kills");
}

#[test]
fn holders_survive_one_that_only_tries() {
    let start = |slot| if slot == 2 { Holder::trying(1) } else { Holder::new(1) };
    Scenario { start, trouble: Trouble::new(1, 0, 0), sweepers: few(), ..ONE }
        .holds("semaphore of 1, one tries, a kill");
}

/// Processes may wait for a process that is stopped while it holds permits or the turnstile, or before it wakes.
fn holder_is_stopped(world: &World<Holder, CELLS>, _: usize) -> bool {
    world.is_any_stopped_awake() || world.is_owner_stopped(TURNSTILE) || world.is_record_of_stopped(RECORDS.of(0))
}

#[test]
fn holders_survive_a_stop() {
    let trouble = Trouble { stops: 1, ..Trouble::NONE };
    // The one that comes again sleeps behind the one that is stopped.
    let start = |slot| Holder { left: if slot == 0 { 2 } else { 1 }, ..Holder::new(1) };
    Scenario { start, trouble, excused: holder_is_stopped, ..ONE }.holds("semaphore of 1, one comes twice, a stop");
    Scenario { trouble, excused: holder_is_stopped, ..LARGE }.holds("semaphore of 3, demands 3 2 1, a stop");
}

#[test]
fn holders_survive_all_kinds_of_trouble() {
    let all = Trouble::new(1, 1, 1);
    Scenario { processes: 2, trouble: all, sweepers: few(), ..ONE }.holds("semaphore of 1, 2 holders, all");
    if all_at_once() {
        Scenario { trouble: Trouble::new(2, 1, 0), sweepers: 1, ..ONE }.holds("semaphore of 1, 2 kills and a rejoin");
    }
}

/// One forgets a permit of 2, one adds a permit, and one wants 2.
pub(super) const RESIZED: Scenario<Holder, CELLS> = Scenario {
    excused: too_few,
    ..scenario(|slot| [Holder::forgetting, Holder::growing, |_| Holder::new(2)][slot](1), 2)
};

#[test]
fn holders_survive_changes_of_the_capacity() {
    Scenario { whole: true, ..RESIZED }.holds("semaphore of 2, one forgets, one adds");
    Scenario { trouble: Trouble::new(1, 0, 0), sweepers: few(), ..RESIZED }
        .holds("semaphore of 2, one forgets, one adds, a kill");
    Scenario { trouble: Trouble::new(0, 0, 1), ..RESIZED }.holds("semaphore of 2, one forgets, one adds, a cancel");
    if all_at_once() {
        Scenario { trouble: Trouble::new(2, 0, 1), sweepers: few(), ..RESIZED }
            .holds("semaphore of 2, one forgets, one adds, 2 kills and a cancel");
    }
}

/// Permits that are forgotten while another member waits and sums, beside a death.
#[test]
fn a_permit_that_is_forgotten_does_not_return_after_a_kill() {
    let start = |slot| if slot == 0 { Holder::forgetting(1) } else { Holder::new(1) };
    let scenario = Scenario { excused: too_few, ..scenario(start, 2) };
    Scenario { trouble: Trouble::new(1, 0, 0), sweepers: few(), ..scenario }
        .holds("semaphore of 2, one forgets, a kill");
}

/// Two tasks of one member share its record, and may attach the member at the same time.
#[test]
fn two_tasks_of_a_member_share_its_record() {
    for (scenario, name) in [(ONE, "semaphore of 1"), (LARGE, "semaphore of 3, demands 3 2 1")] {
        let mut both = Scenario { two_tasks: true, ..scenario };
        both.cells[RECORDS.of(0).0 as usize] = 0;
        both.holds(&format!("{name}, two tasks of one member"));
        Scenario { trouble: Trouble::new(1, 0, 0), sweepers: few(), ..both }
            .holds(&format!("{name}, two tasks of one member, a kill"));
        Scenario { trouble: Trouble::new(0, 0, 1), ..both }
            .holds(&format!("{name}, two tasks of one member, a cancel"));
    }
}
