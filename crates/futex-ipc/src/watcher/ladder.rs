//! The times of the scans after an event.
//!
//! All members of a region get the event of a death at the same time. The lock of the dead member is dropped a few microseconds
//! later, by the same thread of the kernel. But this thread may be descheduled in between: for some milliseconds on a busy
//! machine, and for seconds if its process gets little processor time (nice(1), the limit of a container). The kernel does not report
//! that it drops the lock. So the members scan again and again, with pauses that grow.
//!
//! 1. The member that gets the lock of the byte [`SWEEP_BYTE`](crate::format::SWEEP_BYTE) is the *sweeper*. It scans at once, after
//!    20 µs, and then after pauses, each twice as long as the one before. So if a lock is dropped some time after the event, a scan
//!    finds it when about as much time has passed again. The sweeper keeps the byte locked during the first four scans, and locks it
//!    for each later one.
//! 2. Each other member is a *bystander*. After 2 ms it scans too, unless the sweeper has scanned since the event and no slot is DEAD.
//!    So a sweeper that is stopped delays the others by 2 ms. The same is true if the sweeper dies: until its locks are dropped, the
//!    others can't distinguish it from a sweeper at work. The bystander repeats this check after a second, and then after pauses, each
//!    8 times as long as the one before.
//!
//! The sweeper counts its scans under the lock, in the header of the region. A bystander loads the count after the event. If the count
//! is greater by 2 or more at the check, at least one of these scans began after that load.
//!
//! The scans and the checks end when the next pause would be longer than an hour.

use std::time::{Duration, Instant};

/// The sweeper's first pause. Each later one is twice as long.
const SCAN: Duration = Duration::from_micros(20);

/// Number of scans during which the sweeper keeps the byte locked.
const KEPT: u32 = 4;

/// Time after which a bystander checks the work of the sweeper.
const CHECK: Duration = Duration::from_millis(2);

/// The bystander's pause after its first check. Each later one is longer by the factor. A sweeper at work scans at least twice in each.
const PAUSE: Duration = Duration::from_secs(1);
const FACTOR: u32 = 8;

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(3600);

/// The next action of a member after an event, and its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ladder {
    /// Nothing.
    Rest,
    /// There was an event: try to lock the byte. If a bystander gets another event, its check is not delayed.
    Try { check: Option<Instant> },
    /// The sweeper's next scan and the pause after it. `done` is the number of scans since the event.
    Scans { at: Instant, pause: Duration, done: u32 },
    /// The bystander's next check and the pause after it. `scans` is the count after the event, or at the last check.
    Check { at: Instant, pause: Duration, scans: u64 },
}

/// An action that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// Nothing is due.
    Nothing,
    /// Try to lock the byte, and report the result to [`locked`](Ladder::locked) or [`not_locked`](Ladder::not_locked).
    Try,
    /// Scan as the sweeper.
    Scan(Lock),
    /// Check whether the sweeper has scanned, and scan if it has not. `scans` is the count after the event, or at the last check.
    /// Report the new count to [`checked`](Ladder::checked).
    Check { scans: u64 },
}

/// The lock of the byte during a scan of the sweeper.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lock {
    /// The byte is locked, and stays locked.
    Kept,
    /// The byte is locked. Unlock it after the scan.
    Last,
    /// The byte is not locked. Lock it for the scan. If another member has the lock, scan without it.
    Once,
}

impl Ladder {
    /// There was an event.
    pub(super) const EVENT: Self = Self::Try { check: None };

    /// Notes an event.
    pub(super) fn event(&mut self, now: Instant) {
        *self = match *self {
            // The sweeper starts its scans again. If it has unlocked the byte, it tries to lock it again first.
            Self::Scans { done, .. } if done < KEPT => Self::scans(now),
            Self::Rest | Self::Scans { .. } => Self::EVENT,
            Self::Check { at, .. } => Self::Try { check: Some(at) },
            Self::Try { check } => Self::Try { check },
        };
    }

    fn scans(now: Instant) -> Self {
        Self::Scans { at: now, pause: SCAN, done: 0 }
    }

    /// Notes that the byte was locked.
    pub(super) fn locked(&mut self, now: Instant) {
        *self = Self::scans(now);
    }

    /// Notes that another member has the lock of the byte, and the number of scans.
    pub(super) fn not_locked(&mut self, now: Instant, scans: u64) {
        let check = if let Self::Try { check } = *self { check } else { None };
        let at = now + CHECK;
        *self = Self::Check { at: check.map_or(at, |check| check.min(at)), pause: PAUSE, scans };
    }

    /// Notes the number of scans that a check has found.
    pub(super) fn checked(&mut self, found: u64) {
        if let Self::Check { scans, .. } = self {
            *scans = found;
        }
    }

    /// True while this member has the lock of the byte.
    pub(super) fn is_locked(&self) -> bool {
        matches!(self, Self::Scans { done, .. } if *done < KEPT)
    }

    /// True if the next action is not one of those that follow soon after an event.
    #[cfg(test)]
    pub(super) fn is_slow(&self) -> bool {
        match *self {
            Self::Rest => true,
            Self::Try { .. } => false,
            Self::Scans { pause, .. } => pause > Duration::from_millis(100),
            Self::Check { pause, .. } => pause > PAUSE,
        }
    }

    /// The time of the next action. `None` if no action follows.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        match *self {
            Self::Rest => None,
            Self::Try { .. } => Some(now),
            Self::Scans { at, .. } | Self::Check { at, .. } => Some(at),
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
            // The next time is counted from now. If the member is late itself, it must not do several scans at once.
            Self::Scans { pause, done, .. } => {
                let next = Self::Scans { at: now + pause, pause: pause * 2, done: done + 1 };
                *self = if pause > LONGEST { Self::Rest } else { next };
                Due::Scan(match done + 1 {
                    ..KEPT => Lock::Kept,
                    KEPT => Lock::Last,
                    _ => Lock::Once,
                })
            }
            Self::Check { pause, scans, .. } => {
                let next = Self::Check { at: now + pause, pause: pause * FACTOR, scans };
                *self = if pause > LONGEST { Self::Rest } else { next };
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

    fn sweeper(start: Instant) -> Ladder {
        let mut ladder = Ladder::Rest;
        ladder.event(start);
        assert_eq!(ladder.take(start), Due::Try);
        ladder.locked(start);
        ladder
    }

    fn bystander(start: Instant, scans: u64) -> Ladder {
        let mut ladder = Ladder::Rest;
        ladder.event(start);
        assert_eq!(ladder.take(start), Due::Try);
        ladder.not_locked(start, scans);
        ladder
    }

    #[test]
    fn a_sweeper_scans_after_twice_the_time_again_and_again_and_unlocks_after_the_fourth_scan() {
        let start = Instant::now();
        let mut ladder = sweeper(start);
        let log = run(&mut ladder, start);
        let micros: Vec<_> = log.iter().map(|(time, _)| time.as_micros()).collect();
        assert_eq!(micros[..8], [0, 20, 60, 140, 300, 620, 1260, 2540]);
        assert!(micros.windows(2).all(|two| two[1] <= two[0] * 2 + 20), "{micros:?}");
        assert!((25..35).contains(&micros.len()), "{micros:?}");
        let locks: Vec<_> = log.iter().map(|&(_, due)| due).collect();
        assert_eq!(locks[..4], [Lock::Kept, Lock::Kept, Lock::Kept, Lock::Last].map(Due::Scan));
        assert!(locks[4..].iter().all(|&due| due == Due::Scan(Lock::Once)));
        assert!(log.last().unwrap().0 > LONGEST);
    }

    /// The story: a sweeper that was late did all the scans that it had missed at once. If the dying member was late as well, its
    /// lock was never examined again.
    #[test]
    fn a_sweeper_that_is_late_does_not_scan_more_often() {
        let start = Instant::now();
        let mut ladder = sweeper(start);
        assert_eq!(ladder.take(start), Due::Scan(Lock::Kept));
        let late = start + Duration::from_secs(10_000);
        assert_eq!(ladder.take(late), Due::Scan(Lock::Kept));
        assert_eq!(ladder.take(late), Due::Nothing);
        assert_eq!(ladder.next(late), Some(late + SCAN * 2));
    }

    #[test]
    fn a_bystander_checks_again_and_again() {
        let start = Instant::now();
        let mut ladder = bystander(start, 7);
        let mut log = Vec::new();
        while let Some(at) = ladder.next(start) {
            log.push((at - start, ladder.take(at)));
            ladder.checked(7 + log.len() as u64);
        }
        let times: Vec<_> = log.iter().map(|(time, _)| time.as_millis()).collect();
        assert_eq!(times, [2, 1002, 9002, 73_002, 585_002]);
        let scans: Vec<_> = log.iter().map(|&(_, due)| due).collect();
        assert_eq!(scans, [7, 8, 9, 10, 11].map(|scans| Due::Check { scans }));
    }

    /// Otherwise all members would scan beside a sweeper that is at work.
    #[test]
    fn a_sweeper_scans_twice_between_two_checks_of_a_bystander() {
        let start = Instant::now();
        let scans = run(&mut sweeper(start), start);
        let checks = run(&mut bystander(start, 0), start);
        let times: Vec<_> = [Duration::ZERO].into_iter().chain(checks.into_iter().map(|(time, _)| time)).collect();
        for pair in times.windows(2) {
            let between = scans.iter().filter(|(time, _)| (pair[0]..pair[1]).contains(time)).count();
            assert!(between >= 2, "{pair:?}");
        }
    }

    #[test]
    fn further_events_do_not_put_off_the_check_of_a_bystander() {
        let start = Instant::now();
        let mut ladder = bystander(start, 7);
        let later = start + CHECK / 2;
        ladder.event(later);
        ladder.event(later);
        assert_eq!(ladder.take(later), Due::Try, "the sweeper may be dead by now");
        ladder.not_locked(later, 8);
        assert_eq!(ladder.next(later), Some(start + CHECK));
        assert_eq!(ladder.take(start + CHECK), Due::Check { scans: 8 });
    }

    #[test]
    fn an_event_during_a_long_pause_of_a_bystander_is_checked_soon() {
        let start = Instant::now();
        let mut ladder = bystander(start, 7);
        assert_eq!(ladder.take(start + CHECK), Due::Check { scans: 7 });
        let later = start + PAUSE / 2;
        ladder.event(later);
        assert_eq!(ladder.take(later), Due::Try);
        ladder.not_locked(later, 8);
        assert_eq!(ladder.next(later), Some(later + CHECK));
    }

    #[test]
    fn an_event_during_the_scans_begins_anew() {
        let start = Instant::now();
        let mut ladder = sweeper(start);
        assert_eq!(ladder.take(start), Due::Scan(Lock::Kept));
        ladder.event(start);
        assert!(ladder.is_locked());
        let mut now = start;
        for lock in [Lock::Kept, Lock::Kept, Lock::Kept, Lock::Last] {
            now = ladder.next(now).unwrap();
            assert_eq!(ladder.take(now), Due::Scan(lock));
        }
        assert!(!ladder.is_locked());
        ladder.event(now);
        assert_eq!(ladder.take(now), Due::Try, "the byte is not locked any more");
    }
}
