//! Things that are chosen by the name that they are told by.

use std::fmt;

/// The one of `all` whose name this is.
pub(crate) fn find<T: fmt::Display>(all: impl IntoIterator<Item = T>, name: &str) -> Result<T, String> {
    all.into_iter()
        .find(|one| one.to_string() == name)
        .ok_or_else(|| format!("there is nothing called {name:?} to choose"))
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn what_is_told_is_found_again() {
        assert_eq!(find([10, 20, 30], "20"), Ok(20));
        assert_eq!(find([10, 20], "25"), Err("there is nothing called \"25\" to choose".into()));
    }
}
