//! Wait asynchronously on futex words that processes share, on any executor.
//!
//! This is the middle layer of the async futex workspace: the waiter state machine and its backends, independent of the
//! executor. With Tokio, use `futex-tokio`, which drives it. With another executor, drive a [`Reactor`] with any poller:
//! its descriptor is readable when there is work for [`Reactor::turn`]. The example
//! [`other_executor`](https://github.com/async-futex/async-futex/blob/main/crates/futex-core/examples/other_executor.rs)
//! does it with `async-io`.
//!
//! The [guide](https://github.com/async-futex/async-futex/blob/main/docs/guide.md) is written for Tokio; what it
//! says about words, memory and processes holds here too.
//!
//! Models check that no wake is lost and that no wait ends twice. The
//! [architecture](https://github.com/async-futex/async-futex/blob/main/docs/architecture.md) has the rules, in the
//! section "The contract".

#![forbid(unsafe_code)]
// Some tests share files with `tests/`.
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

/// For `futex-tokio`, which depends on this crate by its exact version.
#[doc(hidden)]
pub mod __private {
    pub use futex_sys::__private::*;
}
