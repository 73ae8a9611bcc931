//! The workspace's own commands, run as `cargo xtask COMMAND`.
//!
//! Each command has a file of its name. What the commands share:
//!
//! | file | contents |
//! |---|---|
//! | `matrix.rs` | the rows of `cargo xtask test`, as a table |
//! | `need.rs` | what a row needs on the machine, and how to get it |
//! | `step.rs` | the command lines of a row |
//! | `report.rs` | the line of each row, and the summary |
//! | `command.rs` | runs a command |
//! | `scratch.rs` | workspaces that are made for one check |
//! | `workspace.rs` | paths, cargo, and the published crates |
//! | `error.rs` | how a command fails |

mod bench;
mod command;
mod error;
mod kernels;
mod linux_only;
mod matrix;
mod minimal_versions;
mod mutants;
mod need;
mod packaged;
mod report;
mod scratch;
mod shown;
mod step;
mod test;
mod tree;
mod workspace;

use crate::error::Error;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

/// The workspace's own commands
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole test matrix, row by row
    ///
    /// A row that fails does not stop the others.
    #[command(after_help = "\
        The environment variable CI makes a skipped test a failure. FUTEX_TESTS_FORBID_SKIPS=0 or =1 overrides CI and \
        --forbid-skips for tests.")]
    Test(test::Options),
    /// Check the dependencies of each layer, and search for circular imports
    ///
    /// The table in xtask/src/tree.rs lists what each published crate can depend on. Code that is compiled for tests only
    /// can import in a circle.
    Tree,
    /// Check that the packages of the published crates are complete and compile
    ///
    /// Each package must have the required files. The unpacked packages are compiled together, outside of the workspace.
    Packaged,
    /// Compile the documents' programs with the dependencies that the documents show
    ///
    /// The dependencies of a program are those in the TOML block that follows it. If another program follows first, they are
    /// those in the document's first TOML block.
    Shown,
    /// Compile the published crates with the oldest dependencies that they allow
    ///
    /// This needs a nightly toolchain, which selects the versions.
    MinimalVersions,
    /// Check that each published crate fails with one clear error outside Linux
    ///
    /// The crates are compiled for macOS. This needs the target: rustup target add x86_64-apple-darwin
    LinuxOnly,
    /// Boot other kernels in QEMU and run the tests in them
    ///
    /// The tests between processes run on each backend that the kernel has. This needs Debian, but not root: apt-get downloads
    /// kernels, and QEMU if it is not installed, into target/kernels. A kernel for 64-bit ARM also needs the target: rustup
    /// target add aarch64-unknown-linux-gnu
    Kernels(kernels::Options),
    /// Measure the library and its alternatives
    ///
    /// docs/benchmarks.md explains the results.
    #[command(
        override_usage = "cargo xtask bench [--light] [--quick] [--only NAME]... | --list | --counts [--bless]",
        after_help = "--light leaves out the rivals that take long to build."
    )]
    Bench {
        #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Break rules on purpose and check that a test fails for each
    ///
    /// Each mutant breaks one rule in a copy of the workspace. The model or test of the rule must fail.
    /// xtask/src/mutants/table.rs lists the mutants.
    Mutants(mutants::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Test(options) => test::run(&options),
        Command::Tree => tree::run(),
        Command::Packaged => packaged::run(),
        Command::Shown => shown::run(),
        Command::MinimalVersions => minimal_versions::run(),
        Command::LinuxOnly => linux_only::run(),
        Command::Kernels(options) => kernels::run(&options),
        Command::Bench { args } => bench::run(args),
        Command::Mutants(options) => mutants::run(&options),
    };
    let (message, code) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Error::Reported) => return ExitCode::FAILURE,
        Err(Error::Usage(message)) => (message, ExitCode::from(2)),
        Err(Error::Failed(message)) => (message, ExitCode::FAILURE),
    };
    eprintln!("error: {message}");
    code
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn bad_arguments_are_usage_errors() {
        for line in ["test --nope", "test --only", "test row", "test --list=x", "tree --all", "no-such-command", ""] {
            let error = Arguments::try_parse_from(["xtask"].into_iter().chain(line.split_whitespace())).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_known_names() {
        for (command, known) in [("test", "fmt, clippy, "), ("mutants", "drop-keeps-wake, cancel-keeps-wake, ")] {
            let error = Arguments::try_parse_from(["xtask", command, "--only", "loomy"]).unwrap_err().to_string();
            assert!(error.contains("'loomy'") && error.contains(known), "{error}");
        }
    }

    #[test]
    fn the_arguments_of_the_lab_are_passed_on() {
        let args = ["--quick", "--only", "arm", "--light"];
        let parsed = Arguments::try_parse_from(["xtask", "bench"].into_iter().chain(args)).unwrap();
        assert!(matches!(parsed.command, Command::Bench { args: passed } if passed == args));
    }
}
