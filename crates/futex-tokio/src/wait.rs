//! The future of a wait.

use crate::AsyncFutex;
use crate::budget::Budget;
use futex_core::{Outcome, Waiter};
use std::fmt;
use std::future::Future;
use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

/// The future of [`AsyncFutex::wait_async`](crate::AsyncFutex::wait_async).
///
/// When it has returned `Pending`, the kernel has the wait, or its task is scheduled to poll again. (The second is so if the
/// word differed and the task's [cooperative budget](tokio::task::coop) was used up.)
///
/// # Errors
///
/// `BrokenPipe` if the runtime that drives the reactor has shut down, `Unsupported` in a fork of the reactor's process,
/// `OutOfMemory` if the kernel has no memory (or no thread) for the wait, and other kinds if it can't wait for want of
/// descriptors, or because a sandbox forbids it. Never `WouldBlock` or `Interrupted`.
///
/// A word whose file is truncated is gone: loading it raises `SIGBUS`, and no wake reaches a wait that is armed on it.
/// Memory of [`SharedMemory::anonymous`](crate::SharedMemory::anonymous) is sealed against that.
///
/// # Cancel safety
///
/// Dropping it, as `select!` and `timeout` do, leaves no trace. A wake that it has consumed is handed on to the next waiter
/// of the word, in whatever process, before the drop returns. (On `Waitv` and `Thread` a wake that arrives at that moment is
/// handed on by the backend's thread.) It does not wait for the thread that armed the wait, whatever that thread does.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct WaitAsync<'a> {
    futex: &'a AsyncFutex,
    expected: u32,
    mask: NonZeroU32,
    waiter: Waiter,
    /// The word differed. From then on the wait is over, whatever the word does.
    differed: bool,
    budget: Budget,
}

impl<'a> WaitAsync<'a> {
    pub(crate) fn new(futex: &'a AsyncFutex, expected: u32, mask: NonZeroU32) -> Self {
        Self { futex, expected, mask, waiter: Waiter::new(), differed: false, budget: Budget::default() }
    }

    #[cold]
    fn poll_slowly(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let has_slept = self.waiter.is_armed();
        let ended = self.futex.poll_wait(&mut self.waiter, self.expected, self.mask, cx);
        if let (false, Poll::Ready(Ok(Outcome::Mismatch))) = (has_slept, &ended) {
            return self.poll_differed(cx);
        }
        ended.map_ok(drop)
    }

    #[inline]
    fn poll_differed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.differed = true;
        ready!(self.budget.poll(cx));
        self.differed = false;
        Poll::Ready(Ok(()))
    }
}

impl Future for WaitAsync<'_> {
    type Output = io::Result<()>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let word = this.futex.word();
        if this.differed || !this.waiter.is_armed() && word.load(Ordering::Acquire) != this.expected {
            return this.poll_differed(cx);
        }
        this.poll_slowly(cx)
    }
}

impl fmt::Debug for WaitAsync<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitAsync")
            .field("word", self.futex.word())
            .field("expected", &self.expected)
            .field("mask", &self.mask)
            .field("armed", &self.waiter.is_armed())
            .finish_non_exhaustive()
    }
}
