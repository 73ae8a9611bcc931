//! Helpers that the tests of this crate share.

pub mod allocator;
mod bounded;
mod docs;
pub mod holdings;
pub mod peer;
mod skip;
mod stuck;
mod tasks;
mod until;
mod wakes;

pub use self::bounded::{in_its_own_process, without_a_hang};
pub use self::skip::skip;
pub use self::stuck::Stuck;
pub use self::tasks::{arm, block_on, eventually, is_pending, on_each_runtime, within};
pub use self::until::{until, until_waiters, waiters};
pub use self::wakes::{blocked, change_and_wake, check_count, keeps_places, wake_bare, wake_bare_masked};

pub mod load;
