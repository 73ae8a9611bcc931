//! Events: one word, whose value decides whether a task waits.
//!
//! The word needs no repair after a death. A sweep wakes its sleepers ([`Role::Flag`](super::Role::Flag)): the member may have died
//! between its change and the wake, or right after it was woken.

mod automatic;
mod manual;

pub use self::automatic::{SetOne, WaitOne};
pub use self::manual::{Reset, Set, Wait};

/// The event is set.
pub const SET: u64 = 1;

/// A task may sleep on the word.
pub const W: u64 = 2;
