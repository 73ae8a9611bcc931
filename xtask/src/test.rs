//! `cargo xtask test`: runs the matrix.

use crate::error::Error;
use crate::matrix::{self, Row};
use crate::report::{self, Outcome, Report, Tests};
use crate::step::FORBID_SKIPS;
use crate::{step, workspace};
use clap::builder::PossibleValuesParser;
use std::env;
use std::fs;
use std::time::{Duration, Instant};

/// Limit for a row. No row needs as long, and one that hangs must not stop the others.
const BOUND: Duration = Duration::from_secs(20 * 60);

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// List the rows and run none
    #[arg(long)]
    list: bool,
    /// Run this row; can be repeated
    #[arg(long, value_name = "ROW", value_parser = row_names())]
    only: Vec<String>,
    /// Fail instead of skipping a row or a test
    #[arg(long)]
    forbid_skips: bool,
}

fn row_names() -> PossibleValuesParser {
    PossibleValuesParser::new(matrix::rows(false).iter().map(|row| row.name))
}

/// Which skips are allowed. Any other skip is a failure of the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Skips {
    of_rows: bool,
    of_tests: bool,
}

impl Skips {
    /// The skips that the option and the environment allow. For tests, the environment overrides the option.
    fn allowed(forbid_skips: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let of_tests = match set(FORBID_SKIPS) {
            Some(forbid) => forbid == "0",
            None => !forbid_skips && set("CI").is_none(),
        };
        Self { of_rows: !forbid_skips, of_tests }
    }
}

pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let skips = Skips::allowed(options.forbid_skips, |name| env::var(name).ok());
    let rows = chosen(matrix::rows(!skips.of_tests), &options.only);
    if options.list {
        rows.iter().for_each(|row| report::print(format_args!("{:<17} {}", row.name, row.about)));
        return Ok(());
    }
    let reports: Vec<_> = rows.iter().map(|row| run_row(row, skips)).collect();
    report::finish(&reports)
}

/// The rows with these names, in the order of the matrix. All rows if there are no names.
fn chosen(mut rows: Vec<Row>, names: &[String]) -> Vec<Row> {
    rows.retain(|row| names.is_empty() || names.iter().any(|name| row.name == name));
    rows
}

/// Runs a row and prints how it ended.
fn run_row(row: &Row, skips: Skips) -> Report {
    report::print_running(row.name);
    let start = Instant::now();
    let (mut outcome, mut output, mut tests) = (Outcome::Passed, String::new(), Tests::default());
    match row.needs.iter().find_map(|need| need.missing()) {
        Some(reason) if skips.of_rows => outcome = Outcome::Skipped(reason),
        Some(reason) => outcome = Outcome::Failed(reason),
        None => {
            let log = workspace::log(row.name);
            let result = step::run(&row.steps, &log, BOUND);
            output = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
            tests.add(output.lines());
            if let Err(failure) = result {
                outcome = Outcome::Failed(failure);
            } else if row.has_tests && tests.ran == 0 {
                outcome = Outcome::Failed("it ran no test".into());
            } else if !skips.of_tests && !tests.skips.is_empty() {
                outcome = Outcome::Failed("skips are forbidden".into());
            }
        }
    }
    let report = Report { name: row.name.to_owned(), outcome, time: start.elapsed(), tests };
    report.print();
    if matches!(report.outcome, Outcome::Failed(_)) && !output.is_empty() {
        report::print(format_args!("---- output of {0} ----\n{1}---- end of {0} ----", row.name, output));
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_run_in_the_order_of_the_matrix() {
        let rows = chosen(matrix::rows(false), &["tree", "fmt", "tree"].map(str::to_owned));
        assert_eq!(rows.iter().map(|row| row.name).collect::<Vec<_>>(), ["fmt", "tree"]);
    }

    #[test]
    fn without_names_all_rows_run() {
        assert_eq!(chosen(matrix::rows(false), &[]).len(), matrix::rows(false).len());
    }

    #[test]
    fn ci_forbids_skips_of_tests_and_the_variable_overrides_it() {
        let allowed = |forbid, variables: &[(&str, &str)]| {
            let skips = Skips::allowed(forbid, |name| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            });
            (skips.of_rows, skips.of_tests)
        };
        assert_eq!(allowed(false, &[]), (true, true));
        assert_eq!(allowed(false, &[("CI", "true")]), (true, false));
        assert_eq!(allowed(false, &[("CI", "true"), (FORBID_SKIPS, "0")]), (true, true));
        assert_eq!(allowed(false, &[(FORBID_SKIPS, "1")]), (true, false));
        assert_eq!(allowed(true, &[]), (false, false));
        assert_eq!(allowed(true, &[(FORBID_SKIPS, "0")]), (false, true));
    }
}
