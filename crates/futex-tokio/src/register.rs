//! The one unsafe line of this crate: handing a descriptor to Tokio's epoll.
#![expect(unsafe_code, reason = "AsyncFd::new is deprecated as unsound, and AsyncFd::register is unsafe")]

use futex_core::__private::fail;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers `fd` for reading with the runtime that is entered.
pub(crate) fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // Tokio panics if the runtime has no I/O driver, and offers no way to ask before.
    catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: The descriptor has to stay open, and the same, for as long as the `AsyncFd` lives. It is owned, the
        // `AsyncFd` owns it, and an `OwnedFd` gives the same number whenever it is asked.
        unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }
    }))
    .map_err(|_| {
        fail(
            io::ErrorKind::Unsupported,
            "this Tokio runtime has no I/O driver: build it with `enable_io` or `enable_all`",
        )
    })?
    .map_err(io::Error::from)
}
