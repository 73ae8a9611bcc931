//! Errors that say what was asked, what went wrong, and what to do.

use std::error::Error;
use std::fmt;
use std::io;

/// Puts a sentence in front of an error, which keeps its kind. The result prints as "sentence: error".
#[must_use]
pub fn explain(error: impl Into<io::Error>, sentence: impl fmt::Display) -> io::Error {
    let cause = error.into();
    let sentence = format!("{sentence}: {cause}");
    io::Error::new(cause.kind(), Explained { sentence, cause: Some(cause) })
}

/// An error that is a sentence, and has no cause.
#[must_use]
pub fn fail(kind: io::ErrorKind, sentence: impl Into<String>) -> io::Error {
    io::Error::new(kind, Explained { sentence: sentence.into(), cause: None })
}

/// An `InvalidInput` error: the caller's argument can't be used, and `sentence` says why and what to do.
pub(crate) fn refuse(sentence: impl Into<String>) -> io::Error {
    fail(io::ErrorKind::InvalidInput, sentence)
}

/// The same error with another kind.
#[must_use]
pub fn with_kind(kind: io::ErrorKind, error: io::Error) -> io::Error {
    io::Error::new(kind, Explained { sentence: error.to_string(), cause: Some(error) })
}

struct Explained {
    /// With the cause.
    sentence: String,
    cause: Option<io::Error>,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

/// The sentence too, so that an error that is returned from `main` can be read.
impl fmt::Debug for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl Error for Explained {
    /// What caused the cause. The sentence has the cause itself, and printers of causes would show it twice.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_ref().and_then(Error::source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that a printer of causes shows.
    fn printed(error: &io::Error) -> Vec<String> {
        let causes = std::iter::successors(Some(error as &(dyn Error + 'static)), |&error| error.source());
        causes.map(ToString::to_string).collect()
    }

    #[test]
    fn an_explained_error_keeps_its_kind_and_shows_its_cause_once() {
        let cause = || io::Error::from(rustix::io::Errno::PERM);
        let error = explain(explain(cause(), "cannot open a ring"), "cannot wait");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        let sentence = format!("cannot wait: cannot open a ring: {}", cause());
        assert_eq!(printed(&error), vec![sentence.clone()]);
        assert_eq!(format!("{error:?}"), format!("Custom {{ kind: PermissionDenied, error: {sentence} }}"));

        let error = with_kind(io::ErrorKind::OutOfMemory, error);
        assert_eq!((error.kind(), printed(&error)), (io::ErrorKind::OutOfMemory, vec![sentence]));
    }

    #[test]
    fn a_refusal_is_read_as_it_was_written() {
        let error = refuse("\"a/b\" is not a name");
        assert_eq!(printed(&error), ["\"a/b\" is not a name"]);
        assert_eq!(format!("{error:?}"), "Custom { kind: InvalidInput, error: \"a/b\" is not a name }");
    }
}
