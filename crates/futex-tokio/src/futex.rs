//! The face of the library: a word that tasks wait on.

use crate::wait_until::WaitUntil;
use crate::{Changes, Reactor, Spin, WaitAsync, Word};
use futex_core::{MATCH_ANY, Outcome, Spinner, Waiter};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::num::NonZeroU32;
use std::task::{Context, Poll};
use tokio::task::coop::has_budget_remaining;

/// A futex word that tasks of any process wait on.
///
/// It is a cheap handle: a word and a reactor to wait with. Any number of handles to one word may exist, in any number of
/// processes, beside blocking waiters and wakers that know nothing of this crate.
///
/// The contract is that of every futex: to end a wait, *change the word, then wake*.
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
    /// If the word differs, it is ready at the first poll, without a system call. It may return without a change and without
    /// a wake, so check the word again; [`wait_until`](AsyncFutex::wait_until) does that for you.
    ///
    /// A change of the word that lasts and is followed by a wake is never missed. On `Uring` a *bare* wake, without a change or
    /// with one that was taken back, reaches every wait that has returned `Pending`; but if the thread that armed a wait
    /// exits, Linux 6.16 to 6.18.48 end the wait, and until it is armed again a bare wake finds nobody. On `Waitv` and
    /// `Thread` a bare wake finds nobody while the backend's thread parks, or parks anew. The waker sees all that in its count.
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
    /// word with [`Acquire`](std::sync::atomic::Ordering::Acquire) after the wait; the other side stores it with [`Release`](std::sync::atomic::Ordering::Release).
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
    /// It calls `pred` at once, and again after every wake. A process that changes the word has to wake. Intermediate values
    /// can be missed: wait only for final states, or for states that only the waiter leaves.
    ///
    /// # Panics
    ///
    /// If `pred` panics. A wake that the wait had consumed is handed on then.
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
        let mut wait = WaitUntil::default();
        poll_fn(|cx| wait.poll(self, &mut pred, cx)).await
    }

    /// A stream of the word's values that differ from the one before, the first from `last_seen`.
    ///
    /// It coalesces: a consumer that is slower than the changes of the word sees the latest value, and not each one.
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
    /// It is the [`wake`](Word::wake) of the word, and may be called in a signal handler.
    ///
    /// Zero wakes nobody, and `u32::MAX` wakes all. The kernel takes the longest waiting first; a thread of the `Waitv`
    /// backend that parks anew goes to the end of the queue.
    ///
    /// A waiter that is just giving up, and a thread that the `Thread` backend has left behind, are counted, and hand their
    /// wake on: the count is of wakes that somebody will see, as long as somebody waits.
    #[inline]
    pub fn wake(&self, n: u32) -> u32 {
        self.word.wake(n)
    }

    /// [`wake`](AsyncFutex::wake) for one waiter. Returns true if there was one.
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
        self.word.wake_masked(n, mask)
    }

    /// Polls a wait, and begins it if it is not armed: spins on the word for a moment if that pays off, and then sleeps.
    pub(crate) fn poll_wait(
        &self,
        waiter: &mut Waiter,
        expected: u32,
        mask: NonZeroU32,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Outcome>> {
        // Two tasks that answer each other within the moment would never let go of their threads. A wait that is ready after
        // spinning takes budget, and without budget it sleeps at once.
        if !waiter.is_armed() && has_budget_remaining() && self.spinner.spin(&self.word, expected) {
            return Poll::Ready(Ok(Outcome::Mismatch));
        }
        let outcome = waiter.poll_wait_masked(self.reactor.core(), &self.word, expected, mask, cx);
        if outcome.is_ready() {
            self.spinner.slept();
        }
        outcome
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
