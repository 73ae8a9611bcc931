//! What `ls` and `show` say about objects and processes.

use crate::object::Object;
use crate::output::{aligned, printable};
use crate::proc::state::State;
use crate::proc::users::Users;
use crate::proc::{ObjectId, Process, REFUSED_TO_ROOT};
use rustix::fs::{Statx, StatxFlags};
use serde::Serialize;
use std::ops::Range;
use std::time::{Duration, SystemTime};

/// The metadata of an object. `None` is what can't be read.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Metadata {
    pub(crate) length_bytes: Option<u64>,
    pub(crate) allocated_bytes: Option<u64>,
    pub(crate) owner: Option<String>,
    pub(crate) owner_uid: Option<u32>,
    /// Four octal digits.
    pub(crate) mode: Option<String>,
    /// Since the object was made. Some file systems do not keep that.
    pub(crate) age_seconds: Option<u64>,
}

impl Metadata {
    pub(crate) fn of(stat: &Statx, users: &Users) -> Self {
        let has_birth = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::BTIME);
        let birth = u64::try_from(stat.stx_btime.tv_sec).ok().filter(|_| has_birth);
        let age = |birth| (SystemTime::UNIX_EPOCH + Duration::from_secs(birth)).elapsed().ok();
        Self {
            length_bytes: Some(stat.stx_size),
            // In units of 512 bytes, `statx(2)`.
            allocated_bytes: Some(stat.stx_blocks.saturating_mul(512)),
            owner: users.name(stat.stx_uid).map(str::to_owned),
            owner_uid: Some(stat.stx_uid),
            mode: Some(format!("{:04o}", stat.stx_mode & 0o7777)),
            age_seconds: birth.and_then(age).map(|age| age.as_secs()),
        }
    }

    /// The owner's name or number.
    pub(crate) fn owner_text(&self) -> String {
        let number = || self.owner_uid.map_or_else(unknown, |uid| uid.to_string());
        self.owner.as_ref().map_or_else(number, printable)
    }

    pub(crate) fn age_text(&self) -> String {
        self.age_seconds.map_or_else(unknown, age)
    }
}

/// An object as the command line takes it, for JSON. Bytes that are not UTF-8 are replaced.
pub(crate) fn exact(object: &Object) -> String {
    match object {
        Object::Name(name) => name.to_string_lossy().into_owned(),
        Object::Path(path) => path.to_string_lossy().into_owned(),
        Object::Descriptor { pid, fd } => format!("{pid}:{fd}"),
    }
}

/// What stands for a value that can't be read.
pub(crate) fn unknown() -> String {
    "-".to_owned()
}

/// A process that maps an object or has it open.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    pub(crate) command: String,
    /// What the process was started with. It may have changed that. `None` if it has ended or has none.
    pub(crate) command_line: Option<Vec<String>>,
    pub(crate) state: State,
    pub(crate) user: Option<String>,
    pub(crate) user_uid: Option<u32>,
    /// True if the object is mapped, and not only open.
    pub(crate) is_mapped: bool,
    /// True if it is mapped for writing.
    pub(crate) is_writable: bool,
    /// The descriptors that it is open with.
    pub(crate) descriptors: Vec<u32>,
    /// True if the process has a ring of io_uring, whose waits `/proc` does not show.
    pub(crate) has_ring: bool,
    /// True if it was asked what its threads wait for, and that can't be seen.
    pub(crate) hides_threads: bool,
}

impl Holder {
    pub(crate) fn of(process: &Process, object: ObjectId, users: &Users) -> Self {
        Self {
            pid: process.pid,
            command: process.command.clone(),
            command_line: process.command_line(),
            state: process.state,
            user: process.uid.and_then(|uid| users.name(uid)).map(str::to_owned),
            user_uid: process.uid,
            is_mapped: process.maps_of(object).next().is_some(),
            is_writable: process.maps_of(object).any(|map| map.is_writable),
            descriptors: process.descriptors_of(object).collect(),
            has_ring: process.has_ring,
            hides_threads: process.hides_threads,
        }
    }

    /// `1234 worker`, and what is not as usual.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{} {}", self.pid, printable(&self.command));
        if !self.is_mapped {
            text.push_str(" (open only)");
        }
        if self.state.is_halted() {
            text.push_str(&format!(" ({})", self.state));
        }
        text
    }
}

/// Says that there are processes that could not be inspected, and which, if they are few.
pub(crate) fn hidden(processes: &[u32]) -> Option<String> {
    let who = match processes {
        [] => return None,
        [pid] => format!("process {pid}"),
        few @ [_, _, ..] if few.len() <= LISTED => format!("{} processes ({})", few.len(), list(few, u32::to_string)),
        many => format!("{} processes", many.len()),
    };
    let why = if rustix::process::geteuid().is_root() { REFUSED_TO_ROOT } else { "; to see more, run it as root" };
    Some(format!("{who} could not be inspected, for lack of permission{why}"))
}

/// A part of an object, in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Part {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl From<Range<usize>> for Part {
    fn from(range: Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

/// How many of a kind are named.
const LISTED: usize = 5;

/// Some of them, and how many more.
pub(crate) fn list<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
    let mut texts: Vec<_> = items.iter().take(LISTED).map(text).collect();
    if items.len() > LISTED {
        texts.push(format!("{} more", items.len() - LISTED));
    }
    texts.join(", ")
}

/// Bytes, with a unit if none is lost.
pub(crate) fn size(bytes: u64) -> String {
    match [(30, "G"), (20, "M"), (10, "K")].iter().find(|(bits, _)| bytes != 0 && bytes % (1 << bits) == 0) {
        Some((bits, unit)) => format!("{}{unit}", bytes >> bits),
        None => bytes.to_string(),
    }
}

/// Seconds in the largest unit of which there is a whole one.
pub(crate) fn age(seconds: u64) -> String {
    match [(86_400, "d"), (3_600, "h"), (60, "m")].iter().find(|(unit, _)| seconds >= *unit) {
        Some((unit, letter)) => format!("{}{letter}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

/// A table, with the rows in a colour that tell of a process that is stopped, traced or a zombie.
pub(crate) fn table_with_warnings(header: &[&str], rows: Vec<(Vec<String>, bool)>) -> String {
    let (rows, warnings): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    let text = aligned(header, rows);
    let has_warning = |line: usize| line.checked_sub(1).and_then(|row| warnings.get(row)) == Some(&true);
    let line = |(number, line)| {
        if has_warning(number) { format!("\x1b[33m{line}\x1b[0m\n") } else { format!("{line}\n") }
    };
    text.lines().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_are_short_and_exact() {
        let sizes = [0, 1, 1023, 4096, 6 << 20, (1 << 30) + 1, 1 << 40].map(size);
        assert_eq!(sizes, ["0", "1", "1023", "4K", "6M", "1073741825", "1024G"]);
        assert_eq!([0, 59, 60, 7_199, 90_000].map(age), ["0s", "59s", "1m", "1h", "1d"]);
    }

    #[test]
    fn processes_that_are_hidden_are_named_if_they_are_few() {
        let begins = |pids: &[u32], text: &str| hidden(pids).unwrap().starts_with(text);
        assert_eq!(hidden(&[]), None);
        assert!(begins(&[1], "process 1 could not be inspected, for lack of permission"));
        assert!(begins(&[1, 7], "2 processes (1, 7) could not be inspected"));
        assert!(begins(&[1, 2, 3, 4, 5, 6], "6 processes could not be inspected"));
    }

    #[test]
    fn a_long_list_is_cut() {
        let text = |n: &i32| n.to_string();
        assert_eq!(list(&[1, 2], text), "1, 2");
        assert_eq!(list(&[1, 2, 3, 4, 5, 6, 7], text), "1, 2, 3, 4, 5, 2 more");
    }

    #[test]
    fn rows_with_a_warning_have_a_colour() {
        let row = |text: &str, warns| (vec![text.to_owned()], warns);
        let text = table_with_warnings(&["STATE"], vec![row("sleeping", false), row("stopped", true)]);
        assert_eq!(text, "\x1b[1mSTATE\x1b[0m\nsleeping\n\x1b[33mstopped\x1b[0m\n");
    }
}
