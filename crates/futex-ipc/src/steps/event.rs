//! Events: one word, whose value decides whether a task waits.
//!
//! The word needs no repair after a death. A sweep wakes its sleepers ([`Role::Flag`](super::Role::Flag)): the member may have died
//! between its change and the wake, or right after it was woken.

mod automatic;
mod bits;
mod manual;

pub use self::automatic::{SetOne, WaitOne};
pub use self::bits::{SET, W};
pub use self::manual::{Reset, Set, Wait};
