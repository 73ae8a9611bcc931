//! Registers descriptors with Tokio's epoll, as a user of eventfds does.
#![expect(unsafe_code, reason = "AsyncFd::new is deprecated as unsound, and AsyncFd::register is unsafe")]

use std::io;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers `fd` for reading with the runtime that is entered.
pub(crate) fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: The descriptor has to stay open, and the same, for as long as the `AsyncFd` lives. It is owned, and the
    // `AsyncFd` owns it.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }.map_err(io::Error::from)
}

/// A duplicate of the descriptor of an iceoryx2 listener.
#[cfg(feature = "iceoryx2")]
pub(crate) fn duplicate<T: iceoryx2::prelude::FileDescriptorBased>(of: &T) -> io::Result<OwnedFd> {
    // SAFETY: `of` owns the descriptor and keeps it open; it is borrowed for this call only.
    unsafe { std::os::fd::BorrowedFd::borrow_raw(of.file_descriptor().native_handle()) }.try_clone_to_owned()
}
