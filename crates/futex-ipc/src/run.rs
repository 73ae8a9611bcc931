//! Runs machines that never sleep.

use crate::steps::{MAX_FAST, Machine, PATIENCE, Step, Words};
use std::thread::yield_now;

/// Maximum number of lost races in a row. An operation loses more only if a member writes into the region without a pause.
pub(crate) const MAX_LOST: u32 = 1 << 16;

/// Makes the first steps of an operation. If no other operation interferes, these are all of its steps.
///
/// The code is repeated on purpose: in each copy, the compiler knows the state of the machine.
#[inline(always)]
pub(crate) fn begin<W: Words, M: Machine>(words: &W, machine: &mut M) -> Step<M::Output> {
    const { assert!(M::FAST <= MAX_FAST) };
    let mut step = machine.step(words);
    if M::FAST > 1 && matches!(step, Step::Next) {
        step = machine.step(words);
    }
    if M::FAST > 2 && matches!(step, Step::Next) {
        step = machine.step(words);
    }
    step
}

/// Runs a machine that never sleeps. `None` if it has lost too many races.
#[inline]
pub(crate) fn run<W: Words, M: Machine>(words: &W, machine: M) -> Option<M::Output> {
    run_at_most(MAX_LOST, words, machine)
}

/// Like [`run`], with another maximum number of lost races.
#[inline]
pub(crate) fn run_at_most<W: Words, M: Machine>(max_lost: u32, words: &W, mut machine: M) -> Option<M::Output> {
    let mut lost = 0;
    loop {
        match machine.step(words) {
            Step::Next | Step::Busy => {}
            Step::Done(output) => return Some(output),
            Step::Contended | Step::Sleep { .. } => {
                lost += 1;
                if lost == max_lost {
                    return None;
                }
                if lost % PATIENCE == 0 {
                    yield_now();
                }
            }
        }
    }
}
