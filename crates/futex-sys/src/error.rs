//! Errors that state what was asked, what went wrong, and what to do.

use std::error::Error;
use std::fmt;
use std::io;

/// Prepends a sentence to an error and keeps the kind. The result prints as "sentence: error".
#[must_use]
pub fn explain(error: impl Into<io::Error>, sentence: impl fmt::Display) -> io::Error {
    let cause = error.into();
    let sentence = format!("{sentence}: {cause}");
    io::Error::new(cause.kind(), Explained { sentence, cause: Some(cause) })
}

/// An error that consists of a sentence and has no cause.
#[must_use]
pub fn fail(kind: io::ErrorKind, sentence: impl Into<String>) -> io::Error {
    io::Error::new(kind, Explained { sentence: sentence.into(), cause: None })
}

/// An `InvalidInput` error: the caller's argument can't be used. `sentence` states the reason and the remedy.
pub(crate) fn refuse(sentence: impl Into<String>) -> io::Error {
    fail(io::ErrorKind::InvalidInput, sentence)
}

/// The same error with another kind.
#[must_use]
pub fn with_kind(kind: io::ErrorKind, error: io::Error) -> io::Error {
    io::Error::new(kind, Explained { sentence: error.to_string(), cause: Some(error) })
}

struct Explained {
    /// The whole message, including that of the cause.
    sentence: String,
    cause: Option<io::Error>,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

/// Prints the sentence too, so that an error that `main` returns is readable.
impl fmt::Debug for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl Error for Explained {
    /// The source of the cause. The sentence includes the cause itself, so a program that prints sources would print it twice.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_ref().and_then(Error::source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a program that prints an error and its sources.
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
    fn a_refusal_prints_its_sentence() {
        let error = refuse("\"a/b\" is not a name");
        assert_eq!(printed(&error), ["\"a/b\" is not a name"]);
        assert_eq!(format!("{error:?}"), "Custom { kind: InvalidInput, error: \"a/b\" is not a name }");
    }
}
