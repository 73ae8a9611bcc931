//! `cargo xtask bench`: builds the performance lab in release and runs it.

use crate::error::{Error, command_succeeds};
use crate::workspace;
use std::ffi::OsString;

pub(crate) const USAGE: &str = "\
cargo xtask bench [--light] [--quick] [--only NAME]... | --list | --counts [--bless]
    Measures the library beside what one would use instead; docs/benchmarks.md tells how to read it.
    --light: without the rivals whose builds are heavy.
";

/// The features with the rivals whose builds are heavy.
const HEAVY: &str = "iceoryx2,ipc-channel";

pub(crate) fn run(mut args: lexopt::Parser) -> Result<(), Error> {
    let mut args: Vec<OsString> = args.raw_args()?.collect();
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        return Err(Error::Help);
    }
    let light = args.iter().any(|arg| arg == "--light");
    args.retain(|arg| arg != "--light");
    // What is counted runs under valgrind, and has no rivals.
    let features = if args.iter().any(|arg| arg == "--counts") { "counts" } else { HEAVY };

    let mut bench = workspace::cargo();
    bench.args(["run", "--release", "--package", "futex-bench"]).env("FUTEX_BENCH_REPORT", report());
    if !light || features != HEAVY {
        bench.args(["--features", features]);
    }
    command_succeeds(bench.arg("--").args(args))
}

fn report() -> std::path::PathBuf {
    workspace::target_dir().join("bench")
}
