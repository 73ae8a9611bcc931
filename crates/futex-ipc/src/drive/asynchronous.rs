//! The driver for tasks.

use super::{MAX_LOST, contended, finish};
use crate::membership::Membership;
use crate::steps::{self, Cancel, PATIENCE, Step};
use crate::waits::Ticket;
use futex_tokio::{AsyncFutex, WaitAsyncOwned};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::task::coop::{has_budget_remaining, poll_proceed};

/// An operation that a task awaits. Dropping it cancels the operation.
pub(crate) struct Operation<'a, M: Cancel> {
    membership: &'a Membership,
    machine: M,
    at: At,
    /// Number of lost races since the last sleep.
    lost: u32,
    sleep: Option<Sleep>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// No step was made.
    New,
    /// No step was made, and the task has yielded for lack of budget.
    Yielded,
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
    #[inline]
    pub(crate) fn new(membership: &'a Membership, machine: M) -> Self {
        Self { membership, machine, at: At::New, lost: 0, sleep: None }
    }

    /// Begins to wait in the kernel. The wait is armed by its first poll.
    #[cold]
    fn fall_asleep(&mut self, sleep: steps::Sleep) -> io::Result<()> {
        let ticket = self.membership.waits().register(sleep);
        self.membership.check()?;
        let futex = AsyncFutex::new(self.membership.word(sleep.place)?)?;
        self.sleep = Some(Sleep { wait: futex.wait_async_owned(sleep.expected), _ticket: ticket, armed: false });
        Ok(())
    }

    /// Does what a cancelled operation has left to do. Afterwards the operation is over.
    #[cold]
    fn cancel(&mut self) {
        // The wait hands on a wake that it has consumed.
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

    /// Polls the wait. Ready when the machine steps again.
    #[cold]
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
            self.machine.woken();
        } else {
            self.lost += 1;
        }
        self.sleep = None;
        Poll::Ready(result.and_then(|()| self.membership.check()))
    }
}

impl<M: Cancel + Unpin> Future for Operation<'_, M> {
    type Output = io::Result<M::Output>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match this.at {
            At::New => {
                // Before the first step, so that no outcome is held back.
                if !has_budget_remaining() {
                    this.at = At::Yielded;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                if let Err(error) = this.membership.check() {
                    return this.fail(error);
                }
            }
            At::Yielded | At::Suspended => {
                if let Err(error) = this.membership.check() {
                    return this.fail(error);
                }
            }
            At::Over => panic!("an operation was polled after it was over"),
        }
        loop {
            if this.sleep.is_some() {
                match this.poll_sleep(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return this.fail(error),
                }
            }
            match this.machine.step(this.membership) {
                Step::Next => continue,
                Step::Done(output) => {
                    if this.at != At::Suspended {
                        if let Poll::Ready(unit) = poll_proceed(cx) {
                            unit.made_progress();
                        }
                    }
                    this.at = At::Over;
                    return Poll::Ready(Ok(output));
                }
                Step::Contended => this.lost += 1,
                Step::Sleep(sleep) => {
                    this.at = At::Suspended;
                    if let Err(error) = this.fall_asleep(sleep) {
                        return this.fail(error);
                    }
                }
            }
            this.at = At::Suspended;
            if this.lost > 0 && this.lost % PATIENCE == 0 {
                if this.lost >= MAX_LOST {
                    let error = contended(this.membership);
                    return this.fail(error);
                }
                this.lost += 1;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

impl<M: Cancel> Drop for Operation<'_, M> {
    #[inline]
    fn drop(&mut self) {
        if self.at == At::Suspended {
            self.cancel();
        }
    }
}
