//! The values of a word as a stream.

use crate::futex::AsyncFutex;
use crate::wait_until::WaitUntil;
use futures_core::Stream;
use futures_core::stream::FusedStream;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

impl AsyncFutex {
    /// A stream of the word's values. Each differs from the one before it, and the first differs from `last_seen`.
    ///
    /// It coalesces: a consumer that is slower than the changes of the word sees the latest value, and not each one. A process
    /// that changes the word has to wake.
    ///
    /// # Errors
    ///
    /// Those of [`WaitAsync`](crate::WaitAsync), as the stream's last item.
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
/// It never ends by itself; after an error (see [`WaitAsync`](crate::WaitAsync)) it is over.
///
/// # Cancel safety
///
/// Cancel safe: if its `next()` is dropped, the next one returns the same value or a later one. Dropping the stream behaves
/// like dropping a [`WaitAsync`](crate::WaitAsync).
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Changes {
    futex: AsyncFutex,
    last_seen: u32,
    wait: WaitUntil,
    over: bool,
}

impl Changes {
    /// The latest value that the stream returned, or the one that it began with.
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
        // A wait that is armed is for `last_seen`, and a waker that changed the word since will wake it. To load the word now
        // would leave that wake to be handed on, and wake two waiters for one.
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
