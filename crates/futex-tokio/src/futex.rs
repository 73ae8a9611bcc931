//! The face of the library: a word that tasks wait on.

use crate::{Changes, Reactor, Spin, WaitAsync, Word};
use futex_core::{MATCH_ANY, Spinner, Waiter};
use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use tokio::task::coop::{consume_budget, has_budget_remaining, poll_proceed};

/// A futex word that tasks of any process wait on.
///
/// It is a cheap handle: a word and a reactor to wait with. Any number of handles to one word may exist, in any number of
/// processes, beside blocking waiters and wakers that know nothing of this crate.
///
/// The contract is that of every futex: whoever ends a wait *changes the word, then wakes*.
#[derive(Clone)]
pub struct AsyncFutex {
    reactor: Reactor,
    word: Word,
    spinner: Spinner,
}

impl AsyncFutex {
    /// A futex on `word` that waits with the current runtime's reactor.
    ///
    /// `word` may be a [`Word`], for instance of [`SharedMemory::word`](crate::SharedMemory::word), an
    /// `Arc<AtomicU32>`, or a reference to an `AtomicU32` that lives for ever.
    ///
    /// # Errors
    ///
    /// Those of [`Reactor::current`]; outside a runtime there is none.
    pub fn new(word: impl Into<Word>) -> io::Result<Self> {
        Ok(Self::with_reactor(&Reactor::current()?, word))
    }

    /// A futex on `word` that waits with `reactor`.
    #[must_use]
    pub fn with_reactor(reactor: &Reactor, word: impl Into<Word>) -> Self {
        Self { spinner: Spinner::new(reactor.spin()), reactor: reactor.clone(), word: word.into() }
    }

    /// The same futex, whose waits look at the word for up to `spin` before they sleep. Without this they do as the reactor's
    /// [builder](crate::Builder::spin) said.
    #[must_use]
    pub fn with_spin(self, spin: Spin) -> Self {
        Self { spinner: Spinner::new(spin), ..self }
    }

    /// How long waits of this handle look at the word, at most, before they sleep.
    #[must_use]
    pub fn spin(&self) -> Spin {
        self.spinner.setting()
    }

    /// The word.
    #[must_use]
    #[inline]
    pub fn word(&self) -> &Word {
        &self.word
    }

    /// The reactor that this handle waits with.
    #[must_use]
    pub fn reactor(&self) -> &Reactor {
        &self.reactor
    }

    /// Waits while the word is `expected`, until a wake.
    ///
    /// Where the word differs it is ready at the first poll, without a system call. It may return without a change and without
    /// a wake, so look at the word again; [`wait_until`](AsyncFutex::wait_until) does that for you.
    ///
    /// A wake without a change of the word reaches every wait that is armed at that moment. A change of the word is never
    /// missed, but such a bare wake can be: on the `Waitv` and `Thread` backends while a thread parks, or parks anew. On `Uring`
    /// a wait is armed when its first poll returns, unless it began right after another one: then at the end of the
    /// scheduler's tick ([`Builder::batch`](crate::Builder::batch) turns that off). And when the kernel has ended a wait because
    /// the thread that armed it exited (Linux 6.16 to 6.18.48), it takes a moment until it is armed again. The waker sees all
    /// that in its count.
    ///
    /// # Errors
    ///
    /// See [`WaitAsync`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: see [`WaitAsync`].
    ///
    /// # Memory ordering
    ///
    /// The comparison at the first poll is an acquire load. To read what was written before the word was changed, load the
    /// word with [`Acquire`](Ordering::Acquire) after the wait; the other side stores it with [`Release`](Ordering::Release).
    ///
    /// # Examples
    ///
    /// ```
    /// use futex_tokio::AsyncFutex;
    /// use std::sync::{Arc, atomic::{AtomicU32, Ordering}};
    /// use tokio::time::{Duration, timeout};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let futex = AsyncFutex::new(Arc::new(AtomicU32::new(0)))?;
    ///
    /// // Nobody wakes, and dropping the wait leaves no trace.
    /// assert!(timeout(Duration::from_millis(1), futex.wait_async(0)).await.is_err());
    ///
    /// futex.word().store(1, Ordering::Release);
    /// futex.wait_async(0).await?; // it is 1: ready at once
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn wait_async(&self, expected: u32) -> WaitAsync<'_> {
        WaitAsync::new(self, expected, MATCH_ANY)
    }

    /// [`wait_async`](AsyncFutex::wait_async) for the wakes whose mask shares a bit with `mask`: one word for up to 32 kinds
    /// of waiters. A plain wake matches every mask.
    ///
    /// # Errors
    ///
    /// See [`WaitAsync`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: see [`WaitAsync`]. A wake is handed on under this wait's own mask.
    #[inline]
    pub fn wait_async_masked(&self, expected: u32, mask: NonZeroU32) -> WaitAsync<'_> {
        WaitAsync::new(self, expected, mask)
    }

    /// Waits until `pred` is true of the word's value, and returns that value.
    ///
    /// It looks at once, and again after every wake. Whoever changes the word has to wake; a value that the word had only
    /// between two looks may be missed.
    ///
    /// # Errors
    ///
    /// See [`WaitAsync`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: see [`WaitAsync`].
    ///
    /// # Memory ordering
    ///
    /// The value was loaded with acquire ordering.
    pub async fn wait_until(&self, mut pred: impl FnMut(u32) -> bool) -> io::Result<u32> {
        loop {
            let value = self.word.load(Ordering::Acquire);
            if pred(value) {
                return Ok(value);
            }
            self.wait_async(value).await?;
            // A word that changes all the time must not keep the other tasks of this thread waiting.
            consume_budget().await;
        }
    }

    /// A stream of the word's values that differ from the one before, the first from `last_seen`.
    ///
    /// It coalesces: a consumer that is slower than the word changes sees the latest value, and not each one.
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
        Changes::new(self.clone(), last_seen)
    }

    /// Wakes up to `n` waiters, in whatever process and of whatever kind. Returns how many the kernel woke.
    ///
    /// Zero wakes nobody, and `u32::MAX` wakes all. The kernel takes the longest waiting first; a thread of the `Waitv`
    /// backend that parks anew goes to the end of the queue.
    ///
    /// A waiter that is just giving up, and a thread that the `Thread` backend has left behind, are counted, and hand their
    /// wake on: the count is of wakes that somebody will see, as long as somebody waits.
    #[inline]
    pub fn wake(&self, n: u32) -> u32 {
        self.reactor.arm_deferred();
        self.word.wake(n)
    }

    /// [`wake`](AsyncFutex::wake) for one waiter; tells whether there was one.
    #[inline]
    pub fn wake_one(&self) -> bool {
        self.wake(1) != 0
    }

    /// Wakes all waiters, and returns how many there were.
    #[inline]
    pub fn wake_all(&self) -> u32 {
        self.wake(u32::MAX)
    }

    /// [`wake`](AsyncFutex::wake) for the waiters whose mask shares a bit with `mask`. A wait without a mask matches every
    /// wake.
    #[inline]
    pub fn wake_masked(&self, n: u32, mask: NonZeroU32) -> u32 {
        self.reactor.arm_deferred();
        self.word.wake_masked(n, mask)
    }

    /// Polls a wait: looks at the word, for a moment if that pays off, and then sleeps.
    #[inline]
    pub(crate) fn poll_wait(
        &self,
        waiter: &mut Waiter,
        expected: u32,
        mask: NonZeroU32,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if !waiter.is_armed() && self.word.load(Ordering::Acquire) != expected {
            return Poll::Ready(Ok(()));
        }
        self.poll_slowly(waiter, expected, mask, cx)
    }

    #[cold]
    fn poll_slowly(
        &self,
        waiter: &mut Waiter,
        expected: u32,
        mask: NonZeroU32,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        // Two tasks that answer each other within the moment would never let go of their threads, so looking takes budget,
        // and without budget the wait sleeps at once.
        if !waiter.is_armed() && has_budget_remaining() && self.spinner.spin(&self.word, expected) {
            if let Poll::Ready(budget) = poll_proceed(cx) {
                budget.made_progress();
            }
            return Poll::Ready(Ok(()));
        }
        let (driver, core) = (self.reactor.driver(), self.reactor.core());
        let outcome = if !waiter.is_armed() && driver.defers() {
            let outcome = waiter.poll_wait_deferred(core, &self.word, expected, mask, cx);
            if outcome.is_pending() {
                driver.flush_soon();
            }
            outcome
        } else {
            waiter.poll_wait_masked(core, &self.word, expected, mask, cx)
        };
        if outcome.is_ready() {
            self.spinner.slept();
        }
        // Woken, or the word differed: either way the caller looks at the word.
        outcome.map_ok(drop)
    }
}

impl fmt::Debug for AsyncFutex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFutex")
            .field("word", &self.word)
            .field("reactor", &self.reactor)
            .field("spin", &self.spin())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Backend;
    use static_assertions::assert_impl_all;

    assert_impl_all!(AsyncFutex: Clone, Send, Sync, fmt::Debug, Unpin);
    assert_impl_all!(Reactor: Clone, Send, Sync, fmt::Debug, Unpin);
    assert_impl_all!(WaitAsync<'static>: Send, Sync, fmt::Debug, Unpin);
    assert_impl_all!(Changes: Send, Sync, fmt::Debug, Unpin);
    assert_impl_all!(Backend: Copy, Send, Sync, fmt::Debug);
}
