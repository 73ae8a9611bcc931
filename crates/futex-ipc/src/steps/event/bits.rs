//! The bits of the word of an event.

/// The event is set.
pub const SET: u64 = 1;

/// A task may sleep on the word.
pub const W: u64 = 2;
