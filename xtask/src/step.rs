//! One command line of a row.

use crate::workspace;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::process::Command;

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
    /// xtask itself.
    Xtask,
}

#[derive(Debug)]
enum Change {
    Set(OsString),
    SetIfUnset(OsString),
    /// Adds to a list that spaces separate, such as `RUSTFLAGS`.
    Append(&'static str),
}

/// A step that runs cargo with these arguments, which spaces separate.
pub(crate) fn cargo(args: &str) -> Step {
    Step::new(Program::Cargo, args)
}

/// As [`cargo`], with the cargo of another toolchain.
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

    /// The command, ready to be started in the workspace's root.
    pub(crate) fn command(&self) -> Command {
        let mut command = match self.program {
            Program::Cargo => workspace::cargo(),
            Program::CargoOf(toolchain) => workspace::cargo_of(toolchain),
            // The very program that runs now, even where a build has put another one in its place.
            Program::Xtask => Command::new("/proc/self/exe"),
        };
        command.current_dir(workspace::root()).args(&self.args);
        // A choice made outside would turn the matrix into another one. The rows that are about a backend set it.
        command.env_remove("FUTEX_BACKEND");
        for (name, value) in self.environment() {
            command.env(name, value);
        }
        command
    }

    /// The variables to set, with what the environment holds already taken into account.
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

/// As one would type it into a shell.
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

fn quoted(text: &str) -> String {
    if text.contains([' ', '\'', '"']) { format!("'{}'", text.replace('\'', r"'\''")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_reads_as_one_would_type_it() {
        let step = cargo("test -p futex-core -- loom").set("A_VARIABLE", "with a space");
        assert_eq!(step.to_string(), "A_VARIABLE='with a space' cargo test -p futex-core -- loom");
        assert_eq!(cargo_of("nightly", "miri test").to_string(), "rustup run nightly cargo miri test");
        assert_eq!(xtask("tree").to_string(), "cargo xtask tree");
    }

    #[test]
    fn appending_keeps_what_is_there_and_a_default_yields_to_it() {
        // PATH is set wherever a test runs; setting a variable here would race with other tests.
        let path = env::var_os("PATH").unwrap();
        let step = cargo("x").append("PATH", "more").set_if_unset("PATH", "other");
        let variables: Vec<_> = step.environment().collect();
        let mut expected = path;
        expected.push(" more");
        assert_eq!(variables, [("PATH", expected)]);
    }
}
