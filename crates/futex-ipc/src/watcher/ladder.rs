//! The times of the scans after an event.
//!
//! All members of a region get the event of a death at the same time. One of them sweeps:
//!
//! 1. The member that gets the lock of the byte [`SWEEP_BYTE`](crate::format::SWEEP_BYTE) is the *sweeper*. It scans at once, after
//!    20 µs, and after 200 µs. (The lock of a dead member is dropped a few microseconds after the event, but the thread of the
//!    kernel that does this may be descheduled in between.) Then it unlocks the byte, and scans again after 2, 20 and 200 ms.
//! 2. Each other member is a *bystander*. After 2 ms it scans too, unless the sweeper has scanned since the event and no slot is DEAD.
//!    So a sweeper that is stopped delays the others by 2 ms. The same is true if the sweeper dies: until its locks are dropped, the
//!    others can't distinguish it from a sweeper at work.
//!
//! The sweeper counts its scans under the lock, in the header of the region. A bystander loads the count after the event. If the count
//! is greater by 2 or more later, at least one of these scans began after the event.
//!
//! If a lock is dropped even later, the scan of the next [tick](crate::waits::Waits::tick) finds it. While a task or thread of the member
//! waits, a tick comes once a second.

use std::time::{Duration, Instant};

/// Times of the sweeper's scans, after the event.
const SCANS: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_micros(20),
    Duration::from_micros(200),
    Duration::from_millis(2),
    Duration::from_millis(20),
    Duration::from_millis(200),
];

/// Number of scans during which the sweeper has the lock.
const LOCKED: usize = 3;

/// Time after which a bystander checks the work of the sweeper.
const CHECK: Duration = Duration::from_millis(2);

/// The next action of a member after an event, and its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ladder {
    /// Nothing.
    Rest,
    /// There was an event: try to lock the byte. If a bystander gets another event, its check keeps its time.
    Try { check: Option<Instant> },
    /// The sweeper's scans. `next` is the index of the next one.
    Scans { since: Instant, next: usize },
    /// A bystander's check. `scans` is the count after the event.
    Check { at: Instant, scans: u64 },
}

/// An action that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// Nothing is due.
    Nothing,
    /// Try to lock the byte, and report the result to [`locked`](Ladder::locked) or [`not_locked`](Ladder::not_locked).
    Try,
    /// Scan as the sweeper. With `unlock`, unlock the byte afterwards.
    Scan { unlock: bool },
    /// Check whether the sweeper has scanned, and scan if it has not. `scans` is the count after the event.
    Check { scans: u64 },
}

impl Ladder {
    /// There was an event.
    pub(super) const EVENT: Self = Self::Try { check: None };

    /// Notes an event.
    pub(super) fn event(&mut self, now: Instant) {
        *self = match *self {
            // The sweeper starts its scans again. If it has unlocked the byte, it tries to lock it again first.
            Self::Scans { next, .. } if next < LOCKED => Self::Scans { since: now, next: 0 },
            Self::Rest | Self::Scans { .. } => Self::EVENT,
            Self::Check { at, .. } => Self::Try { check: Some(at) },
            Self::Try { check } => Self::Try { check },
        };
    }

    /// Notes that the byte was locked.
    pub(super) fn locked(&mut self, now: Instant) {
        *self = Self::Scans { since: now, next: 0 };
    }

    /// Notes that another member has the lock of the byte, and the number of scans.
    pub(super) fn not_locked(&mut self, now: Instant, scans: u64) {
        let check = if let Self::Try { check } = *self { check } else { None };
        *self = Self::Check { at: check.unwrap_or(now + CHECK), scans };
    }

    /// True while this member has the lock of the byte.
    pub(super) fn is_locked(&self) -> bool {
        matches!(self, Self::Scans { next, .. } if *next < LOCKED)
    }

    /// The time of the next action. `None` if no action follows.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        match *self {
            Self::Rest => None,
            Self::Try { .. } => Some(now),
            Self::Scans { since, next } => Some(since + SCANS[next]),
            Self::Check { at, .. } => Some(at),
        }
    }

    /// Returns the action that is due, and moves on to the next one.
    pub(super) fn take(&mut self, now: Instant) -> Due {
        if self.next(now).is_none_or(|at| at > now) {
            return Due::Nothing;
        }
        match *self {
            Self::Rest => Due::Nothing,
            Self::Try { .. } => Due::Try,
            Self::Scans { since, next } => {
                let last = next + 1 == SCANS.len();
                *self = if last { Self::Rest } else { Self::Scans { since, next: next + 1 } };
                Due::Scan { unlock: next + 1 == LOCKED }
            }
            Self::Check { scans, .. } => {
                *self = Self::Rest;
                Due::Check { scans }
            }
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    /// Runs a ladder until it rests. Returns what was due, and when.
    fn run(ladder: &mut Ladder, start: Instant) -> Vec<(Duration, Due)> {
        let mut log = Vec::new();
        let mut now = start;
        while let Some(at) = ladder.next(now) {
            now = now.max(at);
            log.push((now - start, ladder.take(now)));
        }
        log
    }

    #[test]
    fn a_sweeper_scans_six_times_and_unlocks_after_the_third() {
        let start = Instant::now();
        let mut ladder = Ladder::Rest;
        assert_eq!(run(&mut ladder, start), []);
        ladder.event(start);
        assert_eq!(ladder.take(start), Due::Try);
        ladder.locked(start);
        let unlocks = [false, false, true, false, false, false];
        let expected: Vec<_> = SCANS.into_iter().zip(unlocks.map(|unlock| Due::Scan { unlock })).collect();
        assert_eq!(run(&mut ladder, start), expected);
        assert!(!ladder.is_locked());
    }

    #[test]
    fn further_events_do_not_put_off_the_check_of_a_bystander() {
        let start = Instant::now();
        let mut ladder = Ladder::Rest;
        ladder.event(start);
        assert_eq!(ladder.take(start), Due::Try);
        ladder.not_locked(start, 7);
        let later = start + CHECK / 2;
        ladder.event(later);
        ladder.event(later);
        assert_eq!(ladder.take(later), Due::Try, "the sweeper may be dead by now");
        ladder.not_locked(later, 8);
        assert_eq!(run(&mut ladder, start), [(CHECK, Due::Check { scans: 8 })]);
    }

    #[test]
    fn an_event_during_the_scans_begins_anew() {
        let start = Instant::now();
        let mut ladder = Ladder::Rest;
        ladder.event(start);
        assert_eq!(ladder.take(start), Due::Try);
        ladder.locked(start);
        assert_eq!(ladder.take(start), Due::Scan { unlock: false });
        ladder.event(start);
        assert!(ladder.is_locked());
        assert_eq!(ladder.take(start), Due::Scan { unlock: false });
        let late = start + SCANS[2];
        assert_eq!(ladder.take(late), Due::Scan { unlock: false });
        assert_eq!(ladder.take(late), Due::Scan { unlock: true });
        assert!(!ladder.is_locked());
        ladder.event(late);
        assert_eq!(ladder.take(late), Due::Try, "the byte is not locked any more");
    }
}
