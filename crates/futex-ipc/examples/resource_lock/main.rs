//! Processes append to one file under a lock, and are killed while they do so.
//!
//! ```sh
//! cargo run --release -p futex-ipc --example resource_lock
//! cargo run --release -p futex-ipc --example resource_lock -- --records 2000 --kills 100
//! ```
//!
//! Four workers, each a process, write their records into one file. The program kills workers at random moments, even in the middle of
//! a record, and starts a successor of each one. At the end, the file has each record exactly once, and no partial record.
//!
//! The file is outside of the region, so the lock can't undo the writes of a dead owner. But the value of the mutex has the length of the
//! part of the file that is in order. `worker.rs` shows how.

mod options;
mod parent;
#[path = "../shared/mod.rs"]
mod shared;
mod worker;

use options::{Options, USAGE};
use std::process::ExitCode;

/// Number of processes that write.
const WORKERS: usize = 4;

#[tokio::main]
async fn main() -> ExitCode {
    let options = match shared::options("resource_lock", USAGE, Options::from_env()) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let done = match &options.worker {
        Some(worker) => worker::run(&options, worker).await,
        None => parent::run(&options).await,
    };
    shared::status("resource_lock", done)
}
