//! `cargo xtask linux-only`: on another system than Linux, each published crate fails with one clear error.

use crate::command;
use crate::error::{self, Error};
use crate::workspace::{self, PUBLISHED};

/// A target that is not Linux. It needs no linker, because nothing compiles for it.
const TARGET: &str = "x86_64-apple-darwin";

/// The error contains this.
const SAYS: &str = "Linux only";

pub(crate) fn run() -> Result<(), Error> {
    let mut faults = Vec::new();
    for package in PUBLISHED {
        let args = ["check", "--color", "never", "--all-features", "--target", TARGET, "--package", package];
        let (output, fault) = match command::stdout(workspace::cargo().args(args)) {
            Ok(output) => (output, Some("it compiles".into())),
            Err(errors) => (errors.clone(), fault(&errors)),
        };
        faults.extend(fault.map(|fault| format!("{output}\n{package} for {TARGET}: {fault}")));
    }
    error::none(&faults)
}

/// What is wrong with a crate's errors, or `None` if they are as they should be.
fn fault(output: &str) -> Option<String> {
    // cargo adds an error for each crate that did not compile.
    let errors: Vec<_> = output
        .lines()
        .filter(|line| line.starts_with("error") && !line.starts_with("error: could not compile"))
        .collect();
    match errors[..] {
        [error] if error.contains(SAYS) => None,
        [error] => Some(format!("the error doesn't say “{SAYS}”: {error}")),
        _ => Some(format!("{} errors instead of one", errors.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAR: &str = "\
error: futex-sys supports Linux only
  --> crates/futex-sys/src/lib.rs:57:1
error: could not compile `futex-sys` (lib) due to 1 previous error
";

    #[test]
    fn one_clear_error_is_right() {
        assert_eq!(fault(CLEAR), None);
    }

    #[test]
    fn a_second_error_or_an_unclear_one_is_wrong() {
        assert_eq!(fault(&format!("error[E0433]: no io_uring\n{CLEAR}")).unwrap(), "2 errors instead of one");
        assert!(fault("error[E0463]: can't find crate for `std`\n").unwrap().starts_with("the error doesn't say"));
    }
}
