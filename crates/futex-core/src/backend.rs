//! The names of the backends.

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
/// Without a choice, the first one that works here is taken, by probing and not by the kernel's version. Containers often
/// forbid io_uring by seccomp, and some `futex_waitv` too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackendKind {
    /// The kernel waits, without a thread.
    Uring,
    /// Threads that are parked for many words each. A wake without a change of the word may find nobody in the moment in
    /// which such a thread parks anew.
    Waitv,
    /// One parked thread for each wait. The thread of a cancelled wait stays parked for as long as the wait has waited (10 ms to
    /// 10 s). A wake that finds it in that time is handed on.
    Thread,
}

impl BackendKind {
    /// From the best to the one that always works.
    pub(crate) const LADDER: [Self; 3] = [Self::Uring, Self::Waitv, Self::Thread];

    /// The name that [`FromStr`] and `FUTEX_BACKEND` know.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uring => "uring",
            Self::Waitv => "waitv",
            Self::Thread => "thread",
        }
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for BackendKind {
    type Err = io::Error;

    fn from_str(name: &str) -> io::Result<Self> {
        Self::LADDER.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{name:?} is no futex backend: choose uring, waitv or thread"),
            )
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_that_of_its_backend() {
        for kind in BackendKind::LADDER {
            assert_eq!(kind.to_string().parse::<BackendKind>().unwrap(), kind);
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_choices() {
        let error = "epoll".parse::<BackendKind>().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "\"epoll\" is no futex backend: choose uring, waitv or thread");
    }
}
