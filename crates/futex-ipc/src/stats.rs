//! Counters of a member.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) scans: AtomicU64,
    pub(crate) deaths_seen: AtomicU64,
    pub(crate) sweeps_done: AtomicU64,
    pub(crate) rechecks_that_found: AtomicU64,
}

impl Counters {
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            scans: self.scans.load(Relaxed),
            deaths_seen: self.deaths_seen.load(Relaxed),
            sweeps_done: self.sweeps_done.load(Relaxed),
            rechecks_that_found: self.rechecks_that_found.load(Relaxed),
        }
    }
}

/// Counters of a member, from [`Region::stats`](crate::Region::stats).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Number of times that this member examined the table of members for deaths.
    pub scans: u64,
    /// Number of deaths that this member was the first to notice. The sum over all members counts each death once. A member that
    /// leaves with a leaked guard counts as one that dies.
    pub deaths_seen: u64,
    /// Number of dead members whose slot this member freed, after their locks had been repaired. The sum over all members counts each
    /// death once.
    pub sweeps_done: u64,
    /// Number of lost wakes that the recheck found. Once a second, the recheck compares the words of all sleeping waits. A wake is lost
    /// if it goes to a process that is stopped (`SIGSTOP`), or that is killed before it passes the wake on.
    pub rechecks_that_found: u64,
}
