//! What `show` found.

use crate::about::{Holder, Metadata, Part};
use crate::proc::sleepers::Sleeper;
use crate::proc::state::State;
use crate::region::Region;
use crate::scan::Waiters;
use serde::{Serialize, Serializer};

/// What is shown. This is the JSON too, so docs/cli.md describes each field.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    pub(super) object: String,
    /// False for a memfd, and after the last name was removed.
    pub(super) has_name: bool,
    #[serde(flatten)]
    pub(super) metadata: Metadata,
    pub(super) range: Part,
    /// The members and objects, if it is a region of futex-ipc.
    pub(super) region: Option<Region>,
    /// Why they can't be shown.
    pub(super) region_error: Option<String>,
    /// True if people are shown the region and not the words.
    #[serde(skip)]
    pub(super) is_region_only: bool,
    pub(super) words: Vec<Word>,
    pub(super) words_with_waiters: u64,
    /// True if there may be more words than `words` has.
    pub(super) is_cut: bool,
    pub(super) not_read: Option<Part>,
    pub(super) not_counted: Option<Part>,
    /// Why counting ended early.
    pub(super) error: Option<String>,
    /// False if there may be pages that were not looked into (huge pages only).
    pub(super) knows_pages: bool,
    pub(super) processes: Vec<Holder>,
    /// The processes that could not be inspected. The JSON has how many.
    #[serde(rename = "hidden_processes", serialize_with = "len")]
    pub(super) hidden: Vec<u32>,
}

fn len<S: Serializer>(processes: &[u32], serializer: S) -> Result<S::Ok, S::Error> {
    processes.len().serialize(serializer)
}

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
