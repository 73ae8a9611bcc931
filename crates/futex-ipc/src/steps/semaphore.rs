//! The semaphore. While enough permits are available, no operation takes a lock. A task that has to wait locks the turnstile. If its
//! process is stopped there, the tasks behind it wait.
//!
//! | place | |
//! |---|---|
//! | state | available permits (bits 0 to 30), [`W`]: a task waits (31), version (32 to 63) |
//! | event | a counter on which the waiting task sleeps |
//! | turnstile | a [mutex](super::mutex) that lets one task at a time wait, so that small requests do not overtake a large one |
//! | records | number of permits that each member [has](super::record) |
//! | capacity | number of permits, available or not |
//!
//! Each change of the state also changes the version, so that a compare-and-swap fails if the state has changed since the load.
//!
//! *Available* may be too low, but never too high: a member adds to its record **before** it takes permits, and subtracts from its
//! record **after** it gave them back. If a member is killed in between, *available* is too low. The task that waits sums the records of
//! the living members, and raises *available* to the rest of the capacity.

mod acquire;
mod grow;
mod release;
mod state;

#[cfg(test)]
pub use self::acquire::UndoAcquire;
pub use self::acquire::{Acquire, TryAcquire};
pub use self::grow::Grow;
pub use self::release::Release;
pub use self::state::{MAX_PERMITS, Semaphore};
pub(crate) use self::state::{W, available, permits};
