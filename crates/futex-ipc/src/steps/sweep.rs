//! The repair after a death, over the words of the whole directory.
//!
//! Any member may sweep. Several may sweep at the same time, and a sweeper may die: each part is idempotent, no part needs a lock,
//! and the slot stays DEAD until one sweeper has come to the end.

use super::mutex::Repair;
use super::slot::{DEAD, FREE, slot_word};
use super::{Machine, Member, Place, Role, Step, Words};
use std::sync::atomic::Ordering::Release;

/// Sweeps after the member of a slot that is marked DEAD.
///
/// For each word of the directory:
///
/// 1. [`Role::Lock`]: [repair](Repair) the word if the dead member owns it. [`Role::Counter`]: add 1 (Release), so that each
///    sleeper counts the records again. The record of the dead member has not counted since its slot was marked.
/// 2. Wake all sleepers, even if 1 changed nothing. The dead member may have died between its change of the word and its wake, or right
///    after it was woken.
///
/// Then CAS DEAD(g) → FREE(g).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Sweep {
    dead: Member,
    index: u32,
    at: At,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum At {
    Begin,
    Repair(Repair),
    Wake(Place),
}

impl Sweep {
    /// Begins to sweep.
    #[must_use]
    pub fn new(dead: Member) -> Self {
        Self { dead, index: 0, at: At::Begin }
    }
}

impl Machine for Sweep {
    type Output = ();

    fn step<W: Words>(&mut self, words: &W) -> Step<()> {
        if self.at == At::Begin {
            match words.swept(self.index) {
                None => {
                    let Member { slot, generation } = self.dead;
                    // It fails if another sweeper was faster.
                    let _ = words.replace_slot(slot, slot_word(generation, DEAD), slot_word(generation, FREE));
                    return Step::Done(());
                }
                Some((Role::Counter, place)) => {
                    // Ordering: Release. The partner is the load of the counter before the records are counted.
                    words.fetch_add(place, 1, Release);
                    self.at = At::Wake(place);
                    return Step::Next;
                }
                Some((Role::Flag, place)) => self.at = At::Wake(place),
                Some((Role::Lock, place)) => self.at = At::Repair(Repair::new(place, self.dead)),
            }
        }
        match &mut self.at {
            At::Repair(repair) => match repair.step(words) {
                Step::Done(()) => {
                    if let Some((_, place)) = words.swept(self.index) {
                        self.at = At::Wake(place);
                    }
                    Step::Next
                }
                step => step,
            },
            At::Wake(place) => {
                words.wake(*place, u32::MAX);
                self.index += 1;
                self.at = At::Begin;
                Step::Next
            }
            At::Begin => Step::Next,
        }
    }
}
