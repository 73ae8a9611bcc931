//! A pipe of slots between processes.
//!
//! ```sh
//! cargo run --release --example slot_pipe
//! cargo run --release --example slot_pipe -- --backend waitv --messages 100000 --slots 16
//! ```
//!
//! The parent process consumes, with one task per slot. Two child processes of the same program produce. They get the memory
//! as a descriptor.
//!
//! The state word of each slot goes empty → full → empty, and both sides wait for it with an `AsyncFutex`. A side that waits
//! sets a bit of the word first, as in a futex mutex. So the other side makes no system call if nobody sleeps.

mod consumer;
mod options;
mod producer;
mod slot;

use options::{Options, Role, USAGE};
use std::process::ExitCode;

/// Number of children, which produce.
const PRODUCERS: usize = 2;

fn main() -> ExitCode {
    let options = match Options::from_env() {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprint!("slot_pipe: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("slot_pipe: cannot start a runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = match options.role {
        Role::Consumer => runtime.block_on(consumer::run(&options)),
        Role::Producer(index) => runtime.block_on(producer::run(&options, index)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slot_pipe: {error}");
            ExitCode::FAILURE
        }
    }
}
