//! Tokio's cooperative budget.
//!
//! A task that is ready again and again without ever sleeping has to let the others of its thread run. So a wait that is ready
//! at once takes a unit of the task's budget. A wait that has slept takes none: others have run meanwhile, and a result that
//! was held back for lack of budget could be dropped together with the wake that it stands for.

use std::task::{Context, Poll};
use tokio::task::coop::{has_budget_remaining, poll_proceed};

/// Remembers that a wait has yielded for lack of budget, which it does once.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    has_yielded: bool,
}

impl Budget {
    /// Returns true if the latest [`poll`](Budget::poll) was not ready.
    #[inline]
    pub(crate) fn has_yielded(&self) -> bool {
        self.has_yielded
    }

    /// Ready if the caller may go on: a unit was taken, or it has yielded since the last time. Otherwise its task is scheduled
    /// to poll again.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !has_budget_remaining() && !self.has_yielded {
            self.has_yielded = true;
            // Not `poll_proceed`: it wakes only once the task is back in the scheduler, so an executor that blocks within the
            // task would hang.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.has_yielded = false;
        if has_budget_remaining() {
            if let Poll::Ready(unit) = poll_proceed(cx) {
                unit.made_progress();
            }
        }
        Poll::Ready(())
    }
}
