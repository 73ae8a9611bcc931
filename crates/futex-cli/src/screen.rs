//! How `watch` shows changes: as lines, as JSON records, or on a terminal as a table that changes in place.

use crate::failure::Failure;
use crate::output;
use humantime::format_rfc3339_micros;
use rustix::termios::tcgetwinsize;
use serde::{Serialize, Serializer};
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, SystemTime};
use tokio::task::yield_now;
use tokio::time::sleep;

/// Time from one table to the next, in which nobody could read it.
const FRAME: Duration = Duration::from_millis(50);

/// Columns of the widest table: two numbers of 10 digits, an offset of 12, a hexadecimal number, a time, and what is between
/// them.
const WIDTH: u16 = 78;

/// A new value of a word, when it was seen.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Change {
    #[serde(serialize_with = "rfc3339")]
    pub(crate) time: SystemTime,
    pub(crate) offset: usize,
    /// `None` for the first value.
    pub(crate) old: Option<u32>,
    pub(crate) new: u32,
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_rfc3339_micros(*time))
}

pub(crate) enum Screen {
    /// One line per change. The offsets take up to this number of digits.
    Lines(usize),
    Json,
    Table(Table),
}

impl Screen {
    /// A table if standard output is a terminal that has room for it.
    pub(crate) fn new(json: bool, offsets: &[usize]) -> Self {
        let digits = offsets.iter().map(|offset| offset.to_string().len()).max().unwrap_or_default();
        if json {
            Self::Json
        } else if has_room(offsets.len() + 1) {
            Self::Table(Table {
                rows: offsets.iter().map(|&offset| Row { offset, latest: None }).collect(),
                is_drawn: false,
            })
        } else {
            Self::Lines(digits)
        }
    }

    pub(crate) fn show(&mut self, changes: &[Change]) -> Result<(), Failure> {
        match self {
            Self::Lines(digits) => output::text(changes.iter().fold(String::new(), |mut text, change| {
                let Change { offset, old, new, .. } = change;
                let time = format_rfc3339_micros(change.time);
                let old = old.map_or_else(String::new, |old| format!("{old} -> "));
                let _ = writeln!(text, "{time}  {offset:>digits$}  {old}{new}");
                text
            })),
            Self::Json => changes.iter().try_for_each(output::json_line),
            Self::Table(table) => table.show(changes),
        }
    }

    /// Leaves the table as it is, for another one below it: something else was written to the terminal.
    pub(crate) fn begin_anew(&mut self) {
        if let Self::Table(table) = self {
            table.is_drawn = false;
        }
    }

    /// Lets other things happen, and time for people to read.
    pub(crate) async fn pause(&self) {
        match self {
            Self::Lines(_) | Self::Json => yield_now().await,
            Self::Table(_) => sleep(FRAME).await,
        }
    }
}

/// True for a terminal with more lines than this, on which no line of the table is wrapped: it could not be drawn over.
fn has_room(lines: usize) -> bool {
    let can_move = std::env::var_os("TERM").is_none_or(|name| name != "dumb");
    let is_large =
        || tcgetwinsize(io::stdout()).is_ok_and(|size| usize::from(size.ws_row) > lines && size.ws_col >= WIDTH);
    can_move && io::stdout().is_terminal() && is_large()
}

pub(crate) struct Table {
    rows: Vec<Row>,
    is_drawn: bool,
}

struct Row {
    offset: usize,
    latest: Option<Change>,
}

impl Table {
    fn show(&mut self, changes: &[Change]) -> Result<(), Failure> {
        for row in &mut self.rows {
            let change = changes.iter().find(|change| change.offset == row.offset);
            row.latest = change.copied().or(row.latest);
        }
        let text = output::aligned(&["OFFSET", "VALUE", "HEX", "BEFORE", "CHANGED"], self.rows.iter().map(Row::cells));
        // Over the table before: up to its first line, and what is below it erased.
        let cursor = if self.is_drawn { format!("\x1b[{}A\x1b[J", self.rows.len() + 1) } else { String::new() };
        self.is_drawn = true;
        output::terminal(&cursor, &text)
    }
}

impl Row {
    fn cells(&self) -> [String; 5] {
        let value = self.latest.map(|change| change.new);
        // The first value is not a change.
        let change = self.latest.and_then(|change| Some((change.old?, change.time)));
        let or_none = |cell: Option<String>| cell.unwrap_or_else(|| "-".to_owned());
        [
            self.offset.to_string(),
            or_none(value.map(|value| value.to_string())),
            or_none(value.map(|value| format!("{value:#x}"))),
            or_none(change.map(|(old, _)| old.to_string())),
            or_none(change.map(|(_, time)| format_rfc3339_micros(time).to_string())),
        ]
    }
}
