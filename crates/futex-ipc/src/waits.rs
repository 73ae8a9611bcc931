//! The sleeping waits of a member, which the watcher rechecks once a second.

pub(crate) mod oldest;

use self::oldest::{Noted, Oldest};
use crate::poke::Poke;
use crate::run::run;
use crate::stats::Counters;
use crate::steps::{Place, Recheck, Sleep, Words, low};
use futex_sys::__private::Origin;
use slab::Slab;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The sleeping waits of a member.
///
/// A driver registers a wait before it sleeps. While waits are registered, the watcher compares their words once a second. If a word
/// differs, and the wait was not woken, the wake was lost, for example to a stopped process. Then the watcher wakes all.
///
/// The first registration starts the ticks. They go on for a second after the last wait has ended, so a member that waits often
/// rarely has to poke the watcher.
#[derive(Debug)]
pub(crate) struct Waits {
    origin: Origin,
    list: Mutex<List>,
    /// Pokes the watcher. Empty until the member is watched.
    poke: OnceLock<Arc<Poke>>,
}

#[derive(Debug, Default)]
struct List {
    waits: Slab<Wait>,
    /// The oldest waits at the last tick.
    oldest: Oldest,
    /// True while the watcher ticks for this member.
    ticking: bool,
    /// True after the first wait.
    has_waited: bool,
    /// True after `wake_all`.
    ending: bool,
}

#[derive(Clone, Copy, Debug)]
struct Wait {
    sleep: Sleep,
    /// True if the word differed at the last tick. The wake may still come.
    suspect: bool,
    /// The time of the first tick that found this wait, in seconds since boot. The wait itself reads no clock, because that costs time.
    since: Option<u32>,
}

/// What a [tick](Waits::tick) found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tick {
    /// No wait is registered.
    Idle,
    /// Each word has the value that its wait expects.
    Fine,
    /// A word differs for the first time. The next tick should follow soon.
    Suspicious,
}

impl Waits {
    pub(crate) fn new() -> Self {
        Self { origin: Origin::here(), list: Mutex::default(), poke: OnceLock::new() }
    }

    /// Registers a wait that is about to [sleep](Sleep), until the ticket is dropped. The second value is false if the watcher could not
    /// be poked.
    pub(crate) fn register(self: &Arc<Self>, sleep: Sleep) -> (Ticket, bool) {
        let mut list = self.list();
        let key = list.waits.insert(Wait { sleep, suspect: false, since: None });
        let must_poke = !list.ticking || list.ending;
        list.ticking = true;
        list.has_waited = true;
        drop(list);
        let is_told = !must_poke || self.poke();
        (Ticket { waits: Arc::clone(self), key }, is_told)
    }

    /// Makes the watcher wake the sleepers of each registered word until no wait is registered. The caller has closed the region before.
    pub(crate) fn wake_all(&self) {
        if !self.origin.is_here() {
            return;
        }
        self.list().ending = true;
        self.poke();
    }

    /// Stores what pokes the watcher.
    pub(crate) fn set_poke(&self, poke: Arc<Poke>) {
        let _ = self.poke.set(poke);
    }

    fn poke(&self) -> bool {
        self.poke.get().is_none_or(|poke| poke.poke())
    }

    /// True after the first wait of this member.
    pub(crate) fn has_waited(&self) -> bool {
        self.list().has_waited
    }

    /// True while the watcher must tick for this member.
    pub(crate) fn is_ticking(&self) -> bool {
        self.list().ticking
    }

    /// Compares each registered word. If a wake was lost, wakes all sleepers of the word. `now` is the time in seconds since boot.
    ///
    /// A word must differ at two ticks, because the wake comes some time after the change of the word. Otherwise a waker that is
    /// descheduled in between would be counted as a lost wake.
    pub(crate) fn tick(&self, words: &impl Words, counters: &Counters, now: u32) -> Tick {
        let mut list = self.list();
        let mut oldest = Oldest::default();
        if list.waits.is_empty() {
            list.oldest = oldest;
            list.ticking = false;
            return Tick::Idle;
        }
        let mut suspicious = false;
        let mut lost = BTreeSet::new();
        for (_, wait) in &mut list.waits {
            let Sleep { place, expected, mask, .. } = wait.sleep;
            let differs = (low(words.load(place, Relaxed)) ^ expected) & mask != 0;
            if differs && wait.suspect {
                lost.insert(wait.sleep);
            }
            suspicious |= differs && !wait.suspect;
            wait.suspect = differs;
            oldest.add(Noted { since: *wait.since.get_or_insert(now), place });
        }
        list.oldest = oldest;
        drop(list);
        for sleep in lost {
            if run(words, Recheck::new(sleep)).is_some_and(|woken| woken > 0) && sleep.certain {
                counters.rechecks_that_found.fetch_add(1, Relaxed);
            }
        }
        if suspicious { Tick::Suspicious } else { Tick::Fine }
    }

    /// If the waits must end: wakes the sleepers of each registered word, and returns true if a wait is left.
    pub(crate) fn end(&self, words: &impl Words) -> bool {
        let list = self.list();
        if !list.ending {
            return false;
        }
        let places: BTreeSet<u32> = list.waits.iter().map(|(_, wait)| wait.sleep.place.0).collect();
        drop(list);
        for &place in &places {
            words.wake(Place(place), u32::MAX);
        }
        !places.is_empty()
    }

    /// The oldest waits at the last tick.
    pub(crate) fn oldest(&self) -> Oldest {
        self.list().oldest
    }

    /// Number of waits.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.list().waits.len()
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A registered wait.
#[derive(Debug)]
#[must_use = "the wait is registered until this is dropped"]
pub(crate) struct Ticket {
    waits: Arc<Waits>,
    key: usize,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // In a fork, another thread of the parent may have had the lock.
        if self.waits.origin.is_here() {
            self.waits.list().waits.try_remove(self.key);
        }
    }
}
