//! Processes that append to one file under a lock, and that are killed while they do so.
//!
//! ```sh
//! cargo run --release -p futex-ipc --example resource_lock
//! cargo run --release -p futex-ipc --example resource_lock -- --records 2000 --kills 100
//! ```
//!
//! Four workers, each a process, write their records into one file. The program kills them at random moments, also in the middle of
//! a record, and starts a successor of each one. At the end, the file has each record exactly once, and no half of a record.
//!
//! The file is outside of the region, so the lock can't undo what a dead owner did there. But the value of the mutex says up to where
//! the file is in order. `worker.rs` shows how.

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
