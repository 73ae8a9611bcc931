//! The names of the backends.

use std::error::Error;
use std::fmt;
use std::io;
use std::str::FromStr;

/// A way to wait.
///
/// | | needs | wake path |
/// |---|---|---|
/// | `Uring` | io_uring with its futex operations, Linux 6.7 and later | kernel → ring → eventfd → executor → task |
/// | `Waitv` | `futex_waitv`, Linux 5.16 and later | kernel → parked thread (up to 127 words) → task |
/// | `Thread` | any futex | kernel → parked thread (one wait) → task |
///
/// Without a choice, a reactor tries them in this order and takes the first that works, whatever the kernel's version.
/// Containers often forbid io_uring by seccomp, and some `futex_waitv` too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// The kernel waits, without a thread.
    Uring,
    /// Threads that are parked for many words each. A wake without a change of the word may find nobody in the moment in
    /// which such a thread parks anew.
    Waitv,
    /// One parked thread for each wait. The thread of a cancelled wait stays parked for as long as the wait has waited (10 ms to
    /// 10 s). A wake that finds it in that time is handed on.
    Thread,
}

impl Backend {
    /// From the best to the one that always works.
    pub(crate) const LADDER: [Self; 3] = [Self::Uring, Self::Waitv, Self::Thread];

    /// The name that [`FromStr`] and `FUTEX_BACKEND` know: `uring`, `waitv` or `thread`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uring => "uring",
            Self::Waitv => "waitv",
            Self::Thread => "thread",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Backend {
    type Err = ParseBackendError;

    fn from_str(name: &str) -> Result<Self, ParseBackendError> {
        let found = Self::LADDER.into_iter().find(|backend| backend.as_str() == name);
        found.ok_or_else(|| ParseBackendError { name: name.into() })
    }
}

/// A name is not that of a [`Backend`].
#[derive(Clone, PartialEq, Eq)]
pub struct ParseBackendError {
    name: Box<str>,
}

impl fmt::Display for ParseBackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a futex backend: the backends are uring, waitv and thread", self.name)
    }
}

/// The sentence, so that an error that is returned from `main` can be read.
impl fmt::Debug for ParseBackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for ParseBackendError {}

impl From<ParseBackendError> for io::Error {
    fn from(error: ParseBackendError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_that_of_its_backend() {
        for backend in Backend::LADDER {
            assert_eq!(backend.to_string().parse(), Ok(backend));
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_choices() {
        let error = "epoll".parse::<Backend>().unwrap_err();
        let sentence = "\"epoll\" is not a futex backend: the backends are uring, waitv and thread";
        assert_eq!((error.to_string(), format!("{error:?}")), (sentence.into(), sentence.into()));
        let error = io::Error::from(error);
        assert_eq!((error.kind(), error.to_string()), (io::ErrorKind::InvalidInput, sentence.into()));
    }
}
