//! Counts of the permits, readers or tasks that each member has of an object: one word per member, with the member's generation in the
//! high half and a count in the low half.
//!
//! Only its member changes a record, from any of its threads. A record counts only while the slot is LIVE with the same
//! generation. So the record of a dead member needs no repair: it stops counting when the slot is marked.
//!
//! The distance of two records is [`STRIDE`] words, so that members don't share cache lines.

use super::slot::is_live;
use super::{Machine, Member, Place, Step, Words, halves, high, low};
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};

/// Number of words from one record to the next. It is 1 in the models, so that their objects are small.
pub const STRIDE: u32 = if cfg!(test) { 1 } else { 16 };

/// The records of an object, by the place of the first one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Records(pub Place);

impl Records {
    /// The record of a slot.
    #[must_use]
    pub const fn of(self, slot: u32) -> Place {
        Place(self.0.0 + slot * STRIDE)
    }

    /// Adds to the record of this member.
    ///
    /// Ordering: `SeqCst`, one half of a Dekker pair. The member loads another word next.
    pub(super) fn add<W: Words>(self, words: &W, n: u32) {
        words.fetch_add(self.of(words.me().slot), n.into(), SeqCst);
    }

    /// Subtracts from the record of this member. Ordering: as [`add`](Self::add).
    pub(super) fn subtract<W: Words>(self, words: &W, n: u32) {
        words.fetch_sub(self.of(words.me().slot), n.into(), SeqCst);
    }
}

/// Prepares the record of this member, before its first operation on an object.
///
/// 1. Load the record. It has this member's generation: done.
/// 2. CAS → (generation, 0). If it fails, another thread of this member was faster. Done.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Attach {
    records: Records,
    seen: Option<u64>,
}

impl Attach {
    /// Begins to prepare.
    #[must_use]
    pub const fn new(records: Records) -> Self {
        Self { records, seen: None }
    }
}

impl Machine for Attach {
    type Output = ();

    fn step<W: Words>(&mut self, words: &W) -> Step<()> {
        let Member { slot, generation } = words.me();
        let place = self.records.of(slot);
        if let Some(word) = self.seen {
            let _ = words.compare_exchange(place, word, halves(generation, 0), Relaxed);
            return Step::Done(());
        }
        let word = words.load(place, Relaxed);
        if high(word) == generation {
            return Step::Done(());
        }
        self.seen = Some(word);
        Step::Next
    }
}

/// Sums the records of the living members.
///
/// For each slot: load the slot (Acquire). LIVE(g): load the record (`SeqCst`, the other half of the Dekker pair of
/// [`Records::add`]). It counts if it has the generation g.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Sum {
    records: Records,
    slot: u32,
    /// The slot's word, if the record is next.
    live: Option<u64>,
    sum: u64,
}

impl Sum {
    /// Begins to sum.
    #[must_use]
    pub fn new(records: Records) -> Self {
        Self { records, slot: 0, live: None, sum: 0 }
    }
}

impl Machine for Sum {
    type Output = u64;

    fn step<W: Words>(&mut self, words: &W) -> Step<u64> {
        match self.live.take() {
            None => {
                // Ordering: Acquire. The partners are the CAS of a join and the one that marks a death.
                let word = words.slot(self.slot, Acquire);
                if is_live(word, high(word)) {
                    self.live = Some(word);
                    return Step::Next;
                }
            }
            Some(slot) => {
                let record = words.load(self.records.of(self.slot), SeqCst);
                if high(record) == high(slot) {
                    self.sum += u64::from(low(record));
                }
            }
        }
        self.slot += 1;
        if self.slot < words.slots() { Step::Next } else { Step::Done(self.sum) }
    }
}
