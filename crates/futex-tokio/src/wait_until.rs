//! Waiting until a word has a value that suits.

use crate::AsyncFutex;
use crate::budget::Budget;
use futex_core::{MATCH_ANY, Outcome, Waiter, hand_on};
use std::io;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

/// The state of a wait for a value. It begins anew after each result.
#[derive(Debug, Default)]
pub(crate) struct WaitUntil {
    waiter: Waiter,
    budget: Budget,
}

impl WaitUntil {
    /// Ready with the first value that `suits` is true of.
    ///
    /// Each round that did not sleep takes a unit of budget, before it loads the word. So no result is ever held back, with
    /// a wake in hand or something that `suits` has done.
    pub(crate) fn poll(
        &mut self,
        futex: &AsyncFutex,
        mut suits: impl FnMut(u32) -> bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<u32>> {
        let Self { waiter, budget } = self;
        let mut held = None;
        loop {
            if waiter.is_armed() {
                held = HeldWake::of(futex, ready!(futex.poll_wait(waiter, 0, MATCH_ANY, cx))?);
            } else if held.is_none() {
                ready!(budget.poll(cx));
            }
            let value = futex.word().load(Ordering::Acquire);
            let over = suits(value); // if it panics, `held` hands on
            held.take().into_iter().for_each(HeldWake::keep);
            if over {
                return Poll::Ready(Ok(value));
            }
            held = HeldWake::of(futex, ready!(futex.poll_wait(waiter, value, MATCH_ANY, cx))?);
        }
    }
}

/// A wake that was consumed and not acted on yet. It is handed on when this is dropped.
struct HeldWake<'a>(&'a AsyncFutex);

impl<'a> HeldWake<'a> {
    fn of(futex: &'a AsyncFutex, outcome: Outcome) -> Option<Self> {
        (outcome == Outcome::Woken).then_some(Self(futex))
    }

    /// It was acted on.
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for HeldWake<'_> {
    fn drop(&mut self) {
        hand_on(self.0.word(), MATCH_ANY);
    }
}
