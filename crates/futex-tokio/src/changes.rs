//! The values of a word as a stream.

use crate::AsyncFutex;
use futex_core::{MATCH_ANY, Waiter};
use futures_core::Stream;
use futures_core::stream::FusedStream;
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use tokio::task::coop::poll_proceed;

/// The stream of [`AsyncFutex::changes`].
///
/// It never ends by itself; after an error (see [`WaitAsync`](crate::WaitAsync)) it is over.
///
/// # Cancel safety
///
/// Cancel safe: a value that was not taken is there at the next poll, or a later one. Dropping the stream is as dropping a
/// [`WaitAsync`](crate::WaitAsync).
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Changes {
    futex: AsyncFutex,
    last_seen: u32,
    waiter: Waiter,
    over: bool,
}

impl Changes {
    pub(crate) fn new(futex: AsyncFutex, last_seen: u32) -> Self {
        Self { futex, last_seen, waiter: Waiter::new(), over: false }
    }

    /// The latest value that the stream gave, or the one that it began with.
    #[must_use]
    pub fn last_seen(&self) -> u32 {
        self.last_seen
    }
}

impl Stream for Changes {
    type Item = io::Result<u32>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        // A word that changes all the time must not keep the other tasks of this thread waiting.
        let budget = ready!(poll_proceed(cx));
        let Self { futex, last_seen, waiter, over } = &mut *self;
        loop {
            // A wait that is armed is for `last_seen`, and whoever changed the word since will wake it. To look at the word
            // now would leave that wake to be handed on, and wake two waiters for one.
            if !waiter.is_armed() {
                let value = futex.word().load(Ordering::Acquire);
                if value != *last_seen {
                    *last_seen = value;
                    budget.made_progress();
                    return Poll::Ready(Some(Ok(value)));
                }
            }
            // A wake without a change is no change: around again.
            if let Err(error) = ready!(futex.poll_wait(waiter, *last_seen, MATCH_ANY, cx)) {
                *over = true;
                budget.made_progress();
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

impl FusedStream for Changes {
    fn is_terminated(&self) -> bool {
        self.over
    }
}
