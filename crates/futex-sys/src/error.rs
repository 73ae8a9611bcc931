//! Errors that say what was asked and what to do, and that keep the kernel's error number.

use std::error::Error;
use std::fmt;
use std::io;

/// Puts a sentence in front of an operating system error.
///
/// The result has the kind of `error`, prints as "sentence: error", and has `error` as its
/// [source](std::error::Error::source), so that the error number is still there for who wants it.
#[must_use]
pub fn explain(error: impl Into<io::Error>, sentence: impl Into<String>) -> io::Error {
    let source = error.into();
    io::Error::new(source.kind(), Explained { sentence: sentence.into(), source })
}

/// An `InvalidInput` error: the caller's argument can't be used, and `sentence` says why and what to do.
pub(crate) fn refuse(sentence: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, sentence.into())
}

#[derive(Debug)]
struct Explained {
    sentence: String,
    source: io::Error,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.sentence, self.source)
    }
}

impl Error for Explained {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explained_error_keeps_its_kind_and_its_number() {
        let error = explain(rustix::io::Errno::PERM, "cannot open a ring");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(error.to_string().starts_with("cannot open a ring: "));
        let explained = error.into_inner().unwrap();
        let source = explained.source().unwrap().downcast_ref::<io::Error>().unwrap();
        assert_eq!(source.raw_os_error(), Some(rustix::io::Errno::PERM.raw_os_error()));
    }
}
