//! How a wait ends for its owner.

use futex_sys::__private::{fail, with_kind};
use std::io;

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A wake was consumed, or, rarely, may have been.
    Woken,
    /// The word did not have the expected value.
    Mismatch,
}

/// The error of a wait whose reactor was closed.
#[cold]
pub(crate) fn closed() -> io::Error {
    fail(
        io::ErrorKind::BrokenPipe,
        "the futex reactor was closed, or its runtime has shut down: wait with another reactor",
    )
}

/// The error of a wait in a fork of the reactor's process.
#[cold]
pub(crate) fn forked() -> io::Error {
    fail(
        io::ErrorKind::Unsupported,
        "this futex reactor belongs to the process that this one was forked from: make another reactor here",
    )
}

/// The error of a wait that the kernel did not take. Want of memory or threads has one kind, whichever number the kernel
/// gives: a poll that returns `WouldBlock` would be taken for one that is pending.
#[cold]
pub(crate) fn refused(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::ResourceBusy => with_kind(io::ErrorKind::OutOfMemory, error),
        _ => error,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn want_of_memory_has_one_kind_and_keeps_its_sentence() {
        for number in [11, 12, 16] {
            let error = refused(futex_sys::__private::explain(io::Error::from_raw_os_error(number), "no memory")); // EAGAIN, ENOMEM, EBUSY
            assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
            assert!(error.to_string().starts_with("no memory: "), "{error}");
        }
        assert_eq!(refused(io::ErrorKind::PermissionDenied.into()).kind(), io::ErrorKind::PermissionDenied);
    }
}
