//! The semaphore. It has no internal lock: a process that is stopped inside one would stop the semaphore.
//!
//! | place | |
//! |---|---|
//! | state | available permits (bits 0 to 30), [`W`]: a task waits (31), version (32 to 63) |
//! | event | a counter that the waiting task sleeps on |
//! | turnstile | a [mutex](super::mutex) that lets one task at a time wait: first come, first served, also for demands of different size |
//! | records | number of permits that each member [holds](super::record) |
//! | capacity | number of permits that there are |
//!
//! Each change of the state also changes the version, so that a compare-and-swap fails if the state changed meanwhile.
//!
//! *Available* may be too low, but never too high: a member adds to its record **before** it takes permits, and subtracts from its
//! record **after** it gave them back. A member that is killed in between leaves *available* too low. The task that waits sums the
//! records of the living members, and raises *available* to the rest of the capacity.

mod acquire;
mod grow;
mod release;

pub use self::acquire::{Acquire, TryAcquire, UndoAcquire};
pub use self::grow::Grow;
pub use self::release::Release;
use super::record::Records;
use super::{Place, halves, high, low};

/// A task waits.
pub const W: u64 = 1 << 31;

/// Maximum number of permits. With it, 4096 threads of one member can begin to take all permits at the same time before the count
/// in a record overflows into the generation.
pub const MAX_PERMITS: u32 = (1 << 20) - 1;

const AVAILABLE: u32 = (1 << 31) - 1;

/// The word of `available` permits, when the version was that of `word`.
fn changed(word: u64, available: u32, w: u64) -> u64 {
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
    /// The counter to sleep on.
    pub event: Place,
    /// The first word of the turnstile.
    pub turnstile: Place,
    /// The records of the members.
    pub records: Records,
    /// The capacity, at most [`MAX_PERMITS`].
    pub capacity: Place,
}
