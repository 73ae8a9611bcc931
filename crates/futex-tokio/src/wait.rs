//! The future of a wait.

use crate::AsyncFutex;
use futex_core::Waiter;
use std::fmt;
use std::future::Future;
use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The future of [`AsyncFutex::wait_async`](crate::AsyncFutex::wait_async).
///
/// # Errors
///
/// `BrokenPipe` where the runtime that drives the reactor has shut down. `Unsupported` in a fork of the reactor's process.
/// Where the kernel can't wait, for want of memory, descriptors or threads. Never `Interrupted`.
///
/// A word whose file is truncated is gone: looking at it raises `SIGBUS`, and no wake reaches a wait that is armed on it.
/// Memory of [`SharedMemory::anonymous`](crate::SharedMemory::anonymous) is sealed against that.
///
/// # Cancel safety
///
/// Dropping it, as `select!` and `timeout` do, leaves no trace. A wake that it has consumed is handed on to the next waiter
/// of the word, in whatever process, before the drop returns; one that the kernel has counted but not reported yet, as soon
/// as the runtime's thread learns of it.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct WaitAsync<'a> {
    futex: &'a AsyncFutex,
    expected: u32,
    mask: NonZeroU32,
    waiter: Waiter,
}

impl<'a> WaitAsync<'a> {
    pub(crate) fn new(futex: &'a AsyncFutex, expected: u32, mask: NonZeroU32) -> Self {
        Self { futex, expected, mask, waiter: Waiter::new() }
    }
}

impl Future for WaitAsync<'_> {
    type Output = io::Result<()>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { futex, expected, mask, waiter } = self.get_mut();
        futex.poll_wait(waiter, *expected, *mask, cx)
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
