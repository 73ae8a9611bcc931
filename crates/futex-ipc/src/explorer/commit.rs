//! The two copies of a value that a mutex guards: a death at any step leaves the value of the last commit.

use super::{Counted, N, Program, Scenario, Trouble};
use crate::steps::mutex::{Lock, Locked, Unlock, commit, current, predecessor_word};
use crate::steps::{Machine, Place, Role, Step, Words};
use std::sync::atomic::Ordering::Relaxed;

const WORD: Place = Place(0);
const NUMBER: Place = Place(2);

/// A half of a copy. Both halves of a value are the same.
const fn half(copy: u64, second: bool) -> Place {
    Place(3 + if copy == 0 { 0 } else { 2 } + second as u32)
}

/// Adds 1 to the value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Adder {
    Lock(Lock),
    Current(Locked),
    Read(Locked, u64),
    ReadSecond(Locked, u64, u64),
    Write(Locked, u64, u64),
    WriteSecond(Locked, u64, u64),
    Commit(Locked, u64),
    Unlock(Unlock),
}

impl Program for Adder {
    fn step<W: Words>(&mut self, words: &W) -> Step<()> {
        *self = match *self {
            Self::Lock(mut lock) => match lock.step(words) {
                Step::Done(locked) => Self::Current(locked),
                step => {
                    *self = Self::Lock(lock);
                    return step.map(drop);
                }
            },
            Self::Current(locked) => Self::Read(locked, current(words, NUMBER)),
            Self::Read(locked, copy) => Self::ReadSecond(locked, copy, words.load(half(copy, false), Relaxed)),
            Self::ReadSecond(locked, copy, value) => {
                assert_eq!(words.load(half(copy, true), Relaxed), value, "the value is torn");
                Self::Write(locked, 1 - copy, value + 1)
            }
            Self::Write(locked, copy, value) => {
                words.store(half(copy, false), value, Relaxed);
                Self::WriteSecond(locked, copy, value)
            }
            Self::WriteSecond(locked, copy, value) => {
                words.store(half(copy, true), value, Relaxed);
                Self::Commit(locked, copy)
            }
            Self::Commit(locked, copy) => {
                commit(words, NUMBER, copy);
                Self::Unlock(Unlock::new(WORD, locked, true))
            }
            Self::Unlock(mut unlock) => {
                let step = unlock.step(words).map(drop);
                *self = Self::Unlock(unlock);
                return step;
            }
        };
        Step::Next
    }

    fn woken(&mut self) {
        if let Self::Lock(lock) = self {
            lock.woken();
        }
    }

    fn retry(&mut self) -> bool {
        if let Self::Lock(lock) = self { lock.retry() } else { false }
    }

    fn cancel(&mut self) -> bool {
        false
    }

    fn renumber(&mut self, _: &mut dyn FnMut(Place, u64) -> u64) {}
}

const UNUSED: &[Counted] = &[Counted::unused(predecessor_word(WORD))];

#[test]
fn a_value_is_never_torn() {
    let scenario: Scenario<Adder, 7> = Scenario {
        processes: 3,
        start: |_| Adder::Lock(Lock::new(WORD)),
        cells: [0; 7],
        trouble: Trouble::new(2, 0, 0),
        roles: &[(Role::Lock, WORD)],
        counted: UNUSED,
        check: |_| None,
        excused: |_, _| false,
        inside: |_| false,
        followed: |_, _, _| (),
        examine_always: false,
        sweepers: 1,
        whole: false,
        two_tasks: false,
    };
    scenario.holds("mutex with a value, 2 kills");
    Scenario { sweepers: N, trouble: Trouble::new(1, 0, 0), ..scenario }.holds("mutex with a value, a kill");
}
