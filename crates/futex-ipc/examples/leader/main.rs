//! One of several processes leads. When the leader is killed, another process takes over.
//!
//! ```sh
//! cargo run --release -p futex-ipc --example leader
//! cargo run --release -p futex-ipc --example leader -- --terms 200
//! ```
//!
//! Three candidates, each a process, wait for one mutex. The process that has it leads: it begins a new term, with a number that no
//! earlier leader had, and answers on a socket. The program kills the leader again and again, and shows the time until the next leader
//! has begun its term.
//!
//! The address of the socket is a resource outside of the region, which the kernel takes from a killed process a little later than
//! the mutex. `candidate.rs` shows how a new leader waits for that.

mod candidate;
mod options;
mod parent;
#[path = "../shared/mod.rs"]
mod shared;

use options::{Options, USAGE};
use std::process::ExitCode;

/// Number of processes that can lead.
const CANDIDATES: usize = 3;

#[tokio::main]
async fn main() -> ExitCode {
    let options = match shared::options("leader", USAGE, Options::from_env()) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let done = match &options.candidate {
        Some(region) => candidate::run(region).await,
        None => parent::run(&options).await,
    };
    shared::status("leader", done)
}
