//! The workspace's own commands, run as `cargo xtask COMMAND`.
//!
//! One file a command, named as the command is. What the commands share:
//!
//! | file | what is in it |
//! |---|---|
//! | `matrix.rs` | the rows of `cargo xtask test`, as a table |
//! | `need.rs` | what a row may need of the machine, and the reason it is skipped for without |
//! | `step.rs` | one command line of a row |
//! | `run.rs` | runs a row's steps into a log, under a time bound |
//! | `report.rs` | what is told about a row, and the closing table |
//! | `workspace.rs` | where things are, and which crates are published |

mod bench;
mod linux_only;
mod matrix;
mod minimal_versions;
mod mutants;
mod need;
mod packaged;
mod report;
mod run;
mod step;
mod test;
mod tree;
mod workspace;

use std::ffi::OsStr;
use std::io::{self, Write};
use std::process::{self, ExitCode};

/// A command of xtask. A new one is a file with a `run` function and a line in [`COMMANDS`].
struct Command {
    name: &'static str,
    usage: &'static str,
    run: fn(lexopt::Parser) -> Result<(), Error>,
}

const COMMANDS: &[Command] = &[
    Command { name: "test", usage: test::USAGE, run: test::run },
    Command { name: "tree", usage: tree::USAGE, run: tree::run },
    Command { name: "packaged", usage: packaged::USAGE, run: packaged::run },
    Command { name: "minimal-versions", usage: minimal_versions::USAGE, run: minimal_versions::run },
    Command { name: "linux-only", usage: linux_only::USAGE, run: linux_only::run },
    Command { name: "bench", usage: bench::USAGE, run: bench::run },
    Command { name: "mutants", usage: mutants::USAGE, run: mutants::run },
];

/// How a command ends when it does not succeed.
#[derive(Debug)]
enum Error {
    /// The user asked for help, which is no failure.
    Help,
    /// The arguments make no sense: the usage is shown, and xtask exits with 2.
    Usage(String),
    /// The command did its work and the answer is bad, or it couldn't do it: xtask exits with 1.
    Failed(String),
    /// As `Failed`, and everything has been said.
    Told,
}

impl From<lexopt::Error> for Error {
    fn from(error: lexopt::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

fn main() -> ExitCode {
    let mut args = lexopt::Parser::from_env();
    let (command, result) = match choose(&mut args) {
        Ok(command) => (Some(command), (command.run)(args)),
        Err(error) => (None, Err(error)),
    };
    let name = command.map_or(String::new(), |command| format!(" {}", command.name));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Help) => {
            // Nothing to be done about a closed standard output.
            let _ = write!(io::stdout(), "{}", usage(command));
            ExitCode::SUCCESS
        }
        Err(Error::Usage(message)) => {
            eprint!("cargo xtask{name}: {message}\n\n{}", usage(command));
            ExitCode::from(2)
        }
        Err(Error::Failed(message)) => {
            eprintln!("cargo xtask{name}: {message}");
            ExitCode::FAILURE
        }
        Err(Error::Told) => ExitCode::FAILURE,
    }
}

fn choose(args: &mut lexopt::Parser) -> Result<&'static Command, Error> {
    use lexopt::prelude::*;
    match args.next()? {
        Some(Value(name)) => COMMANDS
            .iter()
            .find(|command| name == command.name)
            .ok_or_else(|| Error::Usage(format!("there is no command {}", name.to_string_lossy()))),
        Some(Short('h') | Long("help")) => Err(Error::Help),
        Some(other) => Err(other.unexpected().into()),
        None => Err(Error::Usage("which command?".into())),
    }
}

/// For a command that takes no arguments but `--help`.
fn no_arguments(args: &mut lexopt::Parser) -> Result<(), Error> {
    use lexopt::prelude::*;
    match args.next()? {
        None => Ok(()),
        Some(Short('h') | Long("help")) => Err(Error::Help),
        Some(other) => Err(other.unexpected().into()),
    }
}

/// Runs a command whose output goes where xtask's goes; anything but success is an error.
fn command_succeeds(command: &mut process::Command) -> Result<(), Error> {
    let failure = match command.status() {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => status.to_string(),
        Err(error) => format!("could not be started: {error}"),
    };
    let words: Vec<_> =
        [command.get_program()].into_iter().chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    Err(Error::Failed(format!("{}: {failure}", words.join(" "))))
}

fn usage(command: Option<&Command>) -> String {
    match command {
        Some(command) => format!("Usage: {}", command.usage),
        None => COMMANDS.iter().fold("Usage:\n\n".into(), |text, command| format!("{text}{}\n", command.usage)),
    }
}
