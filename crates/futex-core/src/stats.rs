//! What a reactor has done.

/// What a [`Reactor`](crate::Reactor) has done, and does now.
///
/// Each wait that was armed is in exactly one of six figures:
///
/// `armed = armed_now + woken + mismatched + cancelled + failed + closed`
///
/// The equation holds in each result of [`Reactor::stats`](crate::Reactor::stats), whatever other threads do at that moment. Waits
/// that find their word changed at the first poll are not armed, and not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Waits that were ever armed, or refused. A wait that the kernel ended by itself and that was armed again counts once.
    pub armed: u64,
    /// Waits that are armed now. A wait that has ended and was not polled since is not among them.
    pub armed_now: usize,
    /// Waits that ended because a wake was consumed, or may have been, whether their owner was there or gone.
    pub woken: u64,
    /// Waits that ended because the word differed when the kernel compared it.
    pub mismatched: u64,
    /// Waits whose owner left before they had ended.
    pub cancelled: u64,
    /// Waits that the kernel refused, for want of memory or threads or because their page is gone, and those that were
    /// armed in one step with such a wait.
    pub failed: u64,
    /// Waits that ended because the reactor was closed.
    pub closed: u64,
    /// Consumed wakes that were passed to the next waiter because their owner had left. Not part of the equation.
    pub handed_on: u64,
    /// Number of open rings (on `Uring`), or of threads (on the others). Not part of the equation.
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
