//! How a command of xtask ends when it does not succeed.

use std::ffi::OsStr;
use std::io;
use std::process::Command;

/// How a command ends when it does not succeed.
#[derive(Debug)]
pub(crate) enum Error {
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

/// Runs a command whose output goes where xtask's goes; anything but success is an error.
pub(crate) fn command_succeeds(command: &mut Command) -> Result<(), Error> {
    let failure = match command.status() {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => status.to_string(),
        Err(error) => format!("could not be started: {error}"),
    };
    let words: Vec<_> =
        [command.get_program()].into_iter().chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    Err(Error::Failed(format!("{}: {failure}", words.join(" "))))
}
