//! `eventfd(2)`.

use crate::error::explain;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// A 64-bit counter with a descriptor that polls readable while the counter is not zero (`eventfd(2)`).
///
/// The descriptor is non-blocking and is closed on `exec`.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// `eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)`
    ///
    /// # Errors
    ///
    /// The kernel's error if the process or the system has no descriptors left (`EMFILE`, `ENFILE`) or no memory.
    pub fn new() -> io::Result<Self> {
        eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map(Self)
            .map_err(|errno| explain(errno, "cannot create an eventfd (see `ulimit -n` if descriptors ran out)"))
    }

    /// Adds `count` to the counter. This makes the descriptor readable and is an edge for an edge-triggered poller.
    ///
    /// If the counter would overflow, it keeps its value and this call succeeds: the descriptor is readable already.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for `u64::MAX`, which an eventfd does not accept.
    pub fn signal(&self, count: u64) -> io::Result<()> {
        match rustix::io::retry_on_intr(|| rustix::io::write(&self.0, &count.to_ne_bytes())) {
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(errno) => Err(explain(errno, format!("cannot add {count} to an eventfd's counter"))),
        }
    }

    /// Returns the counter and sets it to zero. Returns `None` if the counter was zero already.
    ///
    /// # Errors
    ///
    /// Those of `read(2)`. None is known to occur for an eventfd.
    pub fn take(&self) -> io::Result<Option<u64>> {
        let mut count = [0; 8];
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.0, &mut count)) {
            Ok(_) => Ok(Some(u64::from_ne_bytes(count))),
            Err(Errno::AGAIN) => Ok(None),
            Err(errno) => Err(explain(errno, "cannot read an eventfd's counter")),
        }
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl From<EventFd> for OwnedFd {
    fn from(eventfd: EventFd) -> Self {
        eventfd.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn take_returns_the_sum_of_all_signals() {
        let eventfd = EventFd::new().unwrap();
        assert_eq!(eventfd.take().unwrap(), None);
        eventfd.signal(1).unwrap();
        eventfd.signal(41).unwrap();
        assert_eq!(eventfd.take().unwrap(), Some(42));
        assert_eq!(eventfd.take().unwrap(), None);
    }

    #[test]
    fn a_full_counter_stays_readable() {
        let eventfd = EventFd::new().unwrap();
        eventfd.signal(u64::MAX - 1).unwrap();
        eventfd.signal(1).unwrap();
        assert_eq!(eventfd.take().unwrap(), Some(u64::MAX - 1));
    }

    #[test]
    fn the_count_that_an_eventfd_does_not_accept_is_refused() {
        let error = EventFd::new().unwrap().signal(u64::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().starts_with("cannot add 18446744073709551615 to an eventfd's counter"));
    }
}
