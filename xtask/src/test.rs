//! `cargo xtask test`: runs the matrix.

use crate::error::Error;
use crate::matrix::{self, FORBID_SKIPS, Row};
use crate::report::{self, Outcome, Report, Tests};
use crate::{run, workspace};
use std::env;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

pub(crate) const USAGE: &str = "\
cargo xtask test [OPTIONS]
    Runs the whole matrix, row by row; a row that fails stops no other row.
    --list              tell the rows and what they do, and run none
    --only ROW          run this row; may be given several times
    --forbid-skips      a skipped row, and a skipped test, is a failed one
    -h, --help          this text
    In the environment: CI=true makes a skipped test a failed one; FUTEX_TESTS_FORBID_SKIPS=0 or 1 overrides that.
";

/// How long a row may take. None needs as much; a row that hangs must not hold up the others for ever.
const BOUND: Duration = Duration::from_secs(20 * 60);

#[derive(Debug, Default)]
struct Options {
    list: bool,
    only: Vec<String>,
    forbid_skips: bool,
}

/// Which skips are allowed. One that is not makes the row a failed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Skips {
    of_rows: bool,
    of_tests: bool,
}

impl Skips {
    /// What the option and the environment say; the environment's word about tests counts most.
    fn allowed(forbid_skips: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let of_tests = match set(FORBID_SKIPS) {
            Some(forbid) => forbid == "0",
            None => !forbid_skips && set("CI").is_none(),
        };
        Self { of_rows: !forbid_skips, of_tests }
    }
}

pub(crate) fn run(args: lexopt::Parser) -> Result<(), Error> {
    let options = parse(args)?;
    let skips = Skips::allowed(options.forbid_skips, |name| env::var(name).ok());
    let rows = choose(matrix::rows(!skips.of_tests), &options.only)?;
    if options.list {
        return list(&rows);
    }

    let mut reports = Vec::new();
    for row in &rows {
        reports.push(run_row(row, skips)?);
    }
    write!(io::stdout(), "{}", report::summary(&reports))?;
    let failed = reports.iter().any(|report| matches!(report.outcome, Outcome::Failed(_)));
    if failed { Err(Error::Told) } else { Ok(()) }
}

fn parse(mut args: lexopt::Parser) -> Result<Options, Error> {
    use lexopt::prelude::*;
    let mut options = Options::default();
    while let Some(arg) = args.next()? {
        match arg {
            Long("list") => options.list = true,
            Long("only") => options.only.push(args.value()?.string()?),
            Long("forbid-skips") => options.forbid_skips = true,
            Short('h') | Long("help") => return Err(Error::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

/// The rows that were asked for, in the order of the matrix; all of them where none was named.
fn choose(mut rows: Vec<Row>, only: &[String]) -> Result<Vec<Row>, Error> {
    if let Some(unknown) = only.iter().find(|name| !rows.iter().any(|row| row.name == **name)) {
        let names: Vec<_> = rows.iter().map(|row| row.name).collect();
        return Err(Error::Usage(format!("there is no row {unknown}; the rows are {}", names.join(", "))));
    }
    rows.retain(|row| only.is_empty() || only.iter().any(|name| row.name == name));
    Ok(rows)
}

fn list(rows: &[Row]) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    for row in rows {
        writeln!(stdout, "{:<17} {}", row.name, row.about)?;
    }
    Ok(())
}

/// Runs a row and tells how it ended.
fn run_row(row: &Row, skips: Skips) -> io::Result<Report> {
    let mut stdout = io::stdout();
    if stdout.is_terminal() {
        writeln!(stdout, "running  {} …", row.name)?;
    }
    let log = workspace::scratch_dir().join("log").join(format!("{}.txt", row.name));
    let start = Instant::now();
    let missing = row.needs.iter().find_map(|need| need.missing());
    let (mut outcome, output) = match missing {
        Some(reason) if !skips.of_rows => (Outcome::Failed(reason), String::new()),
        Some(reason) => (Outcome::Skipped(reason), String::new()),
        None => {
            let outcome = run::run(&row.steps, &log, BOUND).map_or_else(Outcome::Failed, |()| Outcome::Passed);
            (outcome, String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned())
        }
    };
    let tests = Tests::in_output(&output);
    if outcome == Outcome::Passed && row.has_tests && tests.ran == 0 {
        outcome = Outcome::Failed("it ran no test".into());
    }
    if outcome == Outcome::Passed && !skips.of_tests && !tests.skips.is_empty() {
        outcome = Outcome::Failed("skips are forbidden".into());
    }

    let report = Report { name: row.name.to_owned(), outcome, time: start.elapsed(), tests };
    writeln!(stdout, "{report}")?;
    for skip in &report.tests.skips {
        writeln!(stdout, "         {skip}")?;
    }
    if matches!(report.outcome, Outcome::Failed(_)) && !output.is_empty() {
        writeln!(stdout, "---- the output of {0} ----\n{1}---- end of {0} ----", row.name, output)?;
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Options, Error> {
        parse(lexopt::Parser::from_args(args))
    }

    #[test]
    fn only_may_be_given_several_times_and_keeps_the_order_of_the_matrix() {
        let options = parsed(&["--only", "tree", "--only=fmt", "--only", "tree"]).unwrap();
        let rows = choose(matrix::rows(false), &options.only).unwrap();
        assert_eq!(rows.iter().map(|row| row.name).collect::<Vec<_>>(), ["fmt", "tree"]);
    }

    #[test]
    fn without_only_all_rows_run() {
        let all = matrix::rows(false).len();
        assert_eq!(choose(matrix::rows(false), &[]).unwrap().len(), all);
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

    #[test]
    fn an_unknown_row_is_an_error_that_names_the_rows() {
        let Err(Error::Usage(message)) = choose(matrix::rows(false), &["loomy".into()]) else { panic!("no error") };
        assert!(message.starts_with("there is no row loomy; the rows are fmt, clippy, "), "{message}");
    }

    #[test]
    fn an_unknown_option_and_a_missing_value_are_errors_of_usage() {
        for args in [&["--nope"][..], &["--only"], &["row"], &["--list=x"]] {
            assert!(matches!(parsed(args), Err(Error::Usage(_))), "{args:?}");
        }
    }
}
