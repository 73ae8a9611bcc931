//! What is told about a row, and the closing table.

use std::fmt;
use std::time::Duration;

/// How a row ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// All that is told about a row that has ended.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    pub(crate) time: Duration,
    pub(crate) tests: Tests,
}

/// The row's line.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Passed => "ok",
            Outcome::Failed(_) => "FAILED",
            Outcome::Skipped(_) => "skipped",
        };
        write!(f, "{outcome:<8} {:<17}", self.name)?;
        let reason = match &self.outcome {
            Outcome::Passed => None,
            Outcome::Failed(reason) => Some(reason),
            Outcome::Skipped(reason) => return write!(f, "{:>7}    {reason}", "-"),
        };
        write!(f, "{:>7.1} s", self.time.as_secs_f64())?;
        if self.tests.ran > 0 {
            write!(f, "  {}", counted(self.tests.ran, ""))?;
        }
        if self.tests.ignored > 0 {
            write!(f, " ({})", counted(self.tests.ignored, " ignored"))?;
        }
        if !self.tests.skips.is_empty() {
            write!(f, " ({})", counted(self.tests.skips.len(), " skipped"))?;
        }
        reason.map_or(Ok(()), |reason| write!(f, "  {reason}"))
    }
}

fn counted(tests: usize, what: &str) -> String {
    format!("{tests} {}{what}", if tests == 1 { "test" } else { "tests" })
}

/// What a row's output says about its tests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tests {
    /// Tests that ran, whether they passed or failed.
    pub(crate) ran: usize,
    /// Tests marked with `#[ignore]`, and doctests with `ignore`.
    pub(crate) ignored: usize,
    /// The lines by which tests said that they were skipped. Such a test counts as run, too.
    pub(crate) skips: Vec<String>,
}

impl Tests {
    /// Reads the output of `cargo test`: the closing lines of its test programs, and the lines `SKIPPED: reason`.
    pub(crate) fn in_output(output: &str) -> Self {
        let mut tests = Self::default();
        for line in output.lines() {
            if let Some(result) = line.strip_prefix("test result: ") {
                tests.ran += number_before(result, " passed") + number_before(result, " failed");
                tests.ignored += number_before(result, " ignored");
            } else if let Some(skip) = skip_in(line) {
                tests.skips.push(skip.to_owned());
            }
        }
        tests
    }
}

/// The skip in a line; it may follow `test NAME ... ` where one thread runs the tests and the output isn't captured.
fn skip_in(line: &str) -> Option<&str> {
    let start = if line.starts_with("SKIPPED: ") { 0 } else { line.find(" ... SKIPPED: ")? + " ... ".len() };
    line.get(start..)
}

/// The number that stands in front of `what`, or 0.
fn number_before(text: &str, what: &str) -> usize {
    let Some((before, _)) = text.split_once(what) else { return 0 };
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The table of all rows, and the last line.
pub(crate) fn summary(reports: &[Report]) -> String {
    let mut text = format!("\n{:<8} {:<17}{:>9}\n", "outcome", "row", "time");
    for report in reports {
        text.push_str(&format!("{report}\n"));
    }
    let time: Duration = reports.iter().map(|report| report.time).sum();
    let tests: usize = reports.iter().map(|report| report.tests.ran).sum();
    text.push_str(&format!("{:<8} {:<17}{:>7.1} s  {}\n\n", "", "all", time.as_secs_f64(), counted(tests, "")));
    text.push_str(&last_line(reports));
    text
}

fn last_line(reports: &[Report]) -> String {
    let count = |is: fn(&Outcome) -> bool| reports.iter().filter(|report| is(&report.outcome)).count();
    format!(
        "{} passed, {} failed, {} skipped\n",
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
    fn the_last_line_counts_rows_and_stands_alone() {
        let reports = [
            report("fmt", Outcome::Passed, Tests::default()),
            report("sys", Outcome::Passed, Tests { ran: 9, ..Tests::default() }),
            report("core", Outcome::Failed("exit status: 101".into()), Tests::default()),
            report("miri", Outcome::Skipped("no Miri".into()), Tests::default()),
        ];
        assert_eq!(summary(&reports).lines().last(), Some("2 passed, 1 failed, 1 skipped"));
        assert!(summary(&reports).ends_with("skipped\n"));
        assert_eq!(summary(&[]).lines().last(), Some("0 passed, 0 failed, 0 skipped"));
    }

    #[test]
    fn a_row_has_one_line() {
        let skips = vec!["SKIPPED: no cc".to_owned(), "SKIPPED: no python3".to_owned()];
        let tests = Tests { ran: 41, ignored: 1, skips };
        assert_eq!(
            report("uring", Outcome::Passed, tests).to_string(),
            "ok       uring               12.3 s  41 tests (1 test ignored) (2 tests skipped)"
        );
        assert_eq!(
            report("clippy", Outcome::Failed("exit status: 101".into()), Tests::default()).to_string(),
            "FAILED   clippy              12.3 s  exit status: 101"
        );
        assert_eq!(
            report("miri", Outcome::Skipped("nightly has no miri".into()), Tests::default()).to_string(),
            "skipped  miri                   -    nightly has no miri"
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
test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s
test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 4 filtered out; finished in 1.00s
a line that only mentions SKIPPED: is none
";
        assert_eq!(
            Tests::in_output(output),
            Tests {
                ran: 15,
                ignored: 1,
                skips: vec!["SKIPPED: no C compiler: cc was not found".into(), "SKIPPED: no python3".into()],
            }
        );
        assert_eq!(Tests::in_output(""), Tests::default());
    }
}
