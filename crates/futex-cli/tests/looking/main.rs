//! `futex ls` and `futex show`, run on real processes.

#![expect(clippy::unwrap_used, reason = "a test fails where something is not as it has to be")]

mod ls;
mod region;
mod restricted;
mod show;
mod support;
