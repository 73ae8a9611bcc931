//! The statistics of a reactor.

/// The statistics of a [`Reactor`](crate::Reactor).
///
/// A wait is *armed* when the kernel, or a thread of the backend, gets it. Each armed wait is counted in exactly one of the
/// six figures on the right side of this equation:
///
/// `armed = armed_now + woken + mismatched + cancelled + failed + closed`
///
/// The equation holds in each result of [`Reactor::stats`](crate::Reactor::stats), whatever other threads do meanwhile. A
/// wait whose word differs at the first poll is not armed and not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Number of waits ever armed, including refused waits. If the kernel ended a wait unasked and the reactor armed it again,
    /// the wait counts once.
    pub armed: u64,
    /// Number of waits armed now. A wait that has ended does not count, even if its future was not polled since.
    pub armed_now: usize,
    /// Number of waits that ended as [`Woken`](crate::Outcome::Woken). This includes waits that had consumed a wake when their
    /// future was dropped, and waits on `Uring` that the kernel had already ended when their future was dropped. (Linux 6.16 to
    /// 6.18.48 end a wait when the thread that submitted it exits. See `FutexRing::cancel` in futex-sys.)
    pub woken: u64,
    /// Number of armed waits that ended because their word no longer had the expected value.
    pub mismatched: u64,
    /// Number of waits whose future was dropped before they ended.
    pub cancelled: u64,
    /// Number of refused waits, and of waits that were armed in the same batch as a refused one. A wait is refused if memory or
    /// threads are lacking, or if the word's page is gone.
    pub failed: u64,
    /// Number of waits that ended because the reactor was closed.
    pub closed: u64,
    /// Number of wakes that were passed to the next waiter for waits that count as woken, because their future had been dropped.
    /// This is not part of the equation.
    pub handed_on: u64,
    /// Number of open rings (on `Uring`) or of threads (on the other backends). This is not part of the equation.
    pub units: usize,
}

impl Stats {
    /// Adds the figures of another part of the reactor.
    pub(crate) fn add(&mut self, other: &Self) {
        self.armed += other.armed;
        self.armed_now += other.armed_now;
        self.woken += other.woken;
        self.mismatched += other.mismatched;
        self.cancelled += other.cancelled;
        self.failed += other.failed;
        self.closed += other.closed;
        self.handed_on += other.handed_on;
        self.units += other.units;
    }
}
