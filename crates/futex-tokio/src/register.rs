//! What this crate asks of a runtime: which one it is in, and to poll a descriptor. The one unsafe line hands that over.
#![expect(unsafe_code, reason = "AsyncFd::new is deprecated as unsound, and AsyncFd::register is unsafe")]

use futex_core::__private::{Origin, fail};
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::runtime::{Handle, Id};

/// A descriptor that a runtime polls for reading, until this is dropped.
pub(crate) struct Registered {
    /// There until this is dropped.
    fd: Option<AsyncFd<OwnedFd>>,
    origin: Origin,
}

impl Registered {
    /// Registers `fd` with the runtime that is entered.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        // Tokio panics if the runtime has no I/O driver, and offers no way to ask before.
        let registered = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: The descriptor has to stay open, and the same, for as long as the `AsyncFd` lives. It is owned, the
            // `AsyncFd` owns it, and an `OwnedFd` gives the same number whenever it is asked.
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

    /// Returns true if this process is the one that registered the descriptor, and not a fork of it.
    pub(crate) fn is_here(&self) -> bool {
        self.origin.is_here()
    }

    /// As [`AsyncFd::poll_read_ready`].
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<AsyncFdReadyGuard<'_, OwnedFd>>> {
        let Some(fd) = &self.fd else { return Poll::Pending }; // not reached
        fd.poll_read_ready(cx)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // A fork shares the epoll of its parent's runtime, and must not take the parent's registration out of it.
        if !self.is_here() {
            std::mem::forget(self.fd.take());
        }
    }
}

/// The runtime that the caller is in. `advice` is what the caller's user should do if there is none.
pub(crate) fn current_runtime(advice: &str) -> io::Result<Id> {
    let no_runtime = |_| fail(io::ErrorKind::Unsupported, format!("there is no Tokio runtime here: {advice}"));
    Handle::try_current().map(|handle| handle.id()).map_err(no_runtime)
}
