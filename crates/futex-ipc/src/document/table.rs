//! The tables of the document.

/// A row of a table of fields.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) offset: usize,
    pub(super) bytes: usize,
}

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ipc-format.md");
    std::fs::read_to_string(path).expect("the document of the format")
}

/// The cells of the first table that begins at or behind a line that begins with `mark`, without its head.
#[track_caller]
pub(super) fn table(mark: &str) -> Vec<Vec<String>> {
    let document = document();
    let mut lines =
        document.lines().skip_while(|line| !line.starts_with(mark)).skip_while(|line| !line.starts_with('|'));
    assert!(lines.next().is_some() && lines.next().is_some(), "there is no table at {mark:?}");
    let rows = lines.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// A number in decimal, or in hexadecimal with `0x`.
#[track_caller]
pub(super) fn number(text: &str) -> u64 {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.unwrap_or_else(|_| panic!("{text:?} is not a number"))
}

/// The fields of a structure: the table with the columns offset, bytes and field behind a heading.
#[track_caller]
pub(super) fn fields(heading: &str) -> Vec<Field> {
    fields_of_values(heading, 0)
}

/// As [`fields`], of an object whose values have *n* bytes. Of the records, it has the first one.
#[track_caller]
pub(super) fn fields_of_values(heading: &str, n: usize) -> Vec<Field> {
    let sum = |cell: &str| -> usize {
        let parts = cell.split(" + ").map(|part| match part {
            "*n*" => n,
            "*r*" => (32 + 2 * n).next_multiple_of(128),
            "128 × slots" => 8,
            _ => number(part) as usize,
        });
        parts.sum()
    };
    let rows = table(heading).into_iter();
    rows.map(|row| Field { name: row[2].trim_matches('`').to_owned(), offset: sum(&row[0]), bytes: sum(&row[1]) })
        .collect()
}
