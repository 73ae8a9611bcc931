//! Where the report goes.

use std::env;
use std::path::PathBuf;

/// The directory that `cargo xtask bench` chooses.
pub(crate) fn directory() -> PathBuf {
    env::var_os("FUTEX_BENCH_REPORT").map_or_else(|| PathBuf::from("target/bench"), PathBuf::from)
}
