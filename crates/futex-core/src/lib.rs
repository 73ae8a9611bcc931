//! Wait asynchronously on futex words that processes share, on any executor.
//!
//! This is the middle layer of the async futex workspace: the waiter state machine and its backends, without an opinion
//! on executors. With Tokio, use `futex-tokio`, which drives it. With another executor, drive a [`Reactor`] with any
//! poller: its descriptor is readable when there is work for [`Reactor::turn`]. The example `other_executor` does it with
//! `async-io`.
//!
//! Models check that no wake is lost and that no wait ends twice. `docs/architecture.md` has the rules, in the section "The
//! contract".

#![forbid(unsafe_code)]
#[cfg(not(target_os = "linux"))]
compile_error!("futex-core supports Linux only: its backends are io_uring, futex_waitv and futex");

// Some tests share files with `tests/`.
#[cfg(all(target_os = "linux", test, not(any(loom, miri))))]
extern crate self as futex_core;

#[cfg(target_os = "linux")]
mod backend;
#[cfg(target_os = "linux")]
mod backends;
#[cfg(target_os = "linux")]
mod builder;
#[cfg(target_os = "linux")]
mod effects;
#[cfg(target_os = "linux")]
mod engine;
#[cfg(target_os = "linux")]
mod kind;
#[cfg(all(target_os = "linux", test))]
mod model;
#[cfg(target_os = "linux")]
mod outcome;
#[cfg(target_os = "linux")]
mod pool;
#[cfg(target_os = "linux")]
mod reactor;
#[cfg(target_os = "linux")]
mod shard;
#[cfg(target_os = "linux")]
mod stats;
#[cfg(target_os = "linux")]
mod sync;
#[cfg(all(target_os = "linux", test))]
mod tests;
#[cfg(target_os = "linux")]
mod trace;
#[cfg(target_os = "linux")]
mod wait_any;
#[cfg(target_os = "linux")]
mod waiter;

#[cfg(target_os = "linux")]
pub use self::{
    backends::hand_on,
    builder::Builder,
    kind::BackendKind,
    outcome::Outcome,
    reactor::Reactor,
    stats::Stats,
    wait_any::{Target, WaitAny},
    waiter::{Wait, Waiter},
};
#[cfg(target_os = "linux")]
pub use futex_sys::{PerProcess, SharedMemory, Word, explain, futex::MATCH_ANY};
