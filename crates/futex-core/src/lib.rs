//! Wait asynchronously on futex words that processes share, on any executor.
//!
//! This crate is the middle layer of the async futex workspace: the waiter state machine and its backends, independent of
//! the executor. With Tokio, use `futex-tokio`, which drives the [`Reactor`] for you. With another executor, poll the
//! reactor's file descriptor, and call [`Reactor::turn`] when the descriptor is readable. The example
//! [`other_executor`](https://github.com/async-futex/async-futex/blob/main/crates/futex-core/examples/other_executor.rs)
//! does this with `async-io`.
//!
//! The [guide](https://github.com/async-futex/async-futex/blob/main/docs/guide.md) is written for Tokio, but its parts on
//! words, memory and processes apply to this crate too.
//!
//! Models check that no wake is lost and that no wait ends twice. The rules that they check are in the
//! [architecture](https://github.com/async-futex/async-futex/blob/main/docs/architecture.md#the-contract).

#![forbid(unsafe_code)]
// Some unit tests share files with `tests/`, which name this crate `futex_core`.
#[cfg(all(test, not(loom)))]
extern crate self as futex_core;

mod backend;
mod backends;
mod builder;
mod effects;
mod engine;

#[cfg(test)]
mod model;
mod outcome;
mod pool;
mod queue;
mod reactor;
mod shard;
mod stats;
mod sync;
#[cfg(test)]
mod tests;
mod trace;
mod wait_any;
mod waiter;

pub use self::{
    backend::{Backend, ParseBackendError},
    backends::hand_on,
    builder::ReactorBuilder,
    outcome::Outcome,
    reactor::Reactor,
    stats::Stats,
    wait_any::{First, Target, WaitAny},
    waiter::{Wait, Waiter},
};
#[doc(inline)]
pub use futex_sys::{Deadline, MATCH_ANY, NamedMemory, Process, ProcessId, SharedMemory, WaitOutcome, Word};

/// Private API for `futex-tokio`, which depends on an exact version of this crate.
#[doc(hidden)]
pub mod __private {
    pub use futex_sys::__private::*;
}
