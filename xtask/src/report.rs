//! The line that is printed for each row, and the summary at the end.

use crate::error::Error;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// How a row ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// A row that has ended.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    pub(crate) time: Duration,
    pub(crate) tests: Tests,
}

impl Report {
    /// Prints the row's line, and a line for each reason that tests were skipped for.
    pub(crate) fn print(&self) {
        print(self);
        for (reason, count) in &self.tests.skips {
            let times = if *count > 1 { format!(" ({count} times)") } else { String::new() };
            print(format_args!("         {reason}{times}"));
        }
    }
}

/// The row's line.
impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (outcome, reason) = match &self.outcome {
            Outcome::Passed => ("ok", ""),
            Outcome::Failed(reason) => ("FAILED", reason.as_str()),
            Outcome::Skipped(reason) => return write!(f, "{:<8} {:<20}{:>7}    {reason}", "skipped", self.name, "-"),
        };
        write!(f, "{outcome:<8} {:<20}{:>7.1} s", self.name, self.time.as_secs_f64())?;
        if self.tests.ran > 0 {
            write!(f, "  {}", counted(self.tests.ran, "test"))?;
        }
        if self.tests.ignored > 0 {
            write!(f, " ({} ignored)", self.tests.ignored)?;
        }
        if !self.tests.skips.is_empty() {
            write!(f, " ({})", counted(self.tests.skips.values().sum(), "skip"))?;
        }
        if reason.is_empty() { Ok(()) } else { write!(f, "  {reason}") }
    }
}

fn counted(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// The tests in a row's output.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tests {
    /// Number of tests that passed or failed.
    pub(crate) ran: usize,
    /// Number of tests marked with `#[ignore]`, and of doctests with `ignore`.
    pub(crate) ignored: usize,
    /// Number of lines `SKIPPED: reason`, for each reason. A test can print several of them, and counts as run.
    pub(crate) skips: BTreeMap<String, usize>,
}

impl Tests {
    /// Adds the tests in an output of `cargo test`, or of a test program.
    pub(crate) fn add<'a>(&mut self, output: impl IntoIterator<Item = &'a str>) {
        for line in output {
            if let Some(result) = line.strip_prefix("test result: ") {
                self.ran += number_before(result, " passed") + number_before(result, " failed");
                self.ignored += number_before(result, " ignored");
            } else if let Some(skip) = skip_in(line) {
                *self.skips.entry(skip.to_owned()).or_default() += 1;
            }
        }
    }
}

/// The skip in a line. It follows `test NAME ... ` if one thread runs the tests and the output isn't captured.
fn skip_in(line: &str) -> Option<&str> {
    let start = if line.starts_with("SKIPPED: ") { 0 } else { line.find(" ... SKIPPED: ")? + " ... ".len() };
    line.get(start..)
}

/// The number in front of `what`, or 0.
fn number_before(text: &str, what: &str) -> usize {
    let Some((before, _)) = text.split_once(what) else { return 0 };
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Prints a line. It replaces what [`print_running`] printed.
pub(crate) fn print(line: impl Display) {
    write(format_args!("{}{line}\n", if io::stdout().is_terminal() { ERASE } else { "" }));
}

/// Shows on a terminal what runs now.
pub(crate) fn print_running(name: impl Display) {
    if io::stdout().is_terminal() {
        write(format_args!("{ERASE}running  {name} …"));
    }
}

fn write(text: fmt::Arguments<'_>) {
    if cfg!(test) {
        print!("{text}"); // which the test harness captures
        return;
    }
    // The rows go on if standard output is closed. The exit status still says how they ended.
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_fmt(text).and_then(|()| stdout.flush());
}

/// Erases the line that a terminal's cursor is in.
const ERASE: &str = "\r\x1b[K";

/// Prints the summary. Returns an error if a row has failed.
pub(crate) fn finish(reports: &[Report]) -> Result<(), Error> {
    print(summary(reports));
    let is_failed = |report: &Report| matches!(report.outcome, Outcome::Failed(_));
    if reports.iter().any(is_failed) { Err(Error::Reported) } else { Ok(()) }
}

/// The rows that did not pass, the total, and the number of rows for each outcome. CI reads the last line.
fn summary(reports: &[Report]) -> String {
    let not_passed = reports.iter().filter(|report| report.outcome != Outcome::Passed);
    let not_passed: String = not_passed.map(|report| format!("{report}\n")).collect();
    let time: Duration = reports.iter().map(|report| report.time).sum();
    let tests = reports.iter().map(|report| report.tests.ran).sum();
    let count = |is: fn(&Outcome) -> bool| reports.iter().filter(|report| is(&report.outcome)).count();
    format!(
        "\n{not_passed}{:<29}{:>7.1} s  {}\n\n{} passed, {} failed, {} skipped",
        "total",
        time.as_secs_f64(),
        counted(tests, "test"),
        count(|outcome| matches!(outcome, Outcome::Passed)),
        count(|outcome| matches!(outcome, Outcome::Failed(_))),
        count(|outcome| matches!(outcome, Outcome::Skipped(_))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(name: &str, outcome: Outcome, tests: Tests) -> Report {
        Report { name: name.to_owned(), outcome, time: Duration::from_millis(12_340), tests }
    }

    #[test]
    fn the_summary_repeats_only_rows_that_did_not_pass() {
        let reports = [
            report("fmt", Outcome::Passed, Tests::default()),
            report("sys", Outcome::Passed, Tests { ran: 9, ..Tests::default() }),
            report("core", Outcome::Failed("exit status: 101".into()), Tests::default()),
            report("miri", Outcome::Skipped("no Miri".into()), Tests::default()),
        ];
        let expected = "
FAILED   core                   12.3 s  exit status: 101
skipped  miri                      -    no Miri
total                           49.4 s  9 tests

2 passed, 1 failed, 1 skipped";
        assert_eq!(summary(&reports), expected);
        let passed = "\ntotal                           24.7 s  9 tests\n\n2 passed, 0 failed, 0 skipped";
        assert_eq!(summary(&reports[..2]), passed);
        assert!(finish(&reports[..2]).is_ok() && finish(&reports).is_err());
    }

    #[test]
    fn a_row_has_one_line() {
        let skips = [("SKIPPED: no cc".to_owned(), 2), ("SKIPPED: no python3".to_owned(), 1)].into();
        assert_eq!(
            report("uring", Outcome::Passed, Tests { ran: 41, ignored: 1, skips }).to_string(),
            "ok       uring                  12.3 s  41 tests (1 ignored) (3 skips)"
        );
    }

    #[test]
    fn tests_and_skips_are_counted_over_all_test_programs() {
        let output = "\
running 3 tests
test a_wake_reaches_a_child ... ok
successes:

---- a_wake_from_c stdout ----
SKIPPED: no C compiler: cc was not found

test a_wake_from_python ... SKIPPED: no python3
SKIPPED: no python3
test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s
test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 4 filtered out; finished in 1.00s
a line that contains SKIPPED: is not a skip
";
        let mut tests = Tests::default();
        tests.add(output.lines());
        let skips = [("SKIPPED: no C compiler: cc was not found".into(), 1), ("SKIPPED: no python3".into(), 2)];
        assert_eq!(tests, Tests { ran: 15, ignored: 1, skips: skips.into() });
    }
}
