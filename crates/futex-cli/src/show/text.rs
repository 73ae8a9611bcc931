//! What `show` prints for people.

use super::shown::Shown;
use super::shown_word::{Asleep, Word};
use crate::about::{Holder, Part, hidden, list, size, table_with_warnings, unknown};
use crate::output::printable;
use crate::proc::state::State;
use crate::region::Region;

pub(super) fn of(shown: &Shown) -> String {
    let mut sections = vec![about(shown)];
    match &shown.region {
        Some(found) if shown.is_region_only => sections.extend(region(found)),
        _ if shown.words.is_empty() => sections.push(no_words(shown)),
        _ => sections.push(words(&shown.words)),
    }
    let notes = notes(shown);
    if !notes.is_empty() {
        sections.push(notes.iter().map(|note| format!("{note}\n")).collect());
    }
    sections.push(match shown.processes.is_empty() {
        true => "No process is seen that maps it or has it open.\n".to_owned(),
        false => processes(&shown.processes),
    });
    sections.join("\n")
}

fn region(region: &Region) -> Vec<String> {
    let mut sections = vec![region.about()];
    if !region.members.is_empty() {
        let header = ["MEMBER", "PID", "COMMAND", "STATE", "AGE", "WAITS FOR", "LABEL"];
        sections.push(table_with_warnings(&header, region.member_rows()));
    }
    let rows = region.object_rows(who);
    if !rows.is_empty() {
        sections.push(table_with_warnings(&["OBJECT", "KIND", "VALUES", "STATE", "WAITERS"], rows));
    }
    sections
}

/// What stands in the place of a table without rows. It says no more than what was read and counted.
fn no_words(shown: &Shown) -> String {
    let Part { start, end } = shown.range;
    let words = format!("All words of {start:#x}..{end:#x}");
    if shown.is_cut {
        "No word is shown, because --max is 0.\n".to_owned()
    } else if shown.error.is_some() {
        format!("Not all words of {start:#x}..{end:#x} were inspected. Those that were are 0, and have no waiters.\n")
    } else if shown.not_read.is_some() {
        format!("{words} that were read are 0.\n")
    } else if shown.not_counted.is_some() || !shown.knows_pages {
        format!("{words} are 0. Not all of them were inspected for waiters.\n")
    } else {
        format!("{words} are 0, and none has waiters.\n")
    }
}

fn about(shown: &Shown) -> String {
    let metadata = &shown.metadata;
    let bytes = |bytes: Option<u64>| bytes.map_or_else(unknown, size);
    let name = if shown.has_name { "" } else { ", without a name" };
    format!(
        "{}: {} bytes, {} allocated, owner {}, mode {}, age {}{name}\n",
        printable(&shown.object),
        bytes(metadata.length_bytes),
        bytes(metadata.allocated_bytes),
        metadata.owner_text(),
        metadata.mode.clone().unwrap_or_else(unknown),
        metadata.age_text(),
    )
}

fn words(words: &[Word]) -> String {
    let row = |word: &Word| {
        let waiters = word.waiters.map_or_else(unknown, |count| count.to_string());
        let warns = word.sleepers.iter().any(|sleeper| sleeper.state.is_halted());
        let columns = [
            format!("{:#x}", word.offset),
            word.value.to_string(),
            format!("{:#010x}", word.value),
            waiters,
            who(word),
        ];
        (columns.to_vec(), warns)
    };
    table_with_warnings(&["OFFSET", "VALUE", "HEX", "WAITERS", "WHO WAITS"], words.iter().map(row).collect())
}

fn who(word: &Word) -> String {
    let mut parts = Vec::new();
    if !word.sleepers.is_empty() {
        parts.push(list(&word.sleepers, sleeper));
    }
    if let Some(count @ 1..) = word.unattributed {
        parts.push(format!("{count} unattributed"));
    }
    parts.join(", ")
}

/// `1234/1236 worker`: process, thread and its name.
fn sleeper(sleeper: &Asleep) -> String {
    let Asleep { pid, tid, command, state, .. } = sleeper;
    let command = printable(command);
    match state {
        State::Sleeping => format!("{pid}/{tid} {command}"),
        _ if !sleeper.is_queued => format!("{pid}/{tid} {command} ({state}, so no wake reaches it)"),
        _ => format!("{pid}/{tid} {command} ({state})"),
    }
}

/// What the table does not say.
fn notes(shown: &Shown) -> Vec<String> {
    let part = |part: &Part| format!("{:#x}..{:#x}", part.start, part.end);
    let mut notes = Vec::new();
    if let Some(error) = &shown.error {
        notes.push(format!("Waiters were not counted further: {error}."));
    } else if let Some(cut) = &shown.not_counted {
        let part = part(cut);
        notes.push(format!("The time was up: not all words of {part} were counted. For more, use --limit or a range."));
    }
    if let Some(cut) = &shown.not_read {
        notes.push(format!(
            "The time was up: the values of {} were not read. For more, use --limit or a range.",
            part(cut)
        ));
    }
    match shown.words.len() {
        // `no_words` says so.
        0 => {}
        1 if shown.is_cut => notes.push("The table ends after 1 row. For more, use --max or a range.".to_owned()),
        count if shown.is_cut => {
            notes.push(format!("The table ends after {count} rows. For more, use --max or a range."));
        }
        _ => {}
    }
    if !shown.knows_pages {
        notes.push(
            "Huge pages that are all 0 were not looked into, because the kernel does not tell which exist.".to_owned(),
        );
    }
    let locks: Vec<_> = shown.words.iter().filter(|word| word.is_lock).collect();
    if !locks.is_empty() {
        let offsets = list(&locks, |word| format!("{:#x}", word.offset));
        notes.push(format!(
            "The waiters of {offsets} were not counted: they wait as for a lock with priority inheritance."
        ));
    }
    if shown.is_region_only && shown.region.as_ref().is_some_and(|region| !region.all_counted) {
        notes.push("Not all waiters were counted. For more, use --limit.".to_owned());
    }
    if shown.is_region_only && shown.has_name && shown.region.as_ref().is_some_and(|region| !region.has_living()) {
        notes.push(
            "No member is alive. The next process that opens the name replaces this region by a new, empty one."
                .to_owned(),
        );
    }
    if let Some(error) = &shown.region_error {
        notes.push(format!("Members and objects are not shown: {}.", printable(error)));
    }
    let of_region = shown.region.iter().filter(|_| shown.is_region_only).flat_map(|region| &region.waits);
    let mut all_words = shown.words.iter().chain(of_region.map(|wait| &wait.word));
    if all_words.any(|word| word.unattributed.is_some_and(|count| count > 0)) {
        notes.push(unattributed(shown));
    }
    for holder in shown.processes.iter().filter(|holder| holder.is_mapped) {
        let state = match holder.state {
            State::Stopped => "is stopped. It does nothing until it is continued (kill -CONT)",
            State::Traced => "is stopped by a debugger",
            _ => continue,
        };
        notes.push(format!("{} {} {state}.", holder.pid, printable(&holder.command)));
    }
    let hiding: Vec<_> = shown.processes.iter().filter(|holder| holder.hides_threads).collect();
    if !hiding.is_empty() {
        let names = list(&hiding, |holder| holder.text());
        notes.push(format!(
            "What the threads of {names} wait for can't be seen. Root can see it, except of a program of 32 bits; so can others, \
             if kernel.yama.ptrace_scope is 0."
        ));
    }
    notes.extend(hidden(&shown.hidden).map(|sentence| format!("Not all is known: {sentence}.")));
    notes
}

/// Who the waiters may be that no thread was found for.
fn unattributed(shown: &Shown) -> String {
    let candidates: Vec<_> = shown.processes.iter().filter(|holder| holder.is_mapped && holder.has_ring).collect();
    let rings = match candidates.len() {
        0 => "No process with a ring is seen that maps it",
        1 => "A process with a ring maps it",
        _ => "Processes with a ring map it",
    };
    let names = list(&candidates, |holder| holder.text());
    let colon = if names.is_empty() { "" } else { ": " };
    format!("unattributed: waits that no thread is seen in, as those of io_uring. {rings}{colon}{names}.")
}

fn processes(holders: &[Holder]) -> String {
    let row = |holder: &Holder| {
        let user = holder.user.clone().or_else(|| Some(holder.user_uid?.to_string()));
        let access = match (holder.is_mapped, holder.is_writable) {
            (true, true) => "mapped",
            (true, false) => "mapped read-only",
            (false, _) => "open",
        };
        let descriptors =
            if holder.descriptors.is_empty() { unknown() } else { list(&holder.descriptors, u32::to_string) };
        let columns = [
            holder.pid.to_string(),
            printable(&holder.command),
            holder.state.to_string(),
            user.map_or_else(unknown, printable),
            access.to_owned(),
            descriptors,
            if holder.has_ring { "yes".to_owned() } else { unknown() },
            holder.command_line.as_deref().map_or_else(unknown, command_line),
        ];
        (columns.to_vec(), holder.state.is_halted())
    };
    let header = ["PID", "COMMAND", "STATE", "USER", "ACCESS", "DESCRIPTORS", "RING", "COMMAND LINE"];
    table_with_warnings(&header, holders.iter().map(row).collect())
}

/// As much of a command line as a line of the table has room for.
fn command_line(arguments: &[String]) -> String {
    const ROOM: usize = 60;
    let text = arguments.iter().map(printable).collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(ROOM) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_cut_and_moves_no_cursor() {
        let line = |arguments: &[&str]| command_line(&arguments.iter().map(|&text| text.into()).collect::<Vec<_>>());
        assert_eq!(line(&["futex", "wait", "\u{1b}[2J", "0"]), "futex wait \\u{1b}[2J 0");
        assert_eq!(line(&["é".repeat(60).as_str()]), "é".repeat(60));
        assert_eq!(line(&["é".repeat(61).as_str()]), "é".repeat(60) + "…");
    }
}
