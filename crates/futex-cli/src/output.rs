//! Text for people, and JSON.

use crate::failure::Failure;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use std::ffi::OsStr;
use std::fmt;
use std::io::{self, Write as _};

/// Writes text to standard output at once. Its colours are left out if standard output is not a terminal.
pub(crate) fn text(text: impl fmt::Display) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    stdout.write_all(text.to_string().as_bytes()).and_then(|()| stdout.flush()).map_err(cannot_write)
}

/// [`text`] and the end of the line.
pub(crate) fn line(line: impl fmt::Display) -> Result<(), Failure> {
    text(format_args!("{line}\n"))
}

/// Writes text to a terminal, after what moves its cursor. Colours are left out if the user wants none (`NO_COLOR`).
pub(crate) fn terminal(cursor: &str, text: &str) -> Result<(), Failure> {
    let stdout = io::stdout();
    let text = match anstream::AutoStream::choice(&stdout) {
        anstream::ColorChoice::Never => anstream::adapter::strip_str(text).to_string(),
        _ => text.to_owned(),
    };
    let mut stdout = stdout.lock();
    stdout.write_all(format!("{cursor}{text}").as_bytes()).and_then(|()| stdout.flush()).map_err(cannot_write)
}

/// Writes one JSON document.
pub(crate) fn json(document: &impl Serialize) -> Result<(), Failure> {
    line(serde_json::to_string_pretty(document).map_err(io::Error::from)?)
}

/// Writes a JSON document as one line, for a stream of them.
pub(crate) fn json_line(document: &impl Serialize) -> Result<(), Failure> {
    line(serde_json::to_string(document).map_err(io::Error::from)?)
}

/// Writes [`aligned`] rows.
pub(crate) fn table<R: IntoIterator<Item = String>>(
    header: &[&str],
    rows: impl IntoIterator<Item = R>,
) -> Result<(), Failure> {
    text(aligned(header, rows))
}

/// A bold header and rows of one line each, without borders. Columns of numbers are aligned at their ends.
pub(crate) fn aligned<R: IntoIterator<Item = String>>(header: &[&str], rows: impl IntoIterator<Item = R>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    for index in 0..header.len() {
        let mut cells = table.column_cells_iter(index).flatten().map(|cell| cell.content()).peekable();
        let has_numbers = cells.peek().is_some() && cells.all(|cell| is_number(&cell));
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
            if has_numbers {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    let lines = table.trim_fmt();
    let (first, others) = lines.split_once('\n').unwrap_or((&lines, ""));
    let end = if others.is_empty() { "" } else { "\n" };
    format!("\x1b[1m{first}\x1b[0m\n{others}{end}")
}

/// True for what is aligned as numbers are: `17`, `0x40`, `1.5 MiB`, and `-` for none.
fn is_number(cell: &str) -> bool {
    let has_other_signs = || !cell.chars().all(|sign| sign.is_alphanumeric() || matches!(sign, '.' | ' '));
    cell == "-" || cell.starts_with(|first: char| first.is_ascii_digit()) && !has_other_signs()
}

/// A name or a path as one line can show it: other processes choose them, and may put in what moves the cursor.
pub(crate) fn printable(name: impl AsRef<OsStr>) -> String {
    let name = name.as_ref().to_string_lossy();
    if name.contains(garbles) { name.escape_debug().to_string() } else { name.into_owned() }
}

/// True for what moves the cursor, and for what turns the direction of the text after it around.
fn garbles(sign: char) -> bool {
    let is_direction =
        matches!(sign, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    sign.is_control() || is_direction || matches!(sign, '\u{2028}' | '\u{2029}')
}

fn cannot_write(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::NoReader,
        _ => Failure::new(format_args!("cannot write to standard output: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_numbers_are_aligned_at_their_ends() {
        let rows = [["jobs", "4096", "1.5 MiB", "-"], ["a longer name", "8", "3 B", "12"]];
        let text = aligned(&["NAME", "LENGTH", "MEMORY", "AGE"], rows.map(|row| row.map(String::from)));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "\x1b[1mNAME           LENGTH   MEMORY  AGE\x1b[0m");
        assert_eq!(lines[1], "jobs             4096  1.5 MiB    -");
        assert_eq!(lines[2], "a longer name       8      3 B   12");
        assert!(text.ends_with("12\n"));
    }

    #[test]
    fn a_table_without_rows_is_its_header() {
        assert_eq!(aligned(&["A", "B"], [[]; 0]), "\x1b[1mA  B\x1b[0m\n");
    }

    #[test]
    fn a_name_that_moves_the_cursor_is_shown_with_escapes() {
        assert_eq!(printable("jobs é"), "jobs é");
        assert_eq!(printable("a\x1b[2J\n"), "a\\u{1b}[2J\\n");
        // From a right-to-left override on, a terminal would show the rest of the line backwards.
        assert_eq!(printable("a\u{202e}b\u{2028}"), "a\\u{202e}b\\u{2028}");
    }
}
