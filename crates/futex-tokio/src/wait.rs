//! Waiting once; also the step that `wait_until` and `changes` repeat.

use crate::budget::Budget;
use crate::futex::AsyncFutex;
use crate::spin::Spin;
use futex_core::{MATCH_ANY, Outcome, Waiter};
use std::fmt;
use std::future::Future;
use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use tokio::task::coop::has_budget_remaining;

impl AsyncFutex {
    /// Waits while the word is `expected`, until a wake.
    ///
    /// If the word differs, it is ready at the first poll, without a system call. It may return without a change and without
    /// a wake, so check the word again; [`wait_until`](AsyncFutex::wait_until) does that for you.
    ///
    /// A change of the word that lasts and is followed by a wake is never missed. On `Uring` a *bare* wake, without a change or
    /// with one that was taken back, reaches every wait that has returned `Pending`; but if the thread that armed a wait
    /// exits, Linux 6.16 to 6.18.48 end the wait, and until it is armed again a bare wake finds nobody. On `Waitv` and
    /// `Thread` a bare wake finds nobody while the backend's thread parks, or parks anew. The waker's count then does not
    /// include the wait.
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
    /// word with [`Acquire`](std::sync::atomic::Ordering::Acquire) after the wait; the other side stores it with
    /// [`Release`](std::sync::atomic::Ordering::Release).
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
        self.wait_async_masked(expected, MATCH_ANY)
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
        WaitAsync { wait: Wait { expected, mask, waiter: Waiter::new(), budget: Budget::default() }, futex: self }
    }

    /// [`wait_async`](AsyncFutex::wait_async) as a future that owns its futex and borrows nothing: for a struct, or a collection
    /// of waits that begin at different times. It is [`wait_async`](AsyncFutex::wait_async) with
    /// [`into_owned`](WaitAsync::into_owned).
    ///
    /// # Errors
    ///
    /// See [`WaitAsync`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: see [`WaitAsync`].
    ///
    /// # Examples
    ///
    /// ```
    /// use futex_tokio::{AsyncFutex, WaitAsyncOwned};
    /// use std::sync::{Arc, atomic::{AtomicU32, Ordering}};
    ///
    /// struct Slot {
    ///     futex: AsyncFutex,
    ///     filled: WaitAsyncOwned,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let futex = AsyncFutex::new(Arc::new(AtomicU32::new(0)))?;
    /// let mut slot = Slot { filled: futex.wait_async_owned(0), futex };
    ///
    /// slot.futex.word().store(1, Ordering::Release);
    /// slot.futex.wake_one();
    /// (&mut slot.filled).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn wait_async_owned(&self, expected: u32) -> WaitAsyncOwned {
        self.wait_async(expected).into_owned()
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
        if !waiter.is_armed() && has_budget_remaining() && self.spinner.spin(self.word(), expected) {
            return Poll::Ready(Ok(Outcome::Mismatch));
        }
        waiter.poll_wait_masked(self.reactor().core(), self.word(), expected, mask, cx)
    }
}

/// The future of [`AsyncFutex::wait_async`].
///
/// When it has returned `Pending`, the kernel has the wait, or its task is scheduled to poll again. (The second is so if the
/// word differed and the task's [cooperative budget](tokio::task::coop) was used up.) If it is polled after it was ready, it
/// begins a new wait.
///
/// # Errors
///
/// `BrokenPipe` if the reactor was closed, or the runtime that drives it has shut down. `Unsupported` in a fork of the
/// reactor's process. `OutOfMemory` if the kernel has no memory (or no thread) for the wait. Other kinds if no descriptors are
/// left, or a sandbox forbids the wait. Never `WouldBlock` or `Interrupted`.
///
/// A word whose file is truncated is gone: loading it raises `SIGBUS`, and no wake reaches a wait that is armed on it.
/// Memory of [`SharedMemory::anonymous`](crate::SharedMemory::anonymous) is sealed against that.
///
/// # Cancel safety
///
/// Dropping it, as `select!` and `timeout` do, leaves no trace. A wake that it has consumed is handed on to the next waiter
/// of the word, in whatever process, before the drop returns. (On `Waitv` and `Thread` a wake that arrives at that moment is
/// handed on by the backend's thread, as soon as it learns of the wake.) It does not wait for the thread that armed the wait,
/// whatever that thread does.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct WaitAsync<'a> {
    wait: Wait,
    futex: &'a AsyncFutex,
}

impl WaitAsync<'_> {
    /// The same wait, armed or not, as a future that owns its futex.
    pub fn into_owned(self) -> WaitAsyncOwned {
        // A spinner of its own would learn nothing, and so spin in vain in each of many such waits.
        WaitAsyncOwned { wait: self.wait, futex: self.futex.clone().with_spin(Spin::OFF) }
    }
}

/// The future of [`AsyncFutex::wait_async_owned`]: a [`WaitAsync`] that owns its futex. It does not [spin](Spin).
///
/// # Errors
///
/// Those of [`WaitAsync`].
///
/// # Cancel safety
///
/// Cancel safe, as [`WaitAsync`] is.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct WaitAsyncOwned {
    /// Dropped first, while the reactor is surely there.
    wait: Wait,
    futex: AsyncFutex,
}

/// A wait, without its futex.
struct Wait {
    expected: u32,
    mask: NonZeroU32,
    waiter: Waiter,
    budget: Budget,
}

impl Wait {
    /// `futex` is the same one at each call.
    #[inline]
    fn poll(&mut self, futex: &AsyncFutex, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let differs = || !self.waiter.is_armed() && futex.word().load(Ordering::Acquire) != self.expected;
        // A wait that has yielded is over, whatever the word does since.
        if self.budget.has_yielded() || differs() {
            return self.budget.poll(cx).map(Ok);
        }
        self.poll_slowly(futex, cx)
    }

    #[cold]
    fn poll_slowly(&mut self, futex: &AsyncFutex, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let has_slept = self.waiter.is_armed();
        let outcome = ready!(futex.poll_wait(&mut self.waiter, self.expected, self.mask, cx))?;
        if !has_slept && outcome == Outcome::Mismatch {
            return self.budget.poll(cx).map(Ok);
        }
        Poll::Ready(Ok(()))
    }
}

impl Future for WaitAsync<'_> {
    type Output = io::Result<()>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { wait, futex } = self.get_mut();
        wait.poll(futex, cx)
    }
}

impl Future for WaitAsyncOwned {
    type Output = io::Result<()>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { wait, futex } = self.get_mut();
        wait.poll(futex, cx)
    }
}

impl fmt::Debug for WaitAsync<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.wait.show(self.futex, f.debug_struct("WaitAsync"))
    }
}

impl fmt::Debug for WaitAsyncOwned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.wait.show(&self.futex, f.debug_struct("WaitAsyncOwned"))
    }
}

impl Wait {
    fn show(&self, futex: &AsyncFutex, mut shown: fmt::DebugStruct<'_, '_>) -> fmt::Result {
        shown
            .field("word", futex.word())
            .field("expected", &self.expected)
            .field("mask", &self.mask)
            .field("armed", &self.waiter.is_armed())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    /// Each owned wait had a copy of the futex's spinner, and what it learned ended with it. So all of them spun in vain, for
    /// the whole limit.
    #[tokio::test]
    async fn an_owned_wait_does_not_spin() {
        let futex = AsyncFutex::new(Arc::new(AtomicU32::new(0))).expect("a futex");
        let futex = futex.with_spin(Spin::up_to(Duration::from_micros(10)));
        assert_eq!(futex.wait_async_owned(0).futex.spin(), Spin::OFF);
        assert_eq!(futex.wait_async(0).futex.spin(), futex.spin());
    }
}
