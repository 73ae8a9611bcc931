//! The exclusive side of a lock: the mutex, and the writers of a read-write lock.

use crate::drive;
use crate::members::Member;
use crate::membership::Membership;
use crate::steps::mutex::{Locked, Unlock, owner, predecessor};
use crate::steps::{Machine, Place, Step, Words};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Unlocks a lock word, and yields to others from time to time.
#[derive(Debug)]
pub(crate) struct Exclusive {
    word: Place,
    /// Number of unlocks that found others waiting, after this handle last yielded to them.
    taken_from_others: AtomicU32,
}

const COURTESY_AFTER: u32 = 16;
const COURTESY: Duration = Duration::from_micros(100);

impl Exclusive {
    pub(crate) const fn new(word: Place) -> Self {
        Self { word, taken_from_others: AtomicU32::new(0) }
    }

    #[inline]
    pub(crate) fn word(&self) -> Place {
        self.word
    }

    /// Returns the last owner that died inside its section. `None` if `locked` reports no death, or if another member has its slot by
    /// now.
    pub(crate) fn predecessor(&self, membership: &Membership, locked: Locked) -> Option<Member> {
        if !locked.died || !membership.is_here() {
            return None;
        }
        Member::named(membership, predecessor(membership, self.word)?)
    }

    /// If it is time to yield, lets others lock. Blocks for up to 100 µs.
    #[inline]
    pub(crate) fn blocking_yield(&self, membership: &Membership) {
        if self.is_greedy() {
            self.blocking_yield_now(membership);
        }
    }

    #[cold]
    fn blocking_yield_now(&self, membership: &Membership) {
        self.taken_from_others.store(0, Relaxed);
        let start = Instant::now();
        while self.is_free(membership) && start.elapsed() < COURTESY {
            std::thread::yield_now();
        }
    }

    /// Lets others lock. Takes up to 100 µs.
    #[cfg(feature = "tokio")]
    #[cold]
    pub(crate) async fn yield_to_others(&self, membership: &Membership) {
        self.taken_from_others.store(0, Relaxed);
        let start = Instant::now();
        while self.is_free(membership) && start.elapsed() < COURTESY {
            tokio::task::yield_now().await;
        }
    }

    /// True if it is time to [yield to others](Self::yield_to_others).
    #[inline]
    pub(crate) fn is_greedy(&self) -> bool {
        self.taken_from_others.load(Relaxed) >= COURTESY_AFTER
    }

    fn is_free(&self, membership: &Membership) -> bool {
        membership.check().is_ok() && owner(membership.load(self.word, Relaxed)).is_none()
    }

    /// Unlocks, from a drop.
    #[inline]
    pub(crate) fn unlock(&self, membership: &Membership, locked: Locked, settled: bool) {
        if !membership.is_here() {
            return;
        }
        let mut unlock = Unlock::new(self.word, locked, settled);
        match unlock.step(membership) {
            Step::Done(true) => {}
            Step::Done(false) => lost(membership),
            _ => self.unlock_slowly(membership, unlock),
        }
    }

    #[cold]
    fn unlock_slowly(&self, membership: &Membership, unlock: Unlock) {
        self.taken_from_others.fetch_add(1, Relaxed);
        if drive::finish(membership, unlock) == Some(false) {
            lost(membership);
        }
    }
}

/// Another member has marked this one as dead by mistake, or a member has overwritten the word.
#[cold]
fn lost(membership: &Membership) {
    membership.mark_damaged();
}
