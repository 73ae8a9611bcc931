//! The information of a member in its slot of the table, behind the slot's word.

use crate::format::{LINE, SLOT, load_text, store_text};
use crate::steps::{halves, high, low};
use futex_sys::ProcessId;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};

/// The information about a member in the table, besides its slot word.
#[derive(Clone, Debug)]
pub(crate) struct Information {
    /// The words of a [`ProcessId`], unchecked.
    pub(crate) process: [u32; 4],
    pub(crate) label: String,
    /// The [oldest waits](crate::waits::oldest), unchecked.
    pub(crate) waits: [u64; WAITS],
}

/// Number of waits for which a slot has room.
pub(crate) const WAITS: usize = (SLOT - Information::WAITS) as usize;

impl Information {
    /// One bit for each of the last 64 members of the slot, by generation: 1 if the member has died, otherwise 0.
    const DIED: u32 = 1;
    /// The generation for which the rest is valid.
    pub(crate) const GENERATION: u32 = 2;
    const PROCESS: u32 = 3;
    const LABEL: u32 = 5;
    const LABEL_WORDS: u32 = 8;
    const WAITS: u32 = Self::LABEL + Self::LABEL_WORDS;

    /// Maximum number of bytes of a label.
    pub(crate) const MAX_LABEL: usize = Self::LABEL_WORDS as usize * 8;

    /// Stores the information about a member.
    pub(crate) fn store(words: &[AtomicU64], generation: u32, process: Option<ProcessId>, label: &str) {
        words[Self::DIED as usize].fetch_and(!Self::bit(generation), Relaxed);
        let [a, b, c, d] = process.map_or([0; 4], ProcessId::to_words);
        words[Self::PROCESS as usize].store(halves(b, a), Relaxed);
        words[Self::PROCESS as usize + 1].store(halves(d, c), Relaxed);
        store_text(Self::label(words), label);
        Self::store_waits(words, [0; WAITS]);
        // Ordering: Release. The partner is the Acquire of `load`.
        words[Self::GENERATION as usize].store(generation.into(), Release);
    }

    /// Loads the information about a member, which may have left or died. `None` if the member has not written it yet, or if the slot
    /// has another member by now.
    pub(crate) fn load(words: &[AtomicU64], generation: u32) -> Option<Self> {
        let valid = || words[Self::GENERATION as usize].load(Acquire) == u64::from(generation);
        if !valid() {
            return None;
        }
        let information = Self::parse(words);
        // The words above are loaded before the slot's. A member that joins is LIVE before it writes.
        fence(Acquire);
        if high(words[0].load(Relaxed)) != generation || !valid() {
            return None;
        }
        Some(information)
    }

    /// The information in the words of a slot.
    pub(crate) fn parse(words: &[AtomicU64]) -> Self {
        let [first, second] = [0, 1].map(|i| words[Self::PROCESS as usize + i].load(Relaxed));
        let waits = std::array::from_fn(|i| words[Self::WAITS as usize + i].load(Relaxed));
        Self {
            process: [low(first), high(first), low(second), high(second)],
            label: load_text(Self::label(words)),
            waits,
        }
    }

    fn label(words: &[AtomicU64]) -> &[AtomicU64] {
        &words[Self::LABEL as usize..Self::WAITS as usize]
    }

    /// Stores the waits of a member.
    pub(crate) fn store_waits(words: &[AtomicU64], waits: [u64; WAITS]) {
        for (word, wait) in words[Self::WAITS as usize..].iter().zip(waits) {
            word.store(wait, Relaxed);
        }
    }

    /// Notes that a member died. Others may do the same.
    pub(crate) fn note_death(words: &[AtomicU64], generation: u32) {
        words[Self::DIED as usize].fetch_or(Self::bit(generation), Relaxed);
    }

    /// True if this member of a slot has died. The slot is FREE, or has another member. False if the member has left, or if it was not
    /// one of the last 64 members of the slot.
    pub(crate) fn died(words: &[AtomicU64], generation: u32) -> bool {
        let died = words[Self::DIED as usize].load(Relaxed);
        let last = high(words[0].load(Relaxed));
        last.wrapping_sub(generation) < u64::BITS && died & Self::bit(generation) != 0
    }

    fn bit(generation: u32) -> u64 {
        1 << (generation % u64::BITS)
    }
}

const _: () = assert!(Information::WAITS < LINE && SLOT == LINE);
