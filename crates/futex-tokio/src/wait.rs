//! Waiting once, and the step that `wait_until` and `changes` repeat.

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
    /// If the word equals `expected`, waits until a wake. Otherwise the future is ready at the first poll, without a system call.
    ///
    /// A wait may also end without a change and without a wake. So load the word again after the wait, in a loop.
    /// [`wait_until`](AsyncFutex::wait_until) is such a loop.
    ///
    /// A wait never misses a change that lasts and is followed by a wake. It may miss a [bare wake](crate#bare-wakes).
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
    /// The first poll loads the word with acquire ordering. To read data that another process wrote before it changed the
    /// word, load the word with [`Acquire`](std::sync::atomic::Ordering::Acquire) after the wait. The other process must
    /// change the word with [`Release`](std::sync::atomic::Ordering::Release).
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
    /// // Nobody wakes the futex, so the timeout drops the wait, which cancels it.
    /// assert!(timeout(Duration::from_millis(1), futex.wait_async(0)).await.is_err());
    ///
    /// futex.word().store(1, Ordering::Release);
    /// futex.wait_async(0).await?; // the word is 1, so this is ready at once
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn wait_async(&self, expected: u32) -> WaitAsync<'_> {
        self.wait_async_masked(expected, MATCH_ANY)
    }

    /// Waits like [`wait_async`](AsyncFutex::wait_async), but a wake ends the wait only if the mask of the wake has a bit in
    /// common with `mask`. So one word can serve up to 32 kinds of waiters. A wake without a mask ends any wait.
    ///
    /// # Errors
    ///
    /// See [`WaitAsync`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: see [`WaitAsync`]. A wake is handed on with the mask of this wait.
    #[inline]
    pub fn wait_async_masked(&self, expected: u32, mask: NonZeroU32) -> WaitAsync<'_> {
        WaitAsync { wait: Wait { expected, mask, waiter: Waiter::new(), budget: Budget::default() }, futex: self }
    }

    /// Waits like [`wait_async`](AsyncFutex::wait_async), but the future contains a clone of the futex and borrows nothing.
    /// So a struct can hold a futex together with its wait, and you may drop the futexes while a collection still holds their
    /// waits.
    ///
    /// This is short for [`wait_async`](AsyncFutex::wait_async) followed by [`into_owned`](WaitAsync::into_owned).
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

    /// Polls a wait. If it is not armed, begins it: spins on the word if that is likely to pay off, then arms the wait.
    pub(crate) fn poll_wait(
        &self,
        waiter: &mut Waiter,
        expected: u32,
        mask: NonZeroU32,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Outcome>> {
        // Two tasks that answer each other while they spin would never return to the scheduler. So a wait that is ready after
        // spinning takes budget, and a wait without budget does not spin.
        if !waiter.is_armed() && has_budget_remaining() && self.spinner.spin(self.word(), expected) {
            return Poll::Ready(Ok(Outcome::Mismatch));
        }
        waiter.poll_wait_masked(self.reactor().core(), self.word(), expected, mask, cx)
    }
}

/// The future of [`AsyncFutex::wait_async`].
///
/// After a poll has returned `Pending`, the wait is *armed*:
///
/// - On `Uring`, the wait is in the kernel. (The kernels 6.16 to 6.18.48 may end it [early](crate#bare-wakes). The reactor then
///   arms it again.)
/// - On `Waitv` and `Thread`, a thread of the backend waits in the kernel, or is about to do so.
///
/// In one case `Pending` has another meaning: if the word differs, but the task has used up its
/// [cooperative budget](tokio::task::coop), the task is scheduled to poll again.
///
/// A future that is polled after it was ready begins a new wait.
///
/// # Errors
///
/// - `BrokenPipe` if the reactor was closed, or the runtime that drives it has shut down.
/// - `Unsupported` in a fork of the reactor's process.
/// - `OutOfMemory` if the kernel has no memory for the wait, or can't start a thread for it.
/// - Other kinds if the process has no descriptors left, or if a sandbox forbids the wait.
///
/// The kind is never `WouldBlock` or `Interrupted`.
///
/// After the file of a word was truncated, a load of the word raises `SIGBUS`, and no wake reaches a wait that is armed on it.
/// Memory of [`SharedMemory::anonymous`](crate::SharedMemory::anonymous) is sealed, so that nobody can truncate it.
///
/// # Cancel safety
///
/// Dropping the future, like `select!` and `timeout` do, cancels the wait. If the kernel has already woken the wait, and
/// counted it in the result of the wake, the wait has *consumed* the wake. The drop then *hands the wake on*: it wakes the
/// next waiter of the word, in any process. So no waiter misses a change that lasts. (Without such a change, a wake that is
/// handed on can miss some waiters: see [bare wakes](crate#bare-wakes).)
///
/// On `Waitv` and `Thread`, it is possible that the thread of the wait has not noticed the wake when the future is dropped. Then
/// this thread hands the wake on later.
///
/// The thread that armed the wait may be blocked or busy. The drop does not wait for this thread.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct WaitAsync<'a> {
    wait: Wait,
    futex: &'a AsyncFutex,
}

impl WaitAsync<'_> {
    /// Converts the wait, armed or not, into a future that contains a clone of the futex. The future does not [spin](Spin).
    pub fn into_owned(self) -> WaitAsyncOwned {
        // Each of many such waits would have a spinner of its own, which has learned nothing, and would spin in vain.
        WaitAsyncOwned { wait: self.wait, futex: self.futex.clone().with_spin(Spin::OFF) }
    }
}

/// The future of [`AsyncFutex::wait_async_owned`]: a [`WaitAsync`] that contains a clone of the futex. This future does not
/// [spin](Spin).
///
/// # Errors
///
/// Those of [`WaitAsync`].
///
/// # Cancel safety
///
/// Cancel safe: see [`WaitAsync`].
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct WaitAsyncOwned {
    /// Declared before `futex`, so that it is dropped while the reactor exists.
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
    /// Polls the wait. The caller passes the same `futex` at each call.
    #[inline]
    fn poll(&mut self, futex: &AsyncFutex, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let differs = || !self.waiter.is_armed() && futex.word().load(Ordering::Acquire) != self.expected;
        // A wait that has yielded is over, even if the word is `expected` again.
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

    /// Each owned wait had a copy of the futex's spinner. When the wait was dropped, what the copy had learned was lost. So every
    /// owned wait spun in vain for the whole limit.
    #[tokio::test]
    async fn an_owned_wait_does_not_spin() {
        let futex = AsyncFutex::new(Arc::new(AtomicU32::new(0))).expect("a futex");
        let futex = futex.with_spin(Spin::up_to(Duration::from_micros(10)));
        assert_eq!(futex.wait_async_owned(0).futex.spin(), Spin::OFF);
        assert_eq!(futex.wait_async(0).futex.spin(), futex.spin());
    }
}
