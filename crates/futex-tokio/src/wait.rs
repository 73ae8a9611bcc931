//! The future of a wait.

use futex_core::Wait;
use std::future::Future;
use std::io;
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
#[derive(Debug)]
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct WaitAsync<'a>(pub(crate) Wait<'a>);

impl Future for WaitAsync<'_> {
    type Output = io::Result<()>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Woken, or the word differed: either way the caller looks at the word.
        Pin::new(&mut self.0).poll(cx).map_ok(drop)
    }
}
