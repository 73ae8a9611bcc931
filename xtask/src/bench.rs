//! `cargo xtask bench`: builds the performance lab in release and runs it.

use crate::command;
use crate::error::Error;
use crate::workspace;
use std::ffi::OsString;

/// The features with the rivals that take long to build.
const HEAVY: &str = "iceoryx2,ipc-channel";

pub(crate) fn run(mut args: Vec<OsString>) -> Result<(), Error> {
    let light = args.iter().any(|arg| arg == "--light");
    args.retain(|arg| arg != "--light");
    // Instructions are counted under valgrind, without rivals.
    let features = if args.iter().any(|arg| arg == "--counts") { "counts" } else { HEAVY };

    let mut bench = workspace::cargo();
    bench.args(["run", "--release", "--package", "futex-bench"]).env("FUTEX_BENCH_REPORT", report());
    if !light || features != HEAVY {
        bench.args(["--features", features]);
    }
    Ok(command::run(bench.arg("--").args(args))?)
}

fn report() -> std::path::PathBuf {
    workspace::target_dir().join("bench")
}
