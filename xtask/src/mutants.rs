//! `cargo xtask mutants`: each model, and each test of a rule, fails when the rule is broken that it is there for.
//!
//! A mutant is a small change that breaks a rule. It is made in a copy of the workspace, where one test must fail.

mod table;

use self::table::{MUTANTS, Mutant, Under};
use crate::error::Error;
use crate::workspace;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const USAGE: &str = "\
cargo xtask mutants [--list] [--only NAME]...
    Breaks the crates on purpose, one rule at a time and in a copy of the workspace, and checks that the model or the
    test of the rule fails. The table of what is broken is in xtask/src/mutants/table.rs.
        --list       show the mutants and run nothing
        --only NAME  only this one; may be given several times
";

/// A test that does not end by then has not failed.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) fn run(mut args: lexopt::Parser) -> Result<(), Error> {
    use lexopt::prelude::*;
    let (mut list, mut only) = (false, Vec::new());
    while let Some(arg) = args.next()? {
        match arg {
            Long("list") => list = true,
            Long("only") => only.push(args.value()?.string()?),
            Short('h') | Long("help") => return Err(Error::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    if let Some(name) = only.iter().find(|&name| MUTANTS.iter().all(|mutant| mutant.name != name)) {
        return Err(Error::Usage(format!("there is no mutant {name}: --list shows them")));
    }
    let (chosen, skipped): (Vec<_>, Vec<_>) =
        MUTANTS.iter().partition(|mutant| only.is_empty() || only.iter().any(|name| name == mutant.name));
    let mut out = io::stdout();
    if list {
        for mutant in chosen {
            writeln!(out, "{:<33} {}", mutant.name, mutant.breaks)?;
        }
        return Ok(());
    }

    let copy = Copy::make()?;
    copy.tests_pass(&chosen)?;
    let mut missed = 0;
    for mutant in &chosen {
        match copy.try_out(mutant)? {
            None => writeln!(out, "caught  {:<33} by {}  ({})", mutant.name, mutant.test, mutant.breaks)?,
            Some(reason) => {
                missed += 1;
                writeln!(out, "MISSED  {:<33} by {}  ({}): {reason}", mutant.name, mutant.test, mutant.breaks)?;
            }
        }
    }
    writeln!(out, "{} passed, {missed} failed, {} skipped", chosen.len() - missed, skipped.len())?;
    if missed == 0 { Ok(()) } else { Err(Error::Told) }
}

/// A copy of the workspace, where things may be broken.
struct Copy {
    tree: PathBuf,
    target: PathBuf,
}

impl Copy {
    fn make() -> Result<Self, Error> {
        let scratch = workspace::target_dir().join("mutants");
        let copy = Self { tree: scratch.join("tree"), target: scratch.join("target") };
        if copy.tree.exists() {
            fs::remove_dir_all(&copy.tree)?;
        }
        fs::create_dir_all(&copy.tree)?;
        for name in ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "README.md", "crates", "docs", "xtask"] {
            let from = workspace::root().join(name);
            if from.exists() {
                copy_all(&from, &copy.tree.join(name))?;
            }
        }
        Ok(copy)
    }

    /// The tests that are to fail pass as long as nothing is broken.
    fn tests_pass(&self, mutants: &[&Mutant]) -> Result<(), Error> {
        let mut programs = BTreeMap::<_, Vec<_>>::new();
        for mutant in mutants {
            let Test { program, path } = Test::named(mutant.test);
            programs.entry((mutant.under, program)).or_default().push(path);
        }
        for ((under, program), tests) in programs {
            let words = ["--", "--exact"].into_iter().chain(tests.iter().map(String::as_str));
            match self.cargo(under, program, words, PATIENCE)? {
                Ended { success: true, .. } => {}
                Ended { output, .. } => {
                    return Err(Error::Failed(format!("{output}\nthe models fail although nothing is broken")));
                }
            }
        }
        Ok(())
    }

    /// Why a mutant is not caught; `None` where it is.
    fn try_out(&self, mutant: &Mutant) -> Result<Option<String>, Error> {
        let path = self.tree.join(source(mutant.file));
        let whole = fs::read_to_string(&path)?;
        let found = whole.matches(mutant.from).count();
        if found != 1 {
            return Ok(Some(format!("what it replaces occurs {found} times in {}", mutant.file)));
        }
        fs::write(&path, whole.replacen(mutant.from, mutant.to, 1))?;
        let reason = self.survives(mutant);
        fs::write(&path, whole)?;
        reason
    }

    fn survives(&self, mutant: &Mutant) -> Result<Option<String>, Error> {
        let Test { program, path } = Test::named(mutant.test);
        let build = self.cargo(mutant.under, program, ["--no-run"], PATIENCE)?;
        if !build.success {
            return Ok(Some(format!("it does not compile:\n{}", build.output)));
        }
        let run = self.cargo(mutant.under, program, ["--", "--exact", &path], PATIENCE)?;
        Ok(if run.timed_out {
            Some("the test does not end".into())
        } else if run.success {
            Some("the test passes".into())
        } else if !run.output.contains("running 1 test") {
            Some(format!("the test did not run:\n{}", run.output))
        } else {
            None
        })
    }

    /// Runs `cargo test` for one test program in the copy.
    fn cargo<'a>(
        &self,
        under: Under,
        program: Program,
        words: impl IntoIterator<Item = &'a str>,
        patience: Duration,
    ) -> Result<Ended, Error> {
        let mut command = workspace::cargo();
        command.current_dir(&self.tree).args(["test", "-p", program.package]);
        match program.target {
            None => command.arg("--lib"),
            Some(target) => command.args(["--test", target]),
        };
        if under == Under::Loom {
            let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
            command.args(["--profile", "loom"]).env("RUSTFLAGS", format!("{flags} --cfg loom"));
        }
        command.arg("--target-dir").arg(self.target.join(if under == Under::Loom { "loom" } else { "std" }));
        command.args(words).env("RUST_BACKTRACE", "0");
        // Its output goes to a file: a pipe that nobody reads would stop it.
        let log = self.target.join("log");
        fs::create_dir_all(&self.target)?;
        let ended = wait(&mut command, &log, patience)?;
        Ok(ended)
    }
}

/// How a command ended.
struct Ended {
    success: bool,
    timed_out: bool,
    output: String,
}

fn wait(command: &mut Command, log: &Path, patience: Duration) -> io::Result<Ended> {
    let file = fs::File::create(log)?;
    let mut child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn()?;
    let start = Instant::now();
    let (success, timed_out) = loop {
        if let Some(status) = child.try_wait()? {
            break (status.success(), false);
        }
        if start.elapsed() > patience {
            child.kill()?;
            child.wait()?;
            break (false, true);
        }
        thread::sleep(Duration::from_millis(20));
    };
    Ok(Ended { success, timed_out, output: String::from_utf8_lossy(&fs::read(log)?).into_owned() })
}

/// The tests of a package's library, or one of its integration tests.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Program {
    package: &'static str,
    target: Option<&'static str>,
}

/// A test, and the program that has it.
struct Test {
    program: Program,
    path: String,
}

impl Test {
    /// The test with the name that the [table](Mutant::test) gives it.
    fn named(name: &'static str) -> Self {
        let split = name.split_once('/').and_then(|(package, rest)| Some((package, rest.split_once("::")?)));
        let Some((package, (target, path))) = split else {
            return Self { program: Program { package: "futex-core", target: None }, path: format!("tests::{name}") };
        };
        let target = Some(target).filter(|&target| target != "lib");
        Self { program: Program { package, target }, path: path.to_owned() }
    }
}

/// A source file by the name that the [table](Mutant::file) gives it, in the workspace.
fn source(file: &str) -> PathBuf {
    if file.starts_with("futex-") {
        Path::new("crates").join(file)
    } else {
        Path::new("crates/futex-core/src").join(file)
    }
}

/// Copies a file, or a directory without what was built in it. Links are followed.
fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        if name != OsStr::new("target") {
            copy_all(&from.join(&name), &to.join(&name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_mutant_has_a_name_of_its_own_and_changes_one_place() {
        let names: BTreeSet<_> = MUTANTS.iter().map(|mutant| mutant.name).collect();
        assert_eq!(names.len(), MUTANTS.len());
        for mutant in MUTANTS {
            let path = workspace::root().join(source(mutant.file));
            let found = fs::read_to_string(path).unwrap().matches(mutant.from).count();
            assert_eq!(found, 1, "{}: what it replaces occurs {found} times", mutant.name);
            assert_ne!(mutant.from, mutant.to, "{}", mutant.name);
        }
    }
}
