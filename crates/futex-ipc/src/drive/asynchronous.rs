//! The driver for tasks.

use super::pauses::Pauses;
use super::{MAX_LOST, begin, contended, finish};
use crate::membership::Membership;
use crate::steps::{self, Cancel, PATIENCE, Step};
use crate::waits::Ticket;
use futex_sys::__private::fail;
use futex_tokio::{AsyncFutex, WaitAsyncOwned};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::runtime::Handle;
use tokio::task::coop::poll_proceed;

/// Runs the machine that `make` returns, and suspends the task while it sleeps. Dropping the future cancels the operation.
///
/// # Errors
///
/// Those of [`block`](super::block).
#[inline]
pub(crate) async fn operate<M: Cancel>(membership: &Membership, make: impl Fn() -> M) -> io::Result<M::Output> {
    let mut yielded = false;
    // Made only if the operation has to wait. Otherwise no large value is moved.
    let mut operation = None;
    poll_fn(|cx| {
        if let Some(operation) = &mut operation {
            return Operation::poll(operation, cx);
        }
        // Before the first step, so that no outcome is delayed.
        let budget = poll_proceed(cx);
        if budget.is_pending() && !yielded {
            yielded = true;
            // `poll_proceed` wakes the task only after the task has returned to the scheduler. An executor that blocks inside the
            // task would hang.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        membership.check()?;
        let mut machine = make();
        match begin(membership, &mut machine) {
            Step::Done(output) => {
                if let Poll::Ready(unit) = budget {
                    unit.made_progress();
                }
                Poll::Ready(Ok(output))
            }
            step => {
                drop(budget);
                operation.insert(Operation::after(membership, machine, step)).poll(cx)
            }
        }
    })
    .await
}

/// The error of an operation that has to wait outside of a runtime.
#[cold]
fn no_runtime(membership: &Membership) -> io::Error {
    fail(
        io::ErrorKind::Unsupported,
        format!(
            "an async call on an object of {} has to wait, and there is no Tokio runtime here: await it in a runtime, or use the form \
             of the call that blocks the thread (`blocking_…`)",
            membership.what()
        ),
    )
}

/// An operation after its [first steps](begin). Dropping it cancels the operation.
struct Operation<'a, M: Cancel> {
    membership: &'a Membership,
    machine: M,
    /// The last of the first steps, until the first poll.
    first: Option<Step<M::Output>>,
    at: At,
    /// Number of lost races since the last sleep.
    lost: u32,
    pauses: Pauses,
    sleep: Option<Sleep>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// No step was `Contended` or `Sleep`.
    New,
    /// The last step was `Contended` or `Sleep`.
    Suspended,
    Over,
}

struct Sleep {
    wait: WaitAsyncOwned,
    _ticket: Ticket,
    /// True if the wait was armed, so that its end is a wake.
    armed: bool,
}

impl<'a, M: Cancel> Operation<'a, M> {
    #[cold]
    fn after(membership: &'a Membership, machine: M, step: Step<M::Output>) -> Self {
        Self { membership, machine, first: Some(step), at: At::New, lost: 0, pauses: Pauses::default(), sleep: None }
    }

    /// Begins to wait in the kernel. The wait is armed by its first poll.
    fn fall_asleep(&mut self, sleep: steps::Sleep) -> io::Result<()> {
        let ticket = self.membership.register(sleep)?;
        let futex = AsyncFutex::new(self.membership.word(sleep.place)?)
            .map_err(|error| if Handle::try_current().is_err() { no_runtime(self.membership) } else { error })?;
        self.sleep = Some(Sleep { wait: futex.wait_async_owned(sleep.expected), _ticket: ticket, armed: false });
        Ok(())
    }

    /// Undoes what a cancelled operation has begun. Afterwards the operation is over.
    fn cancel(&mut self) {
        // The drop of the wait passes a consumed wake on to the next waiter.
        self.sleep = None;
        if self.at == At::Suspended {
            finish(self.membership, self.machine.cancel());
        }
        self.at = At::Over;
    }

    fn fail(&mut self, error: io::Error) -> Poll<io::Result<M::Output>> {
        self.cancel();
        Poll::Ready(Err(error))
    }

    /// Polls the wait. Returns `Ready` when the machine can step again.
    fn poll_sleep(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(sleep) = &mut self.sleep else { return Poll::Ready(Ok(())) };
        let result = match Pin::new(&mut sleep.wait).poll(cx) {
            Poll::Pending => {
                sleep.armed = true;
                return Poll::Pending;
            }
            Poll::Ready(result) => result,
        };
        if sleep.armed {
            self.lost = 0;
            self.pauses = Pauses::default();
            self.machine.woken();
        } else {
            self.lost += 1;
        }
        self.sleep = None;
        Poll::Ready(result.and_then(|()| self.membership.check()))
    }

    /// Runs the machine until it sleeps or is over.
    #[cold]
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<M::Output>> {
        assert!(self.at != At::Over, "an operation was polled after it was over");
        let mut step = match self.first.take() {
            // The membership was checked before the first steps.
            Some(step) => step,
            None => match self.membership.check() {
                Ok(()) => Step::Next,
                Err(error) => return self.fail(error),
            },
        };
        loop {
            match step {
                Step::Next => {}
                Step::Busy => self.pauses.pause(&mut self.machine),
                Step::Done(output) => {
                    if self.at == At::New {
                        if let Poll::Ready(unit) = poll_proceed(cx) {
                            unit.made_progress();
                        }
                    }
                    self.at = At::Over;
                    return Poll::Ready(Ok(output));
                }
                step => {
                    self.at = At::Suspended;
                    if let Step::Sleep(sleep) = step {
                        if let Err(error) = self.fall_asleep(sleep) {
                            return self.fail(error);
                        }
                    } else {
                        self.lost += 1;
                    }
                    if self.lost > 0 && self.lost % PATIENCE == 0 {
                        if self.lost >= MAX_LOST {
                            let error = contended(self.membership);
                            return self.fail(error);
                        }
                        self.lost += 1;
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
            }
            if self.sleep.is_some() {
                match self.poll_sleep(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return self.fail(error),
                }
            }
            step = self.machine.step(self.membership);
        }
    }
}

impl<M: Cancel> Drop for Operation<'_, M> {
    fn drop(&mut self) {
        if self.at == At::Suspended {
            self.cancel();
        }
    }
}
