//! The names of the backends.

use std::error::Error;
use std::fmt;
use std::io;
use std::str::FromStr;

/// A way to wait for futex words.
///
/// | backend | needs | path of a wake |
/// |---|---|---|
/// | `Uring` | io_uring with futex operations (Linux 6.7) | kernel → ring → eventfd → epoll → task |
/// | `Waitv` | `futex_waitv` (Linux 5.16) | kernel → parked thread (up to 127 words) → task |
/// | `Thread` | any futex | kernel → parked thread (one wait) → task |
///
/// A *parked* thread is a thread of the backend that is blocked in the kernel.
///
/// By default a reactor tries the backends in this order and takes the first one that works, whatever the version of the kernel
/// is. Containers often forbid io_uring by seccomp, and some also forbid `futex_waitv`.
///
/// On `Waitv` and `Thread`, the thread of a wait sometimes leaves the kernel for a moment and enters it again. A *bare* wake,
/// which comes without a change of the word that lasts, finds nobody in that moment. The return value of the wake shows this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// Waits are entries of an io_uring and need no thread.
    Uring,
    /// Each thread is parked for up to 127 words. A wait with a mask has a thread of its own, like on `Thread`.
    Waitv,
    /// Each wait has a parked thread. When the wait is cancelled, its thread may stay parked, but for 10 s at most. Usually
    /// this time is not longer than the wait was. (After a wait shorter than 10 ms, it is usually up to 10 ms.) If a wake
    /// finds the thread in that time, the thread hands the wake on to the next waiter.
    Thread,
}

impl Backend {
    /// All backends, from the best one to the one that always works.
    pub(crate) const LADDER: [Self; 3] = [Self::Uring, Self::Waitv, Self::Thread];

    /// Returns the name that [`FromStr`] and `FUTEX_BACKEND` accept: `uring`, `waitv` or `thread`.
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

/// The error for a name that is not the name of a [`Backend`].
#[derive(Clone, PartialEq, Eq)]
pub struct ParseBackendError {
    name: Box<str>,
}

impl fmt::Display for ParseBackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a futex backend: the backends are uring, waitv and thread", self.name)
    }
}

/// Prints the sentence of `Display`, so that an error that `main` returns is readable.
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
    fn each_backend_is_parsed_from_its_name() {
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
