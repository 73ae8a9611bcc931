//! Locks in shared memory for tasks and threads of several processes, each of which may be killed between two instructions.
//!
//! [`steps`] has the algorithms, as machines that make one access to the shared memory per step. What runs them is a driver.

#![forbid(unsafe_code)]

pub mod steps;

#[cfg(test)]
#[cfg(not(loom))]
mod explorer;
#[cfg(test)]
mod loom_models;
#[cfg(test)]
mod sync;
