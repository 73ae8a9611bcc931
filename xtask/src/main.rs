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
//! | `error.rs` | how a command ends when it does not succeed |
//! | `workspace.rs` | where things are, and which crates are published |

mod bench;
mod error;
mod kernels;
mod linux_only;
mod matrix;
mod minimal_versions;
mod mutants;
mod need;
mod packaged;
mod report;
mod run;
mod shown;
mod step;
mod test;
mod tree;
mod workspace;

use crate::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

/// A command of xtask. A new one is a file with a `run` function and a line in [`COMMANDS`].
struct Command {
    name: &'static str,
    usage: &'static str,
    run: Run,
}

/// The function of a command.
enum Run {
    /// It takes no arguments but `--help`.
    Plain(fn() -> Result<(), Error>),
    WithArguments(fn(lexopt::Parser) -> Result<(), Error>),
}

const COMMANDS: &[Command] = &[
    Command { name: "test", usage: test::USAGE, run: Run::WithArguments(test::run) },
    Command { name: "tree", usage: tree::USAGE, run: Run::Plain(tree::run) },
    Command { name: "packaged", usage: packaged::USAGE, run: Run::Plain(packaged::run) },
    Command { name: "shown", usage: shown::USAGE, run: Run::Plain(shown::run) },
    Command { name: "minimal-versions", usage: minimal_versions::USAGE, run: Run::Plain(minimal_versions::run) },
    Command { name: "linux-only", usage: linux_only::USAGE, run: Run::Plain(linux_only::run) },
    Command { name: "kernels", usage: kernels::USAGE, run: Run::WithArguments(kernels::run) },
    Command { name: "bench", usage: bench::USAGE, run: Run::WithArguments(bench::run) },
    Command { name: "mutants", usage: mutants::USAGE, run: Run::WithArguments(mutants::run) },
];

fn main() -> ExitCode {
    let mut args = lexopt::Parser::from_env();
    let (command, result) = match choose(&mut args) {
        Ok(command) => (Some(command), command.run(args)),
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

impl Command {
    fn run(&self, mut args: lexopt::Parser) -> Result<(), Error> {
        use lexopt::prelude::*;
        match self.run {
            Run::WithArguments(run) => run(args),
            Run::Plain(run) => match args.next()? {
                None => run(),
                Some(Short('h') | Long("help")) => Err(Error::Help),
                Some(other) => Err(other.unexpected().into()),
            },
        }
    }
}

fn usage(command: Option<&Command>) -> String {
    match command {
        Some(command) => format!("Usage: {}", command.usage),
        None => COMMANDS.iter().fold("Usage:\n\n".into(), |text, command| format!("{text}{}\n", command.usage)),
    }
}
