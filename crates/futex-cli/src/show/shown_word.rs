//! A word that is shown, and the threads that sleep on it.

use crate::proc::sleepers::Sleeper;
use crate::proc::state::State;
use crate::scan::Waiters;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct Word {
    pub(crate) offset: usize,
    pub(crate) value: u32,
    /// `None` if they were not counted, or can't be.
    pub(crate) waiters: Option<u32>,
    /// True if threads wait for the word as for a lock with priority inheritance, which are not counted.
    pub(crate) is_lock: bool,
    pub(crate) sleepers: Vec<Asleep>,
    /// Waiters that are not among the sleepers.
    pub(crate) unattributed: Option<u32>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Asleep {
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    pub(crate) command: String,
    pub(crate) state: State,
    /// False for a thread that is stopped in its wait, which a wake does not reach before it continues.
    pub(crate) is_queued: bool,
}

impl Word {
    pub(crate) fn new(offset: usize, value: u32, waiters: Waiters, sleepers: Vec<&Sleeper>) -> Self {
        let queued = sleepers.iter().filter(|sleeper| sleeper.is_queued()).count() as u32;
        let waiters = match waiters {
            Waiters::Count(count) => Ok(count),
            Waiters::OfLock => Err(true),
            Waiters::NotCounted => Err(false),
        };
        let asleep = |sleeper: &Sleeper| Asleep {
            pid: sleeper.pid,
            tid: sleeper.tid,
            command: sleeper.command.clone(),
            state: sleeper.state,
            is_queued: sleeper.is_queued(),
        };
        Self {
            offset,
            value,
            waiters: waiters.ok(),
            is_lock: waiters == Err(true),
            // A sleeper may have been woken since.
            unattributed: waiters.ok().map(|count| count.saturating_sub(queued)),
            sleepers: sleepers.into_iter().map(asleep).collect(),
        }
    }
}
