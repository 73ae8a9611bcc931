//! The table of members: one word per slot.
//!
//! The low half is the state, the high half the generation:
//!
//! > FREE(g) → LIVE(g + 1) → DEAD(g + 1) → FREE(g + 1)
//!
//! Each change is a compare-and-swap. A member that leaves goes from LIVE to FREE at once. While it is LIVE, a member holds the
//! lock of its slot in the kernel. The kernel frees this lock after the member's death. **FREE means swept**: no word of the
//! directory names the member, and every sleeper that may wait for it was woken. Before that, no process takes the slot.

pub use super::slot::{DEAD, FREE, LIVE, is_live, slot_word};
use super::sweep::Sweep;
use super::{Machine, Member, Step, Words, high, low};
use std::sync::atomic::Ordering::Acquire;

/// Makes this process the member of a slot. The caller holds the slot's lock in the kernel from before the first step on.
///
/// 1. Load the word (Acquire).
/// 2. FREE(g): CAS → LIVE(g + 1). Done.
/// 3. LIVE(g): its member has died, because its lock was free, and was not marked. CAS → DEAD(g).
/// 4. DEAD(g): sweep, which ends with FREE(g). Then 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Join {
    slot: u32,
    at: Joining,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Joining {
    Load,
    Replace(u64, u64),
    Sweep(Sweep),
}

impl Join {
    /// Begins to join as the member of a slot.
    #[must_use]
    pub fn new(slot: u32) -> Self {
        Self { slot, at: Joining::Load }
    }
}

impl Machine for Join {
    type Output = Member;

    fn step<W: Words>(&mut self, words: &W) -> Step<Member> {
        match &mut self.at {
            Joining::Load => {
                let word = words.slot(self.slot, Acquire);
                let generation = high(word);
                self.at = match low(word) {
                    FREE => Joining::Replace(word, slot_word(generation.wrapping_add(1), LIVE)),
                    DEAD => Joining::Sweep(Sweep::new(Member { slot: self.slot, generation })),
                    // LIVE, or a value that is not a state: both are swept.
                    _ => Joining::Replace(word, slot_word(generation, DEAD)),
                };
                Step::Next
            }
            Joining::Replace(word, new) => {
                let (word, new) = (*word, *new);
                self.at = Joining::Load;
                match words.replace_slot(self.slot, word, new) {
                    Ok(_) if low(new) == LIVE => Step::Done(Member { slot: self.slot, generation: high(new) }),
                    _ => Step::Contended,
                }
            }
            Joining::Sweep(sweep) => match sweep.step(words) {
                Step::Done(()) => {
                    self.at = Joining::Load;
                    Step::Contended
                }
                Step::Next | Step::Busy => Step::Next,
                Step::Contended | Step::Sleep { .. } => Step::Contended,
            },
        }
    }
}

/// Leaves: LIVE → FREE. The caller owns no lock and has no permits any more, and unlocks the slot afterwards.
///
/// The output is false if the slot does not belong to this member any more, because others have marked it as dead by mistake.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Leave;

impl Machine for Leave {
    type Output = bool;

    fn step<W: Words>(&mut self, words: &W) -> Step<bool> {
        let Member { slot, generation } = words.me();
        let left = words.replace_slot(slot, slot_word(generation, LIVE), slot_word(generation, FREE));
        Step::Done(left.is_ok())
    }
}

/// Checks whether the member of a slot died, and marks the slot if it did. The output is the dead member, which must be swept.
///
/// 1. Load the word (Acquire). FREE: done. DEAD: done, it must be swept (its sweeper may be dead too).
/// 2. LIVE(g): ask the kernel whether the slot is locked. If it is: done.
/// 3. CAS LIVE(g) → DEAD(g).
///
/// The order of 1 and 2 matters. In the other order, a living member that joins between the two is marked as dead.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Mark {
    slot: u32,
    at: Marking,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Marking {
    Load,
    Ask(u64),
    Replace(u64),
}

impl Mark {
    /// Begins to examine a slot.
    #[must_use]
    pub fn new(slot: u32) -> Self {
        Self { slot, at: Marking::Load }
    }
}

impl Machine for Mark {
    type Output = Option<Member>;

    fn step<W: Words>(&mut self, words: &W) -> Step<Option<Member>> {
        match self.at {
            Marking::Load => {
                let word = words.slot(self.slot, Acquire);
                match low(word) {
                    FREE => Step::Done(None),
                    DEAD => Step::Done(Some(Member { slot: self.slot, generation: high(word) })),
                    _ => {
                        self.at = Marking::Ask(word);
                        Step::Next
                    }
                }
            }
            Marking::Ask(word) => {
                if words.is_locked(self.slot) {
                    return Step::Done(None);
                }
                self.at = Marking::Replace(word);
                Step::Next
            }
            Marking::Replace(word) => {
                let generation = high(word);
                let marked = words.replace_slot(self.slot, word, slot_word(generation, DEAD));
                Step::Done(marked.is_ok().then_some(Member { slot: self.slot, generation }))
            }
        }
    }
}
