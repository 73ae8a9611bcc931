//! Tokio's cooperative budget.
//!
//! If the waits of a task are always ready, the task must let the other tasks of its thread run from time to time. So a wait
//! that is ready at once takes a unit of the task's budget. A wait that has slept takes none. Other tasks could run while it
//! slept, and if its result were held back for lack of budget, the result could be dropped together with a consumed wake.

use std::task::{Context, Poll};
use tokio::task::coop::{has_budget_remaining, poll_proceed};

/// Remembers that a wait has yielded for lack of budget. A wait yields only once.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    has_yielded: bool,
}

impl Budget {
    /// Returns true if the last [`poll`](Budget::poll) returned `Pending`.
    #[inline]
    pub(crate) fn has_yielded(&self) -> bool {
        self.has_yielded
    }

    /// Takes a unit of budget. If there is none, the first poll schedules the task to poll again and returns `Pending`. The next
    /// poll is ready even if there still is none.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !has_budget_remaining() && !self.has_yielded {
            self.has_yielded = true;
            // Not `poll_proceed`: it wakes the task only after the task has returned to the scheduler. An executor that blocks
            // inside the task would hang.
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
