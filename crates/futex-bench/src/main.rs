//! The performance lab. Run it with `cargo xtask bench`.

use std::process::ExitCode;

fn main() -> ExitCode {
    futex_bench::main()
}
