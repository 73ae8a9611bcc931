//! Names, paths and descriptors of shared memory, and how each is opened.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// An object as the command line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    /// A POSIX name, with or without its slash.
    Name(OsString),
    Path(PathBuf),
    /// A descriptor of another process.
    Descriptor { pid: u32, fd: u32 },
}

impl FromStr for Object {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let descriptor = text.split_once(':').and_then(|(pid, fd)| Some((pid.parse().ok()?, fd.parse().ok()?)));
        Ok(match descriptor {
            Some((pid, fd)) => Self::Descriptor { pid, fd },
            None if text.char_indices().any(|(at, letter)| letter == '/' && at > 0) => Self::Path(text.into()),
            None => Self::Name(text.into()),
        })
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{}", name.display()),
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Descriptor { pid, fd } => write!(f, "{pid}:{fd}"),
        }
    }
}
