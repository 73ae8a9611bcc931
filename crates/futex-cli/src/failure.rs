//! How a command ends when it does not succeed.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// Why a command ends with a status other than 0.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Status 1, with a sentence on standard error.
    Error(String),
    /// Status 1. What is wrong has been printed.
    Reported,
    /// Status 3: the word had another value, which is this one.
    OtherValue(u32),
    /// Status 124: the time was up.
    TimedOut,
    /// The reader of standard output has gone. Status 0, as nobody is left to tell.
    NoReader,
}

impl Failure {
    pub(crate) fn report(self) -> ExitCode {
        match self {
            Self::Error(sentence) => {
                eprintln!("futex: {sentence}");
                ExitCode::from(1)
            }
            Self::Reported => ExitCode::from(1),
            Self::OtherValue(value) => {
                eprintln!("futex: the word is {value}, and was not changed");
                ExitCode::from(3)
            }
            Self::TimedOut => ExitCode::from(124),
            Self::NoReader => ExitCode::SUCCESS,
        }
    }

    pub(crate) fn new(sentence: impl fmt::Display) -> Self {
        Self::Error(sentence.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::NoReader,
            _ => Self::new(error),
        }
    }
}
