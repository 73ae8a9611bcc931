//! The command `show`.

mod shown;
pub(crate) mod shown_word;
mod text;

use self::shown::Shown;
use self::shown_word::Word;
use crate::about::{Holder, Metadata, Part, exact};
use crate::args::Show;
use crate::failure::{Failure, say};
use crate::proc::stat::stat_open;
use crate::proc::users::Users;
use crate::proc::{ObjectId, Sleepers, Snapshot};
use crate::region::Region;
use crate::scan::{Found, Limits, scan};
use crate::value::Range;
use crate::{output, word};
use futex_ipc::Inspection;
use futex_sys::MemoryView;
use std::collections::BTreeMap;
use std::time::Duration;

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
    let mut sleepers = BTreeMap::<usize, Vec<_>>::new();
    for (offset, sleeper) in snapshot.sleepers_on(id) {
        sleepers.entry(offset).or_default().push(sleeper);
    }
    let is_one = range.len() == 4;
    let limits =
        Limits { range: range.clone(), words: args.max, read: args.limit.max(LEAST_READING), count: args.limit };
    // One word that is asked for is shown whatever it has.
    let known = sleepers.keys().copied().chain(is_one.then_some(range.start));
    let (inspection, region_error) = match Inspection::of(&view) {
        Ok(inspection) => (inspection, None),
        Err(error) => (None, Some(error.to_string())),
    };
    // For people, the members and objects of a region say more than its words.
    let is_region_only = inspection.is_some() && args.range.is_none() && !args.json;
    let region = inspection.map(|inspection| Region::of(&inspection, &view, (&snapshot, id), &sleepers, args.limit));
    let found = if is_region_only { Found::default() } else { scan(&view, &limits, known) };

    let users = Users::load();
    let words = found.words.into_iter().map(|(offset, word)| {
        Word::new(offset, word.value, word.waiters, sleepers.remove(&offset).unwrap_or_default())
    });
    let shown = Shown {
        object: exact(object),
        has_name: stat.stx_nlink > 0,
        metadata: Metadata::of(&stat, &users),
        range: range.into(),
        region,
        region_error,
        is_region_only,
        words: words.collect(),
        words_with_waiters: found.waiting,
        is_cut: found.is_cut,
        not_read: found.unread.map(Part::from),
        not_counted: found.uncounted.map(Part::from),
        error: found.error,
        knows_pages: view.knows_pages().unwrap_or(true),
        processes: snapshot.index().users_of(id).map(|process| Holder::of(process, id, &users)).collect(),
        hidden: snapshot.hidden.clone(),
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
    Err(word::is_missing(start, len))
}
