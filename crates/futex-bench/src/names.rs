//! Things that the command line names as the reports do.

use lexopt::ValueExt as _;
use std::fmt;

/// The one of `all` whose name is the next value of the command line.
pub(crate) fn value<T: fmt::Display>(
    arguments: &mut lexopt::Parser,
    all: impl IntoIterator<Item = T>,
) -> Result<T, lexopt::Error> {
    let name = arguments.value()?.string()?;
    let mut all = all.into_iter();
    all.find(|one| one.to_string() == name).ok_or_else(|| format!("there is nothing called {name:?} to choose").into())
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn what_is_told_is_found_again() {
        let find = |name| value(&mut lexopt::Parser::from_args([name]), [10, 20, 30]);
        assert_eq!(find("20").unwrap(), 20);
        assert_eq!(find("25").unwrap_err().to_string(), "there is nothing called \"25\" to choose");
    }
}
