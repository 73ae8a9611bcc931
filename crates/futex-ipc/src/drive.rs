//! The drivers: they run the machines of [`steps`](crate::steps) over the memory of a region.

use crate::membership::Membership;
use crate::steps::{Cancel, Machine, PATIENCE, Step, Words};
use futex_sys::futex::{Scope, wait};
use futex_sys::{Deadline, MATCH_ANY, WaitOutcome};
use std::io;

/// Maximum number of lost races in an operation that never sleeps. Only a member that writes into the region without rest lets
/// one lose that often.
const MAX_LOST: u32 = 1 << 16;

/// Runs a machine that never sleeps. `None` if it has lost too many races.
pub(crate) fn run<W: Words, M: Machine>(words: &W, mut machine: M) -> Option<M::Output> {
    let mut lost = 0;
    loop {
        match machine.step(words) {
            Step::Next => {}
            Step::Done(output) => return Some(output),
            Step::Contended | Step::Sleep { .. } if lost == MAX_LOST => return None,
            Step::Contended | Step::Sleep { .. } => {
                lost += 1;
                if lost % PATIENCE == 0 {
                    std::thread::yield_now();
                }
            }
        }
    }
}

/// Runs a machine, and blocks the thread while it sleeps. `None` after the deadline.
pub(crate) fn block<M: Cancel>(
    membership: &Membership,
    mut machine: M,
    deadline: Option<Deadline>,
) -> io::Result<Option<M::Output>> {
    let mut lost = 0;
    loop {
        match machine.step(membership) {
            Step::Next => {}
            Step::Done(output) => return Ok(Some(output)),
            Step::Contended => {
                lost += 1;
                if lost % PATIENCE == 0 {
                    std::thread::yield_now();
                }
            }
            Step::Sleep { place, expected } => {
                match wait(membership.half(place), Scope::Shared, expected, MATCH_ANY, deadline) {
                    Ok(WaitOutcome::Woken) => machine.woken(),
                    Ok(WaitOutcome::Mismatch) => {}
                    Ok(WaitOutcome::TimedOut) => {
                        let _ = run(membership, machine.cancel());
                        return Ok(None);
                    }
                    Err(error) => {
                        let _ = run(membership, machine.cancel());
                        return Err(error);
                    }
                }
            }
        }
    }
}
