//! The words of the table of members. See [`member`](super::member).

use super::halves;

/// The slot has no member, and the sweep after its last member is over.
pub const FREE: u32 = 0;
/// A member has the slot.
pub const LIVE: u32 = 1;
/// The member died, and the sweep after it is not over.
pub const DEAD: u32 = 2;

/// The word of a slot.
#[must_use]
pub const fn slot_word(generation: u32, state: u32) -> u64 {
    halves(generation, state)
}

/// True if the word of a slot is that of a living member of this generation.
#[must_use]
pub const fn is_live(word: u64, generation: u32) -> bool {
    word == slot_word(generation, LIVE)
}
