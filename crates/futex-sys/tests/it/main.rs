//! Tests of the documented behaviour, with the real kernel.
//!
//! There is one module per theme. A test that needs a missing feature of the kernel prints `SKIPPED: reason`, or fails if
//! `FUTEX_TESTS_FORBID_SKIPS` is set.
#![cfg(target_os = "linux")]

mod auxiliary_vector;
mod deadlines;
mod fork;
mod futex;
mod interrupted;
mod limits;
mod named_memory;
mod names_killed;
mod names_storm;
mod passing;
mod posix_names;
mod process_ends;
mod processes;
mod refusals;
mod requeue;
mod reserved;
mod shared_memory;
mod support;
mod tables;
mod truncated;
#[cfg(feature = "uring")]
mod uring;
#[cfg(feature = "uring")]
mod uring_close;
#[cfg(feature = "uring")]
mod uring_model;
#[cfg(feature = "uring")]
mod uring_races;
mod waiters;
mod waitv;
mod word;
