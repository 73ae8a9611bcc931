//! Events: one word that says whether to wait.
//!
//! The word needs no repair after a death. A sweep wakes those who sleep on it ([`Role::Flag`](super::Role::Flag)), since the
//! member may have died between its change and the wake, or with the wake.

mod automatic;
mod manual;

pub use self::automatic::{SetOne, WaitOne};
pub use self::manual::{Reset, Set, Wait};

/// The event is set.
pub const SET: u64 = 1;

/// Somebody may sleep on the word.
pub const W: u64 = 2;
