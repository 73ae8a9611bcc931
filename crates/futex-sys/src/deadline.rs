//! Points in time at which a blocking wait gives up.

use rustix::thread::futex::Timespec;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

const NANOS_PER_SEC: i64 = 1_000_000_000;

/// A point in time on the monotonic clock (`CLOCK_MONOTONIC`), with a resolution of one nanosecond.
///
/// A deadline is absolute. So a wait that is interrupted by a signal and starts again still gives up at the original
/// deadline.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline {
    secs: i64,
    nanos: i64,
}

impl Deadline {
    /// Returns the point in time that is `timeout` from now. If this is beyond the range of the clock, the deadline never passes.
    #[must_use]
    pub fn after(timeout: Duration) -> Self {
        let now = clock_gettime(ClockId::Monotonic);
        #[expect(clippy::useless_conversion, reason = "tv_nsec is narrower than 64 bits on some targets")]
        let (now_secs, now_nanos) = (i64::from(now.tv_sec), i64::from(now.tv_nsec));

        let nanos = now_nanos + i64::from(timeout.subsec_nanos());
        let secs = i64::try_from(timeout.as_secs())
            .unwrap_or(i64::MAX)
            .saturating_add(now_secs)
            .saturating_add(nanos / NANOS_PER_SEC);
        Self { secs, nanos: nanos % NANOS_PER_SEC }
    }

    pub(crate) fn timespec(self) -> Timespec {
        Timespec { tv_sec: self.secs, tv_nsec: self.nanos as _ }
    }

    /// The remaining time, for system calls that take a timeout. Zero if the deadline has passed.
    pub(crate) fn remaining(self) -> Timespec {
        let now = Self::after(Duration::ZERO);
        if self <= now {
            return Timespec { tv_sec: 0, tv_nsec: 0 };
        }
        let (secs, nanos) = (self.secs - now.secs, self.nanos - now.nanos);
        let borrow = i64::from(nanos < 0);
        Timespec { tv_sec: secs - borrow, tv_nsec: (nanos + borrow * NANOS_PER_SEC) as _ }
    }
}

/// Converts an [`Instant`], which is measured on `CLOCK_MONOTONIC` too. If the instant has passed, the deadline is now.
impl From<Instant> for Deadline {
    fn from(instant: Instant) -> Self {
        Self::after(instant.saturating_duration_since(Instant::now()))
    }
}

impl std::fmt::Debug for Deadline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Deadline({}.{:09} s)", self.secs, self.nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_carries_nanoseconds_into_seconds() {
        let near = Deadline::after(Duration::from_nanos(999_999_999));
        let far = Deadline::after(Duration::new(1, 999_999_999));
        assert!(near < far);
        assert!((0..NANOS_PER_SEC).contains(&near.nanos));
        assert!((0..NANOS_PER_SEC).contains(&far.nanos));
    }

    #[test]
    fn an_instant_keeps_its_distance_from_now() {
        let (before, instant) = (Deadline::after(Duration::from_secs(9)), Instant::now() + Duration::from_secs(10));
        assert!(before < Deadline::from(instant));
        assert!(Deadline::from(instant) < Deadline::after(Duration::from_secs(11)));
        assert!(Deadline::from(Instant::now()) <= Deadline::after(Duration::ZERO));
    }

    #[test]
    fn the_remaining_time_is_at_most_the_timeout_and_never_negative() {
        let timeout = Duration::new(1_000, 1);
        let left = Deadline::after(timeout).remaining();
        assert!(left.tv_sec <= 1_000 && (0..NANOS_PER_SEC).contains(&{ left.tv_nsec }), "{left:?}");
        assert!(left.tv_sec >= 900, "the test took more than 100 s: {left:?}");
        let passed = Deadline { secs: 0, nanos: 999_999_999 }.remaining();
        assert_eq!((passed.tv_sec, passed.tv_nsec), (0, 0));
        assert!(Deadline::after(Duration::MAX).remaining().tv_sec > 0);
    }

    #[test]
    fn an_endless_timeout_saturates() {
        assert_eq!(Deadline::after(Duration::MAX).secs, i64::MAX);
    }
}
