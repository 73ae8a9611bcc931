//! The memory of a region, as the steps use it.

use super::Membership;
use crate::format::FIRST_SLOT_BYTE;
use crate::information::Information;
use crate::os::byte_lock;
use crate::steps::member::{DEAD, FREE};
use crate::steps::{Member, Place, Role, Words, high, low};
use std::os::fd::AsFd as _;
use std::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed};

impl Words for Membership {
    #[inline]
    fn load(&self, place: Place, order: Ordering) -> u64 {
        self.words()[place.0 as usize].load(order)
    }

    #[inline]
    fn store(&self, place: Place, value: u64, order: Ordering) {
        self.words()[place.0 as usize].store(value, order);
    }

    #[inline]
    fn compare_exchange(&self, place: Place, current: u64, new: u64, order: Ordering) -> Result<u64, u64> {
        self.words()[place.0 as usize].compare_exchange(current, new, order, Relaxed)
    }

    #[inline]
    fn fetch_add(&self, place: Place, n: u64, order: Ordering) -> u64 {
        self.words()[place.0 as usize].fetch_add(n, order)
    }

    fn wake(&self, place: Place, n: u32) -> u32 {
        // The kernel refuses no wake of an aligned word.
        futex_sys::futex::wake(self.half(place), futex_sys::futex::Scope::Shared, n).unwrap_or(0)
    }

    #[inline]
    fn slot(&self, slot: u32, order: Ordering) -> u64 {
        self.load(self.layout.slot(slot), order)
    }

    fn replace_slot(&self, slot: u32, current: u64, new: u64) -> Result<u64, u64> {
        if low(current) == DEAD && low(new) == FREE {
            // Before the slot is FREE, because the next member may join and leave at once.
            Information::note_death(self.slot_words(slot), high(current));
        }
        let result = self.words()[self.layout.slot(slot).0 as usize].compare_exchange(current, new, AcqRel, Acquire);
        if result.is_ok() {
            match low(new) {
                DEAD => self.counters.deaths_seen.fetch_add(1, Relaxed),
                FREE if low(current) == DEAD => self.counters.sweeps_done.fetch_add(1, Relaxed),
                _ => 0,
            };
        }
        result
    }

    fn is_locked(&self, slot: u32) -> bool {
        if slot == self.me.slot {
            return true;
        }
        let byte = FIRST_SLOT_BYTE + slot;
        match byte_lock::locked_by_others(self.memory.as_fd(), byte..byte + 1) {
            // If the descriptor leads to another description or file, the answer is not about this member. Then it counts as alive, too.
            Ok(Some(_)) => true,
            Ok(None) if self.descriptor_is_intact() => false,
            // The answer is not about this member.
            _ => {
                self.mark_damaged();
                true
            }
        }
    }

    #[inline]
    fn slots(&self) -> u32 {
        self.layout.slots
    }

    #[inline]
    fn me(&self) -> Member {
        self.me
    }

    /// Returns `None`, because a sweep runs over [`Sweeping`].
    fn swept(&self, _: u32) -> Option<(Role, Place)> {
        None
    }
}
