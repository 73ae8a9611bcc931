//! The words of a semaphore.

use crate::steps::record::Records;
use crate::steps::{Place, halves, high, low};

/// A task waits.
pub const W: u64 = 1 << 31;

/// Maximum number of permits. With this maximum, 4096 threads of one member can begin to take all permits at the same time, and the count
/// in a record does not overflow into the generation.
pub const MAX_PERMITS: u32 = (1 << 20) - 1;

const AVAILABLE: u32 = (1 << 31) - 1;

/// The word with `available` permits, and the version after that of `word`.
pub(super) fn changed(word: u64, available: u32, w: u64) -> u64 {
    halves(high(word).wrapping_add(1), available & AVAILABLE) | w
}

/// Number of available permits.
#[must_use]
pub const fn available(word: u64) -> u32 {
    low(word) & AVAILABLE
}

/// Number of permits in the word of the capacity.
pub(crate) fn permits(word: u64) -> u32 {
    low(word).min(MAX_PERMITS)
}

/// The places of a semaphore.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Semaphore {
    /// The state.
    pub state: Place,
    /// The counter on which the waiting task sleeps.
    pub event: Place,
    /// The first word of the turnstile.
    pub turnstile: Place,
    /// The records of the members.
    pub records: Records,
    /// The capacity, at most [`MAX_PERMITS`].
    pub capacity: Place,
}
