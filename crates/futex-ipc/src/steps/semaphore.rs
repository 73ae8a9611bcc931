//! The semaphore. It has no internal lock: a process that is stopped inside one would stop the semaphore.
//!
//! | place | |
//! |---|---|
//! | state | available permits (bits 0 to 30), [`W`]: somebody waits (31), version (32 to 63) |
//! | event | a counter that the one who waits sleeps on |
//! | turnstile | a [mutex](super::mutex) that lets one at a time wait: first come, first served, whatever each one wants |
//! | records | what each member [holds](super::record) |
//! | capacity | number of permits that there are |
//!
//! Each change of the state also changes the version, so that a compare-and-swap fails if anything happened meanwhile.
//!
//! *Available* may be too low, never too high: a member adds to its record **before** it takes, and takes from its record
//! **after** it gave back. So a member that is killed in between leaves less available than there is, and whoever waits sums the
//! records of the living and raises *available* to what they leave.

mod acquire;
mod grow;
mod release;

pub use self::acquire::{Acquire, TryAcquire, UndoAcquire};
pub use self::grow::Grow;
pub use self::release::Release;
use super::record::Records;
use super::{Place, halves, high, low};

/// Somebody waits.
pub const W: u64 = 1 << 31;

/// Maximum number of permits. 4096 threads of one member may be about to take this many each before the count in a record
/// overflows into the generation.
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

/// Number of permits that the word of a capacity says.
pub(crate) fn permits(word: u64) -> u32 {
    low(word).min(MAX_PERMITS)
}

/// Where a semaphore lies.
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
