//! The command `show`.

mod text;

use crate::about::{Holder, Metadata, Part, exact};
use crate::args::Show;
use crate::failure::{Failure, say};
use crate::output;
use crate::proc::sleepers::Sleeper;
use crate::proc::users::Users;
use crate::proc::{ObjectId, Sleepers, Snapshot, State, stat_open};
use crate::scan::{Limits, Waiters, scan};
use crate::value::Range;
use futex_sys::MemoryView;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// What is shown. This is the JSON too, so docs/cli.md describes each field.
#[derive(Debug, Serialize)]
struct Shown {
    object: String,
    /// False for a memfd, and after the last name was removed.
    has_name: bool,
    #[serde(flatten)]
    metadata: Metadata,
    range: Part,
    words: Vec<Word>,
    words_with_waiters: u64,
    /// True if there may be more words than `words` has.
    is_cut: bool,
    not_read: Option<Part>,
    not_counted: Option<Part>,
    /// Why counting ended early.
    error: Option<String>,
    /// False if there may be pages that were not looked into (huge pages only).
    knows_pages: bool,
    processes: Vec<Holder>,
    hidden_processes: usize,
}

#[derive(Debug, Serialize)]
struct Word {
    offset: usize,
    value: u32,
    /// `None` if they were not counted, or can't be.
    waiters: Option<u32>,
    /// True if threads wait for the word as for a lock with priority inheritance, which are not counted.
    is_lock: bool,
    sleepers: Vec<Asleep>,
    /// Waiters that are not among the sleepers.
    unattributed: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Asleep {
    pid: u32,
    tid: u32,
    command: String,
    state: State,
    /// False for a thread that is stopped in its wait, which a wake does not reach before it continues.
    is_queued: bool,
}

pub(crate) fn run(args: &Show) -> Result<(), Failure> {
    let object = &args.object;
    let fd = args.object.open_to_look()?;
    let cannot = |error| Failure::new(format_args!("cannot show {object}: {error}"));
    let stat = stat_open(&fd).map_err(cannot)?;
    let view = MemoryView::from_fd(fd).map_err(cannot)?;
    let id = ObjectId::of(&view, view.address()).map_err(cannot)?;
    let range =
        within(args.range, view.len()).map_err(|why| Failure::new(format_args!("cannot show {object}: {why}")))?;

    let snapshot = Snapshot::take(Sleepers::Of(&|file| file == id.mapped));
    let mut sleepers = sleepers_by_word(&snapshot, id);
    let is_one = range.len() == 4;
    let limits =
        Limits { range: range.clone(), words: args.max, read: args.limit.max(LEAST_READING), count: args.limit };
    // One word that is asked for is shown whatever it has.
    let known = sleepers.keys().copied().chain(is_one.then_some(range.start));
    let found = scan(&view, &limits, known);

    let users = Users::load();
    let words = found.words.into_iter().map(|(offset, word)| {
        Word::new(offset, word.value, word.waiters, sleepers.remove(&offset).unwrap_or_default())
    });
    let shown = Shown {
        object: exact(object),
        has_name: stat.stx_nlink > 0,
        metadata: Metadata::of(&stat, &users),
        range: range.into(),
        words: words.collect(),
        words_with_waiters: found.waiting,
        is_cut: found.is_cut,
        not_read: found.unread.map(Part::from),
        not_counted: found.uncounted.map(Part::from),
        error: found.error,
        knows_pages: view.knows_pages().unwrap_or(true),
        processes: snapshot.index().users_of(id).map(|process| Holder::of(process, id, &users)).collect(),
        hidden_processes: snapshot.hidden,
    };
    if let Some(problem) = &snapshot.problem {
        say(problem);
    }
    if args.json { output::json(&shown) } else { output::text(text::of(&shown)) }
}

/// Values are read for this long although less time is given for counting: at gigabytes per second, that is all of most objects.
const LEAST_READING: Duration = Duration::from_secs(1);

/// The part of an object of `len` bytes that a range means.
fn within(range: Option<Range>, len: usize) -> Result<std::ops::Range<usize>, String> {
    let (start, end) = range.map_or((0, None), |range| (range.start, range.end));
    let end = end.unwrap_or(len).min(len);
    if start.checked_add(4).is_some_and(|first| first <= end) {
        return Ok(start..end);
    }
    Err(format!("there is no word at offset {start:#x}, because it has {len} bytes"))
}

fn sleepers_by_word(snapshot: &Snapshot, id: ObjectId) -> BTreeMap<usize, Vec<&Sleeper>> {
    let mut words = BTreeMap::<usize, Vec<_>>::new();
    for sleeper in snapshot.processes.iter().flat_map(|process| &process.sleepers) {
        if let (true, Ok(offset)) = (sleeper.file == id.mapped, usize::try_from(sleeper.offset)) {
            words.entry(offset).or_default().push(sleeper);
        }
    }
    words
}

impl Word {
    fn new(offset: usize, value: u32, waiters: Waiters, sleepers: Vec<&Sleeper>) -> Self {
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
