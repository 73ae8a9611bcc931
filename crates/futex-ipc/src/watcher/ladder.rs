//! When to scan after an event.
//!
//! All members of a region get the event of a death at the same time. One of them sweeps:
//!
//! 1. The member that gets the lock of the byte [`SWEEP_BYTE`](crate::format::SWEEP_BYTE) is the *sweeper*. It scans at once, after
//!    20 µs, and after 200 µs. (The lock of a dead member is dropped a few microseconds after the event, but the thread of the
//!    kernel that does this may be descheduled in between.) Then it unlocks the byte, and scans again after 2, 20 and 200 ms.
//! 2. Each other member is a *bystander*. After 2 ms it scans too, if a slot is still DEAD or the byte is still locked. So a
//!    sweeper that is stopped costs 2 ms, and nobody waits for it. The death of a sweeper is an event of its own.
//!
//! A lock that is dropped even later is found by the scan that belongs to each [tick](super::Waits), that is within a second
//! while somebody waits.

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

/// What a member has to do after an event, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ladder {
    /// Nothing.
    Rest,
    /// There was an event: try to lock the byte.
    Try,
    /// The sweeper's scans. `next` is the index of the next one.
    Scans { since: Instant, next: usize },
    /// A bystander's check. `again` is true after a further event.
    Check { at: Instant, again: bool },
}

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// Nothing is due.
    Nothing,
    /// Try to lock the byte, and report the result to [`Ladder::tried`].
    Try,
    /// Scan as the sweeper. With `unlock`, unlock the byte afterwards.
    Scan { unlock: bool },
    /// Check whether the sweeper has done its work, and scan if it has not.
    Check,
}

impl Ladder {
    /// Notes an event.
    pub(super) fn event(&mut self, now: Instant) {
        match self {
            Self::Rest => *self = Self::Try,
            Self::Try => {}
            // The sweeper that still has the lock begins anew. One that has unlocked the byte has to try again.
            Self::Scans { next, .. } if *next < LOCKED => *self = Self::Scans { since: now, next: 0 },
            Self::Scans { .. } => *self = Self::Try,
            Self::Check { again, .. } => *again = true,
        }
    }

    /// Notes whether the byte was locked.
    pub(super) fn tried(&mut self, now: Instant, locked: bool) {
        *self =
            if locked { Self::Scans { since: now, next: 0 } } else { Self::Check { at: now + CHECK, again: false } };
    }

    /// True while this member has the lock of the byte.
    pub(super) fn is_locked(&self) -> bool {
        matches!(self, Self::Scans { next, .. } if *next < LOCKED)
    }

    /// The time of what is next. `None`: nothing is.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        match *self {
            Self::Rest => None,
            Self::Try => Some(now),
            Self::Scans { since, next } => Some(since + SCANS[next]),
            Self::Check { at, .. } => Some(at),
        }
    }

    /// Returns what is due, and goes on to what follows.
    pub(super) fn take(&mut self, now: Instant) -> Due {
        if self.next(now).is_none_or(|at| at > now) {
            return Due::Nothing;
        }
        match *self {
            Self::Rest => Due::Nothing,
            Self::Try => Due::Try,
            Self::Scans { since, next } => {
                let last = next + 1 == SCANS.len();
                *self = if last { Self::Rest } else { Self::Scans { since, next: next + 1 } };
                Due::Scan { unlock: next + 1 == LOCKED }
            }
            Self::Check { again, .. } => {
                *self = if again { Self::Check { at: now + CHECK, again: false } } else { Self::Rest };
                Due::Check
            }
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    /// Runs a ladder until it rests. Returns what was due, and when.
    fn run(ladder: &mut Ladder, start: Instant, locked: bool) -> Vec<(Duration, Due)> {
        let mut log = Vec::new();
        let mut now = start;
        while let Some(at) = ladder.next(now) {
            now = now.max(at);
            let due = ladder.take(now);
            if due == Due::Try {
                ladder.tried(now, locked);
            }
            log.push((now - start, due));
        }
        log
    }

    #[test]
    fn a_sweeper_scans_six_times_and_unlocks_after_the_third() {
        let start = Instant::now();
        let mut ladder = Ladder::Rest;
        assert_eq!(run(&mut ladder, start, true), []);
        ladder.event(start);
        let log = run(&mut ladder, start, true);
        assert_eq!(log[0], (Duration::ZERO, Due::Try));
        let scans: Vec<_> = log[1..].iter().map(|&(at, due)| (at, due == Due::Scan { unlock: true })).collect();
        let expected: Vec<_> = SCANS.into_iter().zip([false, false, true, false, false, false]).collect();
        assert_eq!(scans, expected);
        assert!(!ladder.is_locked());
    }

    #[test]
    fn a_bystander_checks_once_after_its_last_event() {
        let start = Instant::now();
        let mut ladder = Ladder::Rest;
        ladder.event(start);
        assert_eq!(ladder.take(start), Due::Try);
        ladder.tried(start, false);
        ladder.event(start + CHECK / 2);
        ladder.event(start + CHECK / 2);
        assert_eq!(ladder.next(start), Some(start + CHECK), "an event does not put the check off");
        let log = run(&mut ladder, start, false);
        assert_eq!(log, [(CHECK, Due::Check), (2 * CHECK, Due::Check)]);
    }

    #[test]
    fn an_event_during_the_scans_begins_anew() {
        let start = Instant::now();
        let mut ladder = Ladder::Rest;
        ladder.event(start);
        assert_eq!(ladder.take(start), Due::Try);
        ladder.tried(start, true);
        assert_eq!(ladder.take(start), Due::Scan { unlock: false });
        ladder.event(start);
        assert!(ladder.is_locked());
        assert_eq!(ladder.take(start), Due::Scan { unlock: false });
        assert!(ladder.is_locked());
        let late = start + SCANS[2];
        assert_eq!(ladder.take(late), Due::Scan { unlock: false });
        assert_eq!(ladder.take(late), Due::Scan { unlock: true });
        assert!(!ladder.is_locked());
        ladder.event(late);
        assert_eq!(ladder.take(late), Due::Try, "the byte is not locked any more");
    }
}
