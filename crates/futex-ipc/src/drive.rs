//! The drivers, which run the machines of [`steps`](crate::steps) over the memory of a region.

#[cfg(feature = "tokio")]
mod asynchronous;
mod pauses;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;

#[cfg(feature = "tokio")]
pub(crate) use self::asynchronous::operate;
use self::pauses::Pauses;
use crate::membership::Membership;
use crate::run::{MAX_LOST, begin, run};
use crate::steps::{Cancel, Machine, PATIENCE, Sleep, Step};
use futex_sys::__private::{explain, fail};
use futex_sys::futex::{Scope, wait};
use futex_sys::{Deadline, MATCH_ANY, WaitOutcome};
use std::io;
use std::thread::yield_now;

/// Runs a machine that never sleeps, as a public operation.
///
/// # Errors
///
/// Those of [`Membership::check`]. `ResourceBusy` if it has lost too many races.
#[inline]
pub(crate) fn attempt<M: Machine>(membership: &Membership, mut machine: M) -> io::Result<M::Output> {
    membership.check()?;
    match begin(membership, &mut machine) {
        Step::Done(output) => Ok(output),
        _ => attempt_slowly(membership, machine),
    }
}

#[cold]
fn attempt_slowly<M: Machine>(membership: &Membership, machine: M) -> io::Result<M::Output> {
    run(membership, machine).ok_or_else(|| contended(membership))
}

/// Runs a machine within a drop. If that fails, the region counts as damaged.
#[inline]
pub(crate) fn finish<M: Machine>(membership: &Membership, mut machine: M) -> Option<M::Output> {
    if !membership.is_here() {
        return None;
    }
    match begin(membership, &mut machine) {
        Step::Done(output) => Some(output),
        _ => finish_slowly(membership, machine),
    }
}

#[cold]
fn finish_slowly<M: Machine>(membership: &Membership, machine: M) -> Option<M::Output> {
    let output = run(membership, machine);
    if output.is_none() {
        membership.mark_damaged();
    }
    output
}

/// Runs a machine, and blocks the thread while it sleeps. Returns `None` if the deadline has passed.
///
/// # Errors
///
/// Those of [`Membership::check`]. `ResourceBusy` if it has lost too many races. Those of [`wait`].
#[inline]
pub(crate) fn block<M: Cancel>(
    membership: &Membership,
    mut machine: M,
    deadline: Option<Deadline>,
) -> io::Result<Option<M::Output>> {
    membership.check()?;
    match begin(membership, &mut machine) {
        Step::Done(output) => Ok(Some(output)),
        step => block_slowly(membership, machine, step, deadline),
    }
}

/// Goes on after the [first steps](begin).
#[cold]
fn block_slowly<M: Cancel>(
    membership: &Membership,
    mut machine: M,
    first: Step<M::Output>,
    deadline: Option<Deadline>,
) -> io::Result<Option<M::Output>> {
    let mut lost = 0;
    let mut pauses = Pauses::default();
    let mut step = first;
    let error = loop {
        match step {
            Step::Next => {
                step = machine.step(membership);
                continue;
            }
            Step::Busy => {
                pauses.pause(&mut machine);
                step = machine.step(membership);
                continue;
            }
            Step::Done(output) => return Ok(Some(output)),
            Step::Contended => lost += 1,
            Step::Sleep(sleep @ Sleep { place, expected, .. }) => {
                let _ticket = match membership.register(sleep) {
                    Ok(ticket) => ticket,
                    Err(error) => break error,
                };
                match wait(membership.half(place), Scope::Shared, expected, MATCH_ANY, deadline) {
                    Ok(WaitOutcome::Woken) => {
                        lost = 0;
                        pauses = Pauses::default();
                        machine.woken();
                    }
                    Ok(WaitOutcome::Mismatch) => lost += 1,
                    Ok(WaitOutcome::TimedOut) => {
                        finish(membership, machine.cancel());
                        return Ok(None);
                    }
                    Err(error) => break explain(error, format!("cannot wait in {}", membership.what())),
                }
            }
        }
        if lost >= MAX_LOST {
            break contended(membership);
        }
        if lost > 0 && lost % PATIENCE == 0 {
            yield_now();
        }
        step = machine.step(membership);
    };
    finish(membership, machine.cancel());
    Err(error)
}

/// The error of an operation that has lost too many races.
#[cold]
pub(crate) fn contended(membership: &Membership) -> io::Error {
    fail(
        io::ErrorKind::ResourceBusy,
        format!(
            "cannot finish an operation on {}, because its words change all the time. A member may be writing into it at random: \
             end that member, and try again",
            membership.what()
        ),
    )
}
