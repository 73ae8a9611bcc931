//! How a command of xtask fails.

use std::io;

/// How a command of xtask fails.
#[derive(Debug)]
pub(crate) enum Error {
    /// The arguments are wrong. xtask exits with 2.
    Usage(String),
    /// A check failed, or could not run. xtask exits with 1.
    Failed(String),
    /// Like `Failed`. The command has printed the reason already.
    Reported,
}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Self::Failed(message)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Returns an error that lists these faults, unless there are none.
pub(crate) fn none(faults: &[String]) -> Result<(), Error> {
    if faults.is_empty() { Ok(()) } else { Err(Error::Failed(faults.join("\n"))) }
}
