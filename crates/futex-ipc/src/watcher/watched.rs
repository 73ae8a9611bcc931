//! A member for which the watcher works.

use super::inotify::Event;
use super::ladder::{Due, Ladder, Lock};
use crate::format::{Header, SWEEP_BYTE};
use crate::membership::{Membership, Sweeping};
use crate::os::byte_lock;
use crate::run::run;
use crate::steps::member::{DEAD, Mark, is_live};
use crate::steps::sweep::Sweep;
use crate::steps::{Member, Words, low};
use crate::waits::Tick;
use crate::waits::oldest::seconds_since_boot;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

/// Time between two rechecks of the waits, each with a scan. Without inotify, also the time between two scans while no wait sleeps.
const TICK: Duration = Duration::from_secs(1);

/// Time after which a word that differed is compared again. On a busy machine, a waiter that was woken may not run for some time.
const SUSPICION: Duration = Duration::from_millis(500);

/// Time between two scans without inotify, while a wait sleeps. On average, a death is noticed after half of this time.
const SCAN_WITHOUT_EVENTS: Duration = Duration::from_millis(10);

/// Time between two wakes of the waits of a closed region, and the number of such wakes. Later wakes come once per tick.
const END: Duration = Duration::from_millis(1);
const ENDS: u32 = 1000;

const SWEEP: Range<u32> = SWEEP_BYTE..SWEEP_BYTE + 1;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Watched {
    membership: Arc<Membership>,
    /// False if the watcher gets no events of the region's file.
    has_events: bool,
    ladder: Ladder,
    /// True after an event that may mean that the region has lost its name.
    name_changed: bool,
    /// The next recheck of the waits.
    tick: Option<Instant>,
    /// The next scan without inotify.
    scan: Option<Instant>,
    /// The next wake of the waits of a closed region.
    end: Option<Instant>,
    ends: u32,
    /// The table of members when its changes were announced last.
    table: Vec<u64>,
}

impl Watched {
    pub(super) fn new(membership: Arc<Membership>, has_events: bool) -> Self {
        Self {
            membership,
            has_events,
            // An event may have happened before the watch began.
            ladder: Ladder::EVENT,
            name_changed: true,
            tick: None,
            scan: None,
            end: None,
            ends: 0,
            table: Vec::new(),
        }
    }

    /// Notes an event of the region's file.
    pub(super) fn event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Closed(_) => self.ladder.event(now),
            Event::Name(_) => self.name_changed = true,
            Event::Overflow => {
                self.ladder.event(now);
                self.name_changed = true;
            }
        }
    }

    /// Records that the watcher gets no more events.
    pub(super) fn lose_events(&mut self) {
        self.has_events = false;
    }

    #[cfg(test)]
    pub(super) fn state(&self) -> String {
        format!("{:?}", self.ladder)
    }

    /// Ends the scans and checks after the last event. Returns false if some of them are due soon.
    #[cfg(test)]
    pub(super) fn rest(&mut self) -> bool {
        let is_slow = self.ladder.is_slow();
        if is_slow {
            self.ladder = Ladder::Rest;
        }
        is_slow
    }

    /// Does everything that is due, and returns the time of the next action.
    pub(super) fn run(&mut self, now: Instant) -> Option<Instant> {
        if std::mem::take(&mut self.name_changed) && matches!(self.membership.name_leads_here(), Ok(false)) {
            self.membership.mark_unlinked();
        }
        self.climb(now);
        self.scan_without_events(now);
        self.recheck(now);
        self.end(now);
        let times = [self.ladder.next(now), self.scan, self.tick, self.end];
        times.into_iter().flatten().min()
    }

    /// Does the action of the ladder that is due.
    fn climb(&mut self, now: Instant) {
        let mut due = self.ladder.take(now);
        if due == Due::Try {
            if self.try_lock() {
                self.ladder.locked(now);
            } else {
                self.ladder.not_locked(now, self.membership.load(Header::SCANS, Acquire));
            }
            due = self.ladder.take(now);
        }
        match due {
            Due::Nothing | Due::Try => {}
            Due::Scan(lock) => self.scan_as_sweeper(lock),
            Due::Check { scans } => self.check(scans),
        }
    }

    fn scan_as_sweeper(&mut self, lock: Lock) {
        let is_locked = lock != Lock::Once || self.try_lock();
        self.scan();
        if is_locked {
            // Ordering: Release. The partner is the Acquire of a bystander, which then sees the changes of the table.
            self.membership.fetch_add(Header::SCANS, 1, Release);
        }
        if is_locked && lock != Lock::Kept {
            self.unlock();
        }
        if lock == Lock::Last {
            self.announce_changes();
        }
    }

    /// Finds dead members, marks all of them, and sweeps.
    fn scan(&self) {
        let membership: &Membership = &self.membership;
        let me = membership.me();
        if !is_live(membership.slot(me.slot, Acquire), me.generation) || !membership.descriptor_is_intact() {
            membership.mark_damaged();
            return;
        }
        membership.counters().scans.fetch_add(1, Relaxed);
        let others = (0..membership.slots()).filter(|&slot| slot != me.slot);
        let dead: Vec<Member> = others.filter_map(|slot| run(membership, Mark::new(slot)).flatten()).collect();
        for dead in dead {
            // This fails only if another member writes without a pause. Then the slot stays DEAD, and the next scan finds it.
            let _ = run(&Sweeping::new(membership), Sweep::new(dead));
        }
    }

    /// Scans as a bystander, unless the sweeper has scanned since the event, or since the last check.
    fn check(&mut self, scans: u64) {
        let membership: &Membership = &self.membership;
        let found = membership.load(Header::SCANS, Acquire);
        self.ladder.checked(found);
        let done = found.wrapping_sub(scans) >= 2;
        if !done || (0..membership.slots()).any(|slot| low(membership.slot(slot, Relaxed)) == DEAD) {
            self.scan();
            self.announce_changes();
        }
    }

    /// Announces changes of the table. The member that made one may have been killed before it announced the change.
    fn announce_changes(&mut self) {
        let membership: &Membership = &self.membership;
        let table: Vec<u64> = (0..membership.slots()).map(|slot| membership.slot(slot, Acquire)).collect();
        if table != self.table {
            self.table = table;
            membership.announce();
        }
    }

    fn try_lock(&self) -> bool {
        self.membership.descriptor_is_intact() && byte_lock::try_lock(&self.membership, SWEEP).unwrap_or(false)
    }

    fn unlock(&self) {
        if self.membership.descriptor_is_intact() {
            let _ = byte_lock::unlock(&self.membership, SWEEP);
        }
    }

    fn scan_without_events(&mut self, now: Instant) {
        if self.has_events {
            return;
        }
        let pause = if self.membership.waits().is_ticking() { SCAN_WITHOUT_EVENTS } else { TICK };
        // A wait may have begun in the long pause.
        let mut next = self.scan.unwrap_or(now).min(now + pause);
        if next <= now {
            self.scan();
            next = now + pause;
        }
        self.scan = Some(next);
    }

    fn recheck(&mut self, now: Instant) {
        let Some(at) = self.tick else {
            self.tick = self.membership.waits().is_ticking().then(|| now + TICK);
            return;
        };
        if at > now {
            return;
        }
        let now_since_boot = seconds_since_boot();
        let tick = self.membership.waits().tick(&*self.membership, self.membership.counters(), now_since_boot);
        self.membership.publish_waits();
        let pause = match tick {
            Tick::Idle => {
                self.tick = None;
                return;
            }
            Tick::Fine => TICK,
            Tick::Suspicious => SUSPICION,
        };
        self.tick = Some(now + pause);
        self.scan();
    }

    fn end(&mut self, now: Instant) {
        if self.end.is_some_and(|at| at > now) {
            return;
        }
        if !self.membership.waits().end(&*self.membership) {
            (self.end, self.ends) = (None, 0);
            return;
        }
        self.ends = self.ends.saturating_add(1);
        self.end = Some(now + if self.ends < ENDS { END } else { TICK });
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.ladder.is_locked() {
            self.unlock();
        }
    }
}
