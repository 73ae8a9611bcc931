//! The words of the table of members. See [`member`](super::member).

use super::halves;

/// Nobody has the slot, and what its last member left is swept.
pub const FREE: u32 = 0;
/// A member has the slot.
pub const LIVE: u32 = 1;
/// The member died, and what it left is not swept yet.
pub const DEAD: u32 = 2;

/// The word of a slot.
#[must_use]
pub const fn slot_word(generation: u32, state: u32) -> u64 {
    halves(generation, state)
}

/// True if the word of a slot says that its member of this generation lives.
#[must_use]
pub const fn is_live(word: u64, generation: u32) -> bool {
    word == slot_word(generation, LIVE)
}
