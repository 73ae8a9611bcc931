//! The values of a word as a stream.

use crate::futex::AsyncFutex;
use crate::wait_until::WaitUntil;
use futures_core::Stream;
use futures_core::stream::FusedStream;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

impl AsyncFutex {
    /// Returns a stream of the word's values. Each value differs from the value before it, and the first value differs from
    /// `last_seen`.
    ///
    /// The stream does not queue values. If the word changes more often than the consumer polls, the consumer gets the latest
    /// value only. A process that changes the word must wake the waiters of the word afterwards.
    ///
    /// # Errors
    ///
    /// The items have the errors of [`WaitAsync`](crate::WaitAsync). After an error the stream ends.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: see [`Changes`].
    ///
    /// # Memory ordering
    ///
    /// The values are loaded with acquire ordering.
    ///
    /// # Examples
    ///
    /// ```
    /// use futex_tokio::AsyncFutex;
    /// use futures_util::StreamExt;
    /// use std::sync::{Arc, atomic::{AtomicU32, Ordering}};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let futex = AsyncFutex::new(Arc::new(AtomicU32::new(3)))?;
    /// let mut changes = futex.changes(0);
    /// assert_eq!(changes.next().await.unwrap()?, 3);
    ///
    /// futex.word().store(4, Ordering::Release);
    /// futex.word().store(5, Ordering::Release);
    /// futex.wake_all();
    /// assert_eq!(changes.next().await.unwrap()?, 5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn changes(&self, last_seen: u32) -> Changes {
        Changes { futex: self.clone(), last_seen, wait: WaitUntil::default(), over: false }
    }
}

/// The stream of [`AsyncFutex::changes`].
///
/// The stream ends only after an error.
///
/// # Cancel safety
///
/// Cancel safe: if a call of `next()` is dropped before it is ready, the following call waits for the same change. Dropping the
/// stream behaves like dropping a [`WaitAsync`](crate::WaitAsync).
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Changes {
    futex: AsyncFutex,
    last_seen: u32,
    wait: WaitUntil,
    over: bool,
}

impl Changes {
    /// Returns the last value that the stream has returned, or its initial `last_seen`.
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
        let Self { futex, last_seen, wait, over } = &mut *self;
        // An armed wait compares the word with `last_seen`, and a process that changes the word will wake it. If this loaded the
        // word while the wait is armed, that wake would be handed on later, and one wake would wake two waiters.
        let value = ready!(wait.poll(futex, |value| value != *last_seen, cx));
        match value {
            Ok(value) => *last_seen = value,
            Err(_) => *over = true,
        }
        Poll::Ready(Some(value))
    }
}

impl FusedStream for Changes {
    fn is_terminated(&self) -> bool {
        self.over
    }
}
