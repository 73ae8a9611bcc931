//! The errors of waits.

use futex_sys::explain;
use std::io;

/// The error of a wait whose reactor was closed.
pub(crate) fn closed() -> io::Error {
    io::Error::new(
        io::ErrorKind::BrokenPipe,
        "the futex reactor was closed, or its runtime has shut down: wait with another one",
    )
}

/// The error of a wait in a fork of the reactor's process.
pub(crate) fn forked() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "this futex reactor belongs to the process that this one was forked from: make another one here",
    )
}

/// The error of a wait that the kernel did not take. Want of memory has one kind, whichever number the kernel gives: a poll
/// that returns `WouldBlock` would be taken for one that is pending.
pub(crate) fn refused(error: io::Error) -> io::Error {
    use io::ErrorKind::{OutOfMemory, ResourceBusy, WouldBlock};
    match (error.kind(), error.raw_os_error()) {
        (WouldBlock | ResourceBusy | OutOfMemory, Some(_)) => {
            let error = explain(error, "the kernel has no memory for a wait on a futex word: try again later");
            io::Error::new(OutOfMemory, error)
        }
        (WouldBlock | ResourceBusy, None) => io::Error::new(OutOfMemory, error), // it has its sentence
        _ => error,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn want_of_memory_has_one_kind_and_keeps_its_cause() {
        for number in [11, 12, 16] {
            let error = refused(io::Error::from_raw_os_error(number)); // EAGAIN, ENOMEM, EBUSY
            assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
            assert!(error.to_string().starts_with("the kernel has no memory for a wait on a futex word"), "{error}");
        }
        let explained = refused(explain(io::Error::from_raw_os_error(11), "no thread"));
        assert_eq!(explained.kind(), io::ErrorKind::OutOfMemory);
        assert!(explained.to_string().starts_with("no thread: "), "{explained}");
        assert_eq!(refused(io::ErrorKind::PermissionDenied.into()).kind(), io::ErrorKind::PermissionDenied);
    }
}
