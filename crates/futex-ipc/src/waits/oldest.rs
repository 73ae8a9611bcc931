//! The oldest waits of a member, for other processes.

use crate::information::WAITS;
use crate::steps::{Place, halves, high, low};
use rustix::time::{ClockId, clock_gettime};

/// The oldest waits of a member, at most one per word on which the member sleeps.
///
/// The watcher records them once a second, so a wait itself has no additional cost. A wait of less than a second may be missing.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Oldest([Option<Noted>; WAITS]);

/// A wait, and the time at which it was recorded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Noted {
    /// Seconds since the boot of the system.
    pub(crate) since: u32,
    /// The word.
    pub(crate) place: Place,
}

impl Noted {
    /// Returns the wait that a word of a slot describes. The place is unchecked.
    pub(crate) fn from_word(word: u64) -> Option<Self> {
        (word != 0).then(|| Self { since: high(word), place: Place(low(word)) })
    }
}

impl Oldest {
    /// Adds a wait, if it is one of the oldest.
    pub(super) fn add(&mut self, wait: Noted) {
        let Self(waits) = self;
        let same = waits.iter().position(|there| there.is_some_and(|there| there.place == wait.place));
        // A free entry, or otherwise the youngest wait.
        let replaced =
            same.or_else(|| (0..WAITS).max_by_key(|&i| waits[i].map_or(u64::MAX, |there| there.since.into())));
        if let Some(there) = replaced.map(|i| &mut waits[i]) {
            if there.is_none_or(|there| wait.since < there.since) {
                *there = Some(wait);
            }
        }
    }

    /// Returns the waits as words of a slot.
    pub(crate) fn to_words(self) -> [u64; WAITS] {
        self.0.map(|wait| wait.map_or(0, |Noted { since, place }| halves(since, place.0)))
    }
}

/// Returns the number of seconds since the boot of the system (`CLOCK_BOOTTIME`).
pub(crate) fn seconds_since_boot() -> u32 {
    u32::try_from(clock_gettime(ClockId::Boottime).tv_sec).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_wait_of_each_of_the_oldest_words_is_kept() {
        let noted = |(since, place)| Noted { since, place: Place(place) };
        let mut waits = Oldest::default();
        for wait in [(50, 1), (40, 2), (60, 1), (30, 3), (70, 4), (20, 2), (10, 4), (30, 5)] {
            waits.add(noted(wait));
        }
        let mut words = waits.to_words().map(|word| Noted::from_word(word).unwrap());
        words.sort();
        assert_eq!(words, [(10, 4), (20, 2), (30, 3)].map(noted));
        assert_eq!(Oldest::default().to_words(), [0; WAITS]);
        assert_eq!(Noted::from_word(0), None);
    }
}
