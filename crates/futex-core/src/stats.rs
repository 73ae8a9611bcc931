//! What a reactor has done.

/// What a [`Reactor`](crate::Reactor) has done, and does now.
///
/// Waits that find their word changed at the first poll are not armed and not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Waits that are armed now, or that have ended and were not polled since.
    pub armed_now: usize,
    /// Waits that were ever armed. A wait that the kernel ended by itself and that was armed again counts once.
    pub armed: u64,
    /// Waits that ended because a wake was consumed, or may have been, whether their owner was there or gone.
    pub woken: u64,
    /// Waits that ended because the word differed when it was compared.
    pub mismatched: u64,
    /// Armed waits whose owner left before it polled their end, whether they had ended or not.
    pub cancelled: u64,
    /// Consumed wakes that were passed to the next waiter because their owner had left.
    pub handed_on: u64,
    /// Rings (on `Uring`), or threads (on the others), that are open now.
    pub units: usize,
}

impl Stats {
    /// Adds the figures of another part of the reactor.
    pub(crate) fn add(&mut self, other: &Self) {
        self.armed_now += other.armed_now;
        self.armed += other.armed;
        self.woken += other.woken;
        self.mismatched += other.mismatched;
        self.cancelled += other.cancelled;
        self.handed_on += other.handed_on;
        self.units += other.units;
    }
}
