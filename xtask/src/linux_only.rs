//! `cargo xtask linux-only`: elsewhere than on Linux, each published crate fails with one clear error.

use crate::error::Error;
use crate::workspace::{self, PUBLISHED};

pub(crate) const USAGE: &str = "\
cargo xtask linux-only
    Compiles each published crate for macOS, where it must fail with one error, which says that it is for Linux only.
    Needs the target: rustup target add x86_64-apple-darwin.
";

/// Any target that is not Linux serves. No linker is needed for it: nothing gets as far as that.
const TARGET: &str = "x86_64-apple-darwin";

/// What the error must say.
const SAYS: &str = "Linux only";

pub(crate) fn run() -> Result<(), Error> {
    let mut faults = Vec::new();
    for package in PUBLISHED {
        let args = ["check", "--color", "never", "--all-features", "--target", TARGET, "--package", package];
        let output = workspace::cargo().args(args).output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        let fault = if output.status.success() { Some("compiles".into()) } else { fault(&text) };
        faults.extend(fault.map(|fault| format!("{text}\n{package} for {TARGET}: {fault}")));
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::Failed(faults.join("\n"))) }
}

/// What is wrong with the way in which a crate failed, if anything is.
fn fault(output: &str) -> Option<String> {
    // What cargo says about each crate that did not compile is no error of its own.
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
