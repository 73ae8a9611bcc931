//! Processes share three GPUs. Some of the processes are killed while they use one.
//!
//! ```sh
//! cargo run --release -p futex-ipc --example gpu_pool
//! cargo run --release -p futex-ipc --example gpu_pool -- --jobs 500 --kills 50
//! ```
//!
//! Eight workers, each a process, have jobs to do. A job needs one GPU or two, so the worker takes that many permits of a semaphore
//! with three. The program kills workers at random moments, and starts a successor of each one, which does the remaining jobs.
//! The permits of a killed process return by themselves. At the end, all jobs are done, all permits are there, and at no time did
//! jobs use more than three GPUs.
//!
//! Each worker prints the times at which it begins and ends a job, by the system's clock. From these times the program computes the
//! number of GPUs that were in use, so the check does not depend on the semaphore. The GPUs do not exist: a job sleeps.

mod options;
mod parent;
#[path = "../shared/mod.rs"]
mod shared;
mod usage;
mod worker;

use options::{Options, USAGE};
use std::process::ExitCode;

/// Number of processes that have jobs.
const WORKERS: usize = 8;
/// Number of GPUs.
const GPUS: u32 = 3;

#[tokio::main]
async fn main() -> ExitCode {
    let options = match shared::options("gpu_pool", USAGE, Options::from_env()) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let done = match &options.worker {
        Some(worker) => worker::run(worker).await,
        None => parent::run(&options).await,
    };
    shared::status("gpu_pool", done)
}
