//! How a wait ends for its owner.

use futex_sys::__private::{fail, with_kind};
use std::io;

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The wait consumed a wake. Rarely, a wait ends as woken although it consumed none.
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

/// The error of a wait that the kernel did not take.
///
/// A lack of memory or threads always has the kind `OutOfMemory`, whichever error number the kernel gives: a caller could
/// mistake `WouldBlock` for a pending wait.
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
    fn a_lack_of_memory_has_one_kind_and_keeps_its_sentence() {
        for number in [11, 12, 16] {
            let error = refused(futex_sys::__private::explain(io::Error::from_raw_os_error(number), "no memory")); // EAGAIN, ENOMEM, EBUSY
            assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
            assert!(error.to_string().starts_with("no memory: "), "{error}");
        }
        assert_eq!(refused(io::ErrorKind::PermissionDenied.into()).kind(), io::ErrorKind::PermissionDenied);
    }
}
