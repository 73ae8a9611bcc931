//! How a command ends when it does not succeed.

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// Why a command ends before it is done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Status 1, with a sentence on standard error.
    Error(String),
    /// Status 2, with a sentence: the command line is wrong in a way that its parser does not know.
    Usage(String),
    /// Status 1. What is wrong has been printed.
    Reported,
    /// Status 3: the word had another value, which is this one.
    OtherValue(u32),
    /// Status 124: the time was up.
    TimedOut,
    /// A signal with this number asked for the end. The status is 128 and the number, as a shell shows it.
    Interrupted(u8),
    /// The reader of standard output has gone. Status 0, as nobody is left to tell.
    NoReader,
}

impl Failure {
    pub(crate) fn new(sentence: impl fmt::Display) -> Self {
        Self::Error(sentence.to_string())
    }

    pub(crate) fn report(self) -> ExitCode {
        match self {
            Self::Error(sentence) => {
                say(sentence);
                ExitCode::from(1)
            }
            Self::Usage(sentence) => {
                say(sentence);
                ExitCode::from(2)
            }
            Self::Reported => ExitCode::from(1),
            Self::OtherValue(value) => {
                say(format_args!("the word is {value}, and was not changed"));
                ExitCode::from(3)
            }
            Self::TimedOut => ExitCode::from(124),
            Self::Interrupted(signal) => ExitCode::from(128_u8.saturating_add(signal)),
            Self::NoReader => ExitCode::SUCCESS,
        }
    }
}

/// Writes a line to standard error. If that fails, there is nobody to tell.
pub(crate) fn say(sentence: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "futex: {sentence}");
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::NoReader,
            _ => Self::new(error),
        }
    }
}
