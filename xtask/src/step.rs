//! The command lines of a row.

use crate::command;
use crate::workspace;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// The variable that makes a skip a failure of the test.
pub(crate) const FORBID_SKIPS: &str = "FUTEX_TESTS_FORBID_SKIPS";

/// A command line: the program, its arguments, and changes to the environment.
#[derive(Debug)]
pub(crate) struct Step {
    program: Program,
    args: Vec<String>,
    env: Vec<(&'static str, Change)>,
}

#[derive(Debug)]
enum Program {
    /// The cargo that runs xtask.
    Cargo,
    /// The cargo of another toolchain.
    CargoOf(&'static str),
    Xtask,
}

#[derive(Debug)]
enum Change {
    Set(OsString),
    SetIfUnset(OsString),
    /// Adds to a list with spaces between its items, such as `RUSTFLAGS`.
    Append(&'static str),
}

/// A step that runs cargo. Spaces separate the arguments.
pub(crate) fn cargo(args: &str) -> Step {
    Step::new(Program::Cargo, args)
}

/// Like [`cargo`], with the cargo of another toolchain.
pub(crate) fn cargo_of(toolchain: &'static str, args: &str) -> Step {
    Step::new(Program::CargoOf(toolchain), args)
}

/// A step that is another command of xtask.
pub(crate) fn xtask(args: &str) -> Step {
    Step::new(Program::Xtask, args)
}

impl Step {
    fn new(program: Program, args: &str) -> Self {
        Self { program, args: args.split_whitespace().map(str::to_owned).collect(), env: Vec::new() }
    }

    pub(crate) fn set(self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.change(name, Change::Set(value.into()))
    }

    pub(crate) fn set_if_unset(self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.change(name, Change::SetIfUnset(value.into()))
    }

    pub(crate) fn append(self, name: &'static str, value: &'static str) -> Self {
        self.change(name, Change::Append(value))
    }

    fn change(mut self, name: &'static str, change: Change) -> Self {
        self.env.push((name, change));
        self
    }

    /// The command, in the workspace's root.
    fn command(&self) -> Command {
        let mut command = match self.program {
            Program::Cargo => workspace::cargo(),
            Program::CargoOf(toolchain) => workspace::cargo_of(toolchain),
            // The program that runs now, even if a build has replaced its file.
            Program::Xtask => Command::new("/proc/self/exe"),
        };
        command.current_dir(workspace::root()).args(&self.args);
        // The user's choice of a backend would change what most rows test. The rows of the backends set it themselves.
        command.env_remove("FUTEX_BACKEND");
        // Tests ask whether it is set, and 0 means that skips are allowed.
        command.env_remove(FORBID_SKIPS);
        for (name, value) in self.environment() {
            command.env(name, value);
        }
        command
    }

    /// The variables to set. Some depend on the variables that are set already.
    fn environment(&self) -> impl Iterator<Item = (&'static str, OsString)> {
        self.env.iter().filter_map(|(name, change)| {
            let present = env::var_os(name).filter(|value| !value.is_empty());
            let value = match (change, present) {
                (Change::Set(value), _) | (Change::SetIfUnset(value), None) => value.clone(),
                (Change::SetIfUnset(_), Some(_)) => return None,
                (Change::Append(more), None) => (*more).into(),
                (Change::Append(more), Some(mut value)) => {
                    value.push(" ");
                    value.push(more);
                    value
                }
            };
            Some((*name, value))
        })
    }
}

/// The step as a line for a shell.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.environment() {
            write!(f, "{name}={} ", quoted(&value.to_string_lossy()))?;
        }
        match self.program {
            Program::Cargo => write!(f, "cargo")?,
            Program::CargoOf(toolchain) => write!(f, "rustup run {toolchain} cargo")?,
            Program::Xtask => write!(f, "cargo xtask")?,
        }
        self.args.iter().try_for_each(|arg| write!(f, " {}", quoted(arg)))
    }
}

/// Runs steps in order until one fails. All output goes to the file `log`. The error says how the step failed.
pub(crate) fn run(steps: &[Step], log: &Path, bound: Duration) -> Result<(), String> {
    let deadline = Instant::now() + bound;
    let log_failed = |error| format!("{} can't be written: {error}", log.display());
    let mut output = command::create_log(log).map_err(log_failed)?;
    for (number, step) in (1..).zip(steps) {
        writeln!(output, "$ {step}").map_err(log_failed)?;
        let failure = match command::run_into(&output, &mut step.command(), deadline) {
            Ok(Some(status)) if status.success() => continue,
            Ok(Some(status)) => status.to_string(),
            Ok(None) => format!("killed after {} min", bound.as_secs() / 60),
            Err(error) => format!("could not be started: {error}"),
        };
        // The row's line has this too. In the log it shows which step failed.
        let _ = writeln!(output, "xtask: {step}: {failure}");
        return Err(if steps.len() > 1 { format!("step {number}: {failure}") } else { failure });
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    if text.contains([' ', '\'', '"']) { format!("'{}'", text.replace('\'', r"'\''")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::fs;
    use std::path::PathBuf;

    #[test]
    fn a_step_is_shown_as_a_line_for_a_shell() {
        let step = cargo("test -p futex-core -- loom").set("A_VARIABLE", "with a space");
        assert_eq!(step.to_string(), "A_VARIABLE='with a space' cargo test -p futex-core -- loom");
        assert_eq!(cargo_of("nightly", "miri test").to_string(), "rustup run nightly cargo miri test");
        assert_eq!(xtask("tree").to_string(), "cargo xtask tree");
    }

    #[test]
    fn appending_keeps_the_value_and_a_default_does_not_replace_it() {
        // PATH is set for every test. To set a variable here would race with other tests.
        let path = env::var_os("PATH").unwrap();
        let step = cargo("x").append("PATH", "more").set_if_unset("PATH", "other");
        let variables: Vec<_> = step.environment().collect();
        let mut expected = path;
        expected.push(" more");
        assert_eq!(variables, [("PATH", expected)]);
    }

    /// A log that no other test writes to.
    fn log(name: &str) -> PathBuf {
        workspace::scratch_dir().join("unit-tests").join(format!("{name}-{}.log", std::process::id()))
    }

    #[test]
    fn the_log_has_each_command_with_its_output_and_the_failure() {
        let log = log("output");
        let steps = [cargo("--version"), cargo("no-such-command"), cargo("--version")];
        assert_eq!(run(&steps, &log, Duration::from_secs(600)).unwrap_err(), "step 2: exit status: 101");

        let text = fs::read_to_string(&log).unwrap();
        assert!(text.starts_with("$ cargo --version\ncargo 1."), "{text}");
        assert!(text.contains("\n$ cargo no-such-command\nerror: no such command"), "{text}");
        assert!(text.ends_with("xtask: cargo no-such-command: exit status: 101\n"), "the third step ran: {text}");
        fs::remove_file(log).unwrap();
    }

    #[test]
    fn a_step_that_does_not_end_is_killed_at_its_bound() {
        let log = log("bound");
        assert_eq!(run(&[cargo("--version")], &log, Duration::ZERO).unwrap_err(), "killed after 0 min");
        fs::remove_file(log).unwrap();
    }

    #[test]
    fn what_the_environment_says_of_backends_and_skips_reaches_only_the_steps_that_set_it() {
        // Regression: with 0, which allows skips, each test that was skipped failed.
        let variable = |step: &Step, name: &str| {
            step.command().get_envs().find(|(key, _)| *key == name).map(|(_, value)| value.map(OsStr::to_owned))
        };
        for name in ["FUTEX_BACKEND", FORBID_SKIPS] {
            assert_eq!(variable(&cargo("test"), name), Some(None), "{name} is removed");
            assert_eq!(variable(&cargo("test").set(name, "1"), name), Some(Some("1".into())));
        }
    }
}
