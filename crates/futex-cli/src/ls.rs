//! The command `ls`.

mod objects;

use self::objects::{Kind, Listing, Seen};
use crate::about::{Holder, Metadata, Part, exact, hidden, list, size, table_with_warnings, unknown};
use crate::args::Ls;
use crate::failure::{Failure, say};
use crate::output::{self, printable};
use crate::proc::maps::FileId;
use crate::proc::stat::stat_open;
use crate::proc::users::Users;
use crate::proc::{Sleepers, Snapshot};
use crate::region::Summary;
use crate::scan::{Limits, scan};
use futex_ipc::Inspection;
use futex_sys::MemoryView;
use serde::Serialize;
use std::time::{Duration, Instant};

/// A line of the list. This is the JSON too, so docs/cli.md describes each field.
#[derive(Debug, Serialize)]
struct Listed {
    /// The object as other commands take it. `None` if this user can't reach it.
    object: Option<String>,
    kind: Kind,
    /// The path or the name that it has or had.
    name: String,
    #[serde(flatten)]
    metadata: Metadata,
    words_with_waiters: Option<u64>,
    not_counted: Option<Part>,
    /// Why words were not counted.
    error: Option<String>,
    /// What it has if it is a region of futex-ipc.
    region: Option<Summary>,
    /// Why that is not known.
    region_error: Option<String>,
    processes: Vec<Holder>,
}

pub(crate) fn run(args: &Ls) -> Result<(), Failure> {
    let sleepers = if args.waiters { Sleepers::Of(&|_| true) } else { Sleepers::None };
    let snapshot = Snapshot::take(sleepers);
    let index = snapshot.index();
    let Listing { objects, problems } = objects::find(&snapshot, &index, args.all);
    let users = Users::load();
    let start = Instant::now();
    let total = objects.len();
    let mut listed = Vec::with_capacity(total);
    for (done, seen) in objects.into_iter().enumerate() {
        let mut line = Listed {
            object: seen.object.as_ref().map(exact),
            kind: seen.kind,
            name: seen.name.to_string_lossy().into_owned(),
            metadata: seen.stat.as_ref().map(|stat| Metadata::of(stat, &users)).unwrap_or_default(),
            words_with_waiters: None,
            not_counted: None,
            error: None,
            region: None,
            region_error: None,
            processes: index.users_of(seen.id).map(|process| Holder::of(process, seen.id, &users)).collect(),
        };
        // Reading an object in memory waits for nobody.
        if seen.is_memory && line.metadata.length_bytes != Some(0) {
            inspect(&mut line, &seen);
        }
        if args.waiters && line.metadata.length_bytes != Some(0) {
            // Each of the objects that are left gets the same part of the time that is left.
            let left = args.limit.saturating_sub(start.elapsed());
            count(&mut line, &seen, &snapshot, left / u32::try_from(total - done).unwrap_or(u32::MAX));
        }
        listed.push(line);
    }
    for problem in problems.into_iter().chain(snapshot.problem).chain(hidden(&snapshot.hidden)) {
        say(problem);
    }
    if args.json { output::json(&listed) } else { output::text(text(&listed, args.waiters)) }
}

/// Finds out whether an object is a region. One that can't be opened is none.
fn inspect(line: &mut Listed, seen: &Seen) {
    let Ok(view) = open(seen) else { return };
    match Inspection::of(&view) {
        Ok(inspection) => line.region = inspection.as_ref().map(Summary::of),
        Err(error) => line.region_error = Some(error.to_string()),
    }
}

/// Opens an object, or says why that is not possible.
fn open(seen: &Seen) -> Result<MemoryView, String> {
    let opened = match &seen.object {
        Some(object) => object.open_to_look(),
        None => Err(Failure::new("it is nowhere open, and only root may open it by a mapping")),
    };
    match opened.and_then(|fd| Ok(MemoryView::from_fd(fd)?)) {
        // The name or the descriptor may be another object's by now.
        Ok(view) if !stat_open(&view).is_ok_and(|stat| FileId::of(&stat) == seen.id.open) => {
            Err("it was replaced while it was listed".to_owned())
        }
        Ok(view) => Ok(view),
        Err(Failure::Error(sentence)) => Err(sentence),
        Err(other) => Err(format!("{other:?}")),
    }
}

/// Counts the words of an object that have waiters.
fn count(line: &mut Listed, seen: &Seen, snapshot: &Snapshot, time: Duration) {
    let view = match open(seen) {
        Ok(view) => view,
        Err(sentence) => {
            line.error = Some(sentence);
            return;
        }
    };
    let known = snapshot.sleepers_on(seen.id).map(|(offset, _)| offset);
    // The words are kept so that those that are not 0 come first.
    let limits = Limits { range: 0..view.len(), words: 64 * 1024, read: time / 2, count: time / 2 };
    let found = scan(&view, &limits, known);
    line.words_with_waiters = Some(found.waiting);
    line.not_counted = found.uncounted.map(Part::from);
    line.error = found.error;
}

fn text(listed: &[Listed], with_waiters: bool) -> String {
    if listed.is_empty() {
        return "No shared object was found.\n".to_owned();
    }
    let mut header = vec!["OBJECT", "LENGTH", "ALLOCATED", "OWNER", "MODE", "AGE"];
    if with_waiters {
        header.push("WAITED ON");
    }
    header.extend(["WHAT", "PROCESSES"]);
    let bytes = |bytes: Option<u64>| bytes.map_or_else(unknown, size);
    let row = |line: &Listed| {
        let metadata = &line.metadata;
        let mut row = vec![
            line.object.as_ref().map_or_else(unknown, printable),
            bytes(metadata.length_bytes),
            bytes(metadata.allocated_bytes),
            metadata.owner_text(),
            metadata.mode.clone().unwrap_or_else(unknown),
            metadata.age_text(),
        ];
        if with_waiters {
            row.push(waited_on(line));
        }
        let kind = line.kind.text(&printable(&line.name));
        row.push(match (&line.region, &line.region_error) {
            (Some(region), _) => format!("{kind}, {}", region.text()),
            (None, Some(_)) => format!("{kind}, region that can't be read"),
            (None, None) => kind,
        });
        row.push(if line.processes.is_empty() { unknown() } else { list(&line.processes, Holder::text) });
        let has_dead = line.region.as_ref().is_some_and(Summary::has_dead);
        (row, has_dead || line.processes.iter().any(|holder| holder.state.is_halted()))
    };
    let mut text = table_with_warnings(&header, listed.iter().map(row).collect());
    if with_waiters {
        for line in listed {
            let name = printable(line.object.as_ref().unwrap_or(&line.name));
            if let Some(error) = &line.error {
                text.push_str(&format!("{name}: not all words were counted: {error}\n"));
            } else if let Some(Part { start, end }) = line.not_counted {
                text.push_str(&format!(
                    "{name}: the time was up: not all words of {start:#x}..{end:#x} were counted\n"
                ));
            }
        }
    }
    text
}

/// How many words have waiters: at least so many, if not all were counted.
fn waited_on(line: &Listed) -> String {
    let is_whole = line.not_counted.is_none() && line.error.is_none();
    match line.words_with_waiters {
        Some(count) if is_whole => count.to_string(),
        Some(count) => format!("{count} or more"),
        None => unknown(),
    }
}
