//! The read-write lock.

use super::world::World;
use super::{Counted, N, Program, Scenario, Trouble, all_at_once, few};
use crate::steps::mutex::{Locked, Unlock, predecessor_word};
use crate::steps::record::{Attach, Records};
use crate::steps::rwlock::{EndRead, Read, RwLock, TryRead, TryWrite, UndoRead, UndoWrite, Write};
use crate::steps::{Cancel, Machine, Place, Role, Step, Words, halves, high, low};

const LOCK: RwLock = RwLock { word: Place(0), event: Place(2), records: Records(Place(3)) };
pub(super) const CELLS: usize = 6;

/// Reads or writes once. The process attaches itself first if it joins again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct User {
    at: At,
    next: Next,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Next {
    Read,
    Write,
    TryRead,
    TryWrite,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum At {
    Attach(Attach),
    Read(Read),
    TryRead(TryRead),
    Reads(Locked),
    EndRead(EndRead),
    Write(Write),
    TryWrite(TryWrite),
    Writes(Locked),
    Unlock(Unlock),
    UndoRead(UndoRead),
    UndoWrite(UndoWrite),
}

const fn user(next: Next) -> User {
    User { at: At::Attach(Attach::new(LOCK.records)), next }
}

impl Program for User {
    fn step<W: Words>(&mut self, words: &W) -> Step<()> {
        self.at = match &mut self.at {
            At::Attach(attach) => match attach.step(words) {
                Step::Done(()) => match self.next {
                    Next::Read => At::Read(Read::new(LOCK)),
                    Next::Write => At::Write(Write::new(LOCK)),
                    Next::TryRead => At::TryRead(TryRead::new(LOCK)),
                    Next::TryWrite => At::TryWrite(TryWrite::new(LOCK)),
                },
                step => return step,
            },
            At::Read(read) => match read.step(words) {
                Step::Done(locked) => At::Reads(locked),
                step => return step.map(drop),
            },
            At::TryRead(read) => match read.step(words) {
                Step::Done(Some(locked)) => At::Reads(locked),
                step => return step.map(drop),
            },
            At::Reads(_) => At::EndRead(EndRead::new(LOCK)),
            At::EndRead(end) => return end.step(words),
            At::Write(write) => match write.step(words) {
                Step::Done(locked) => At::Writes(locked),
                step => return step.map(drop),
            },
            At::TryWrite(write) => match write.step(words) {
                Step::Done(Some(locked)) => At::Writes(locked),
                step => return step.map(drop),
            },
            At::Writes(locked) => At::Unlock(Unlock::new(LOCK.word, *locked, true)),
            At::Unlock(unlock) => match unlock.step(words) {
                Step::Done(kept) => {
                    assert!(kept, "the lock had another owner when it was unlocked");
                    return Step::Done(());
                }
                step => return step.map(drop),
            },
            At::UndoRead(undo) => return undo.step(words),
            At::UndoWrite(undo) => return undo.step(words),
        };
        Step::Next
    }

    fn woken(&mut self) {
        match &mut self.at {
            At::Read(read) => read.woken(),
            At::Write(write) => write.woken(),
            _ => {}
        }
    }

    fn retry(&mut self) -> bool {
        if let At::Write(write) = &mut self.at { write.retry() } else { false }
    }

    fn cancel(&mut self) -> bool {
        self.at = match self.at {
            At::Read(read) => At::UndoRead(read.cancel()),
            At::Write(write) => At::UndoWrite(write.cancel()),
            _ => return false,
        };
        true
    }

    fn renumber(&mut self, f: &mut dyn FnMut(Place, u64) -> u64) {
        if let At::Write(write) = &mut self.at {
            write.renumber(f);
        }
    }
}

fn check(world: &World<User, CELLS>) -> Option<&'static str> {
    let readers = world.programs().filter(|program| matches!(program.at, At::Reads(_))).count();
    let writers = world.programs().filter(|program| matches!(program.at, At::Writes(_))).count();
    if writers > 1 {
        return Some("two writers");
    }
    if writers > 0 && readers > 0 {
        return Some("a reader and a writer have the lock at the same time");
    }
    let is_told =
        |program: &User| !matches!(program.at, At::Reads(Locked { died: false }) | At::Writes(Locked { died: false }));
    if world.dirty && !world.programs().all(is_told) {
        return Some("a user does not learn of a death");
    }
    let is_told =
        |program: &User| matches!(program.at, At::Reads(Locked { died: true }) | At::Writes(Locked { died: true }));
    if world.programs().any(is_told) && !world.names_dead(predecessor_word(LOCK.word)) {
        return Some("a user learns of a death, but not of the dead member");
    }
    if world.cells[3..].iter().any(|record| high(*record) > 2 || low(*record) > 2) {
        return Some("a record has wrapped");
    }
    None
}

const fn scenario(start: fn(usize) -> User) -> Scenario<User, CELLS> {
    let attached = halves(1, 0);
    Scenario {
        processes: 3,
        start,
        cells: [0, 0, 0, attached, attached, attached],
        trouble: Trouble::NONE,
        roles: &[(Role::Lock, LOCK.word), (Role::Counter, LOCK.event)],
        counted: &[Counted { place: LOCK.event, bits: u64::MAX }],
        check,
        excused: |_, _| false,
        inside: |program| matches!(program.at, At::Writes(_)),
        followed: |before, after, dirty| {
            if matches!((before.at, after.at), (At::Writes(Locked { died: true }), At::Unlock(_))) {
                *dirty = false;
            }
        },
        examine_always: false,
        sweepers: N,
        whole: false,
        two_tasks: false,
    }
}

pub(super) const RRW: Scenario<User, CELLS> = scenario(|slot| user([Next::Read, Next::Read, Next::Write][slot]));
pub(super) const RWW: Scenario<User, CELLS> = scenario(|slot| user([Next::Read, Next::Write, Next::Write][slot]));
const WWW: Scenario<User, CELLS> = scenario(|_| user(Next::Write));

#[test]
fn two_readers_exclude_a_writer() {
    Scenario { whole: true, ..RRW }.holds("rwlock RRW");
}

#[test]
fn two_writers_exclude_each_other_and_a_reader() {
    Scenario { whole: true, ..RWW }.holds("rwlock RWW");
}

#[test]
fn three_writers_survive_a_kill() {
    Scenario { trouble: Trouble::new(1, 0, 0), ..WWW }.holds("rwlock WWW, a kill");
}

#[test]
fn two_readers_and_a_writer_survive_a_kill() {
    Scenario { trouble: Trouble::new(1, 0, 0), ..RRW }.holds("rwlock RRW, a kill");
}

#[test]
fn two_readers_and_a_writer_survive_two_kills() {
    Scenario { trouble: Trouble::new(2, 0, 0), sweepers: few(), ..RRW }.holds("rwlock RRW, 2 kills");
}

#[test]
fn a_reader_and_two_writers_survive_two_kills() {
    Scenario { trouble: Trouble::new(2, 0, 0), sweepers: few(), ..RWW }.holds("rwlock RWW, 2 kills");
}

#[test]
fn two_readers_and_a_writer_survive_a_kill_and_a_cancel() {
    Scenario { trouble: Trouble::new(1, 0, 1), sweepers: few(), ..RRW }.holds("rwlock RRW, a kill and a cancel");
}

#[test]
fn a_reader_and_two_writers_survive_a_kill_and_a_cancel() {
    Scenario { trouble: Trouble::new(1, 0, 1), sweepers: few(), ..RWW }.holds("rwlock RWW, a kill and a cancel");
}

#[test]
fn two_readers_and_a_writer_survive_a_cancel() {
    Scenario { trouble: Trouble::new(0, 0, 1), ..RRW }.holds("rwlock RRW, a cancel");
}

#[test]
fn a_reader_and_two_writers_survive_a_cancel() {
    Scenario { trouble: Trouble::new(0, 0, 1), ..RWW }.holds("rwlock RWW, a cancel");
}

#[test]
fn two_readers_and_a_writer_survive_a_kill_and_a_rejoin() {
    Scenario { trouble: Trouble::new(1, 1, 0), sweepers: few(), ..RRW }.holds("rwlock RRW, a kill and a rejoin");
}

#[test]
fn readers_and_writers_survive_one_that_only_tries() {
    let start = |slot| user([Next::TryRead, Next::Read, Next::Write][slot]);
    Scenario { start, trouble: Trouble::new(1, 0, 0), sweepers: few(), ..RRW }
        .holds("rwlock, one tries to read, a kill");
    let start = |slot| user([Next::Read, Next::Write, Next::TryWrite][slot]);
    Scenario { start, trouble: Trouble::new(1, 0, 0), sweepers: few(), ..RRW }
        .holds("rwlock, one tries to write, a kill");
}

/// Processes may wait for a process that is stopped while it reads or writes, or before it wakes.
fn user_is_stopped(world: &World<User, CELLS>, _: usize) -> bool {
    world.is_any_stopped_awake() || world.is_owner_stopped(LOCK.word) || world.is_record_of_stopped(LOCK.records.of(0))
}

#[test]
fn readers_and_writers_survive_a_stop() {
    let trouble = Trouble { stops: 1, kills: u8::from(all_at_once()), ..Trouble::NONE };
    Scenario { trouble, excused: user_is_stopped, sweepers: few(), ..RRW }.holds("rwlock RRW, a stop");
    Scenario { trouble, excused: user_is_stopped, sweepers: few(), ..RWW }.holds("rwlock RWW, a stop");
}

#[test]
fn readers_and_writers_survive_all_kinds_of_trouble() {
    let start = |slot| user([Next::Read, Next::Write, Next::Write][slot]);
    let all = Trouble::new(1, 1, 1);
    Scenario { processes: 2, start, trouble: all, sweepers: few(), ..RRW }.holds("rwlock RW, all");
    if all_at_once() {
        Scenario { trouble: Trouble::new(2, 1, 1), sweepers: 1, ..RRW }
            .holds("rwlock RRW, 2 kills, a rejoin and a cancel");
        Scenario { trouble: Trouble::new(1, 1, 0), sweepers: 1, ..RWW }.holds("rwlock RWW, a kill and a rejoin");
    }
}

/// Two tasks of one member share its record, and may attach the member at the same time.
#[test]
fn two_tasks_of_a_member_share_its_record() {
    for (scenario, name) in [(RRW, "rwlock RRW"), (RWW, "rwlock RWW")] {
        let mut both = Scenario { two_tasks: true, ..scenario };
        both.cells[LOCK.records.of(0).0 as usize] = 0;
        both.holds(&format!("{name}, two tasks of one member"));
        Scenario { trouble: Trouble::new(1, 0, 0), sweepers: few(), ..both }
            .holds(&format!("{name}, two tasks of one member, a kill"));
        Scenario { trouble: Trouble::new(0, 0, 1), ..both }
            .holds(&format!("{name}, two tasks of one member, a cancel"));
    }
}
