//! `cargo xtask mutants`: the model or test of each rule fails if the rule is broken.
//!
//! A mutant is a small change that breaks a rule. It is made in a copy of the workspace, and one test must fail.

mod table;

use self::table::{MUTANTS, Mutant};
use crate::command;
use crate::error::Error;
use crate::report;
use crate::scratch::Scratch;
use crate::workspace;
use clap::builder::PossibleValuesParser;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// List the mutants and run none
    #[arg(long)]
    list: bool,
    /// Run this mutant; can be repeated
    #[arg(long, value_name = "NAME", value_parser = names(), hide_possible_values = true)]
    only: Vec<String>,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(MUTANTS.iter().map(|mutant| mutant.name))
}

/// Limit for a build or a test. A test that does not end has not failed.
const BOUND: Duration = Duration::from_secs(300);

pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let is_chosen = |mutant: &&Mutant| options.only.is_empty() || options.only.iter().any(|name| name == mutant.name);
    let (chosen, skipped): (Vec<_>, Vec<_>) = MUTANTS.iter().partition(is_chosen);
    if options.list {
        chosen.iter().for_each(|mutant| report::print(format_args!("{:<33} {}", mutant.name, mutant.breaks)));
        return Ok(());
    }

    let copy = Copy { tree: Scratch::copy("mutants")?, target: workspace::target_dir().join("mutants") };
    report::print_running("the tests without a mutant");
    copy.tests_pass(&chosen)?;
    let mut missed = 0;
    for mutant in &chosen {
        report::print_running(mutant.name);
        let survival = copy.try_out(mutant)?;
        let (outcome, reason) = survival.as_ref().map_or(("caught", ""), |reason| ("MISSED", reason));
        let line = format!("{outcome}  {:<33} by {}  ({})", mutant.name, mutant.test, mutant.breaks);
        report::print(if survival.is_some() { format!("{line}: {reason}") } else { line });
        missed += usize::from(survival.is_some());
    }
    report::print(format_args!("{} passed, {missed} failed, {} skipped", chosen.len() - missed, skipped.len()));
    if missed == 0 { Ok(()) } else { Err(Error::Reported) }
}

/// A copy of the workspace that mutants change.
struct Copy {
    tree: Scratch,
    target: PathBuf,
}

impl Copy {
    /// Returns an error unless the mutants' tests pass without a mutant.
    fn tests_pass(&self, mutants: &[&Mutant]) -> Result<(), Error> {
        let mut programs = BTreeMap::<_, Vec<_>>::new();
        for mutant in mutants {
            let Test { program, path } = Test::named(mutant.test);
            programs.entry(program).or_default().push(path);
        }
        for (program, tests) in programs {
            let words = ["--", "--exact"].into_iter().chain(tests.iter().map(String::as_str));
            let run = self.cargo(program, words)?;
            if !run.is_success() {
                return Err(Error::Failed(format!("{}\na test fails without a mutant", run.output)));
            }
        }
        Ok(())
    }

    /// Returns why a mutant is not caught, or `None` if it is.
    fn try_out(&self, mutant: &Mutant) -> Result<Option<String>, Error> {
        let path = self.tree.root().join(source(mutant.file));
        let original = fs::read_to_string(&path)?;
        let found = original.matches(mutant.from).count();
        if found != 1 {
            return Ok(Some(format!("the text that it replaces occurs {found} times in {}", mutant.file)));
        }
        fs::write(&path, original.replacen(mutant.from, mutant.to, 1))?;
        let reason = self.survives(mutant);
        fs::write(&path, original)?;
        reason
    }

    fn survives(&self, mutant: &Mutant) -> Result<Option<String>, Error> {
        let Test { program, path } = Test::named(mutant.test);
        let build = self.cargo(program, ["--no-run"])?;
        if !build.is_success() {
            return Ok(Some(format!("it does not compile:\n{}", build.output)));
        }
        let run = self.cargo(program, ["--", "--exact", &path])?;
        Ok(match run.status {
            None => Some("the test does not end".into()),
            Some(status) if status.success() => Some("the test passes".into()),
            Some(_) if run.output.contains("running 1 test") => None,
            Some(_) => Some(format!("the test did not run:\n{}", run.output)),
        })
    }

    /// Runs `cargo test` for one test program in the copy.
    fn cargo<'a>(&self, program: Program, words: impl IntoIterator<Item = &'a str>) -> Result<Run, Error> {
        let mut command = workspace::cargo();
        command.current_dir(self.tree.root()).args(["test", "-p", program.package]);
        match program.target {
            None => command.arg("--lib"),
            Some(target) => command.args(["--test", target]),
        };
        if program.is_loom {
            let flags = env::var("RUSTFLAGS").unwrap_or_default();
            command
                .args(["--no-default-features", "--profile", "loom"])
                .env("RUSTFLAGS", format!("{flags} --cfg loom"));
        }
        command.arg("--target-dir").arg(self.target.join(if program.is_loom { "loom" } else { "std" }));
        command.args(words).env("RUST_BACKTRACE", "0");
        let log = workspace::log("mutants");
        let status = command::run_into(&command::create_log(&log)?, &mut command, Instant::now() + BOUND)?;
        Ok(Run { status, output: String::from_utf8_lossy(&fs::read(log)?).into_owned() })
    }
}

/// How a run of `cargo test` ended.
struct Run {
    /// `None` if it did not end by itself.
    status: Option<ExitStatus>,
    output: String,
}

impl Run {
    fn is_success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }
}

/// The tests of a package's library, or one of its integration tests.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Program {
    package: &'static str,
    target: Option<&'static str>,
    is_loom: bool,
}

/// A test and its program.
struct Test {
    program: Program,
    path: String,
}

impl Test {
    /// The test with this name in the [table](Mutant::test).
    fn named(name: &'static str) -> Self {
        let split = name.split_once('/').and_then(|(package, rest)| Some((package, rest.split_once("::")?)));
        let Some((package, (target, path))) = split else {
            let program = Program { package: "futex-core", target: None, is_loom: name.starts_with("loom_models::") };
            return Self { program, path: format!("tests::{name}") };
        };
        let target = Some(target).filter(|&target| target != "lib");
        let program = Program { package, target, is_loom: path.starts_with("loom_models::") };
        Self { program, path: path.to_owned() }
    }
}

/// The path in the workspace of a source file in the [table](Mutant::file).
fn source(file: &str) -> PathBuf {
    if file.starts_with("futex-") {
        Path::new("crates").join(file)
    } else {
        Path::new("crates/futex-core/src").join(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_mutant_has_a_unique_name_and_changes_one_place() {
        let names: BTreeSet<_> = MUTANTS.iter().map(|mutant| mutant.name).collect();
        assert_eq!(names.len(), MUTANTS.len());
        for mutant in MUTANTS {
            let path = workspace::root().join(source(mutant.file));
            let found = fs::read_to_string(path).unwrap().matches(mutant.from).count();
            assert_eq!(found, 1, "{}: the text that it replaces occurs {found} times", mutant.name);
            assert_ne!(mutant.from, mutant.to, "{}", mutant.name);
        }
    }
}
