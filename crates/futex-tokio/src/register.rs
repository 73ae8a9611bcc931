//! The two uses of a runtime: finding out which one is entered, and registering a descriptor with it. The registration is the
//! only unsafe code of this crate.
#![expect(unsafe_code, reason = "AsyncFd::new is deprecated as unsound, and AsyncFd::register is unsafe")]

use futex_core::__private::{Origin, fail};
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::runtime::{Handle, Id};

/// A descriptor that a runtime polls for reading until this is dropped.
pub(crate) struct Registered {
    /// The descriptor. Only `drop` takes it.
    fd: Option<AsyncFd<OwnedFd>>,
    origin: Origin,
}

impl Registered {
    /// Registers `fd` with the runtime that is entered.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        // Tokio panics if the runtime has no I/O driver, and offers no other way to find that out.
        let registered = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: The descriptor must stay open and must not change while the `AsyncFd` lives. The `AsyncFd` owns the
            // `OwnedFd`, which keeps its descriptor open and always returns the same number.
            unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }
        }));
        let fd = registered.map_err(|_| {
            fail(
                io::ErrorKind::Unsupported,
                "this Tokio runtime has no I/O driver: build it with `enable_io` or `enable_all`",
            )
        })??;
        Ok(Self { fd: Some(fd), origin: Origin::here() })
    }

    /// Returns true if this process has registered the descriptor, and false in a fork of that process.
    pub(crate) fn is_here(&self) -> bool {
        self.origin.is_here()
    }

    /// Polls like [`AsyncFd::poll_read_ready`].
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<AsyncFdReadyGuard<'_, OwnedFd>>> {
        let Some(fd) = &self.fd else { return Poll::Pending }; // not reached
        fd.poll_read_ready(cx)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // A fork shares the epoll of its parent's runtime, and must not remove the parent's registration from it.
        if !self.is_here() {
            std::mem::forget(self.fd.take());
        }
    }
}

/// Returns the runtime that the caller is in. If there is none, the error ends with `advice`, which says what to do.
pub(crate) fn current_runtime(advice: &str) -> io::Result<Id> {
    let no_runtime = |_| fail(io::ErrorKind::Unsupported, format!("there is no Tokio runtime here: {advice}"));
    Handle::try_current().map(|handle| handle.id()).map_err(no_runtime)
}
