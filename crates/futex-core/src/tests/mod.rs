//! Models and unit tests of the engine and the backends.
//!
//! The models run under loom, in every order of their steps, and also as ordinary tests, many times with real threads.

#[cfg(not(loom))]
mod crowding;
#[cfg(not(loom))]
mod figures;
#[cfg(not(any(loom, miri)))]
mod kernel;
#[cfg(not(any(loom, miri)))]
mod left_behind;
mod loom_models;
#[cfg(not(loom))]
mod misbehaving;
mod owner;
#[cfg(not(any(loom, miri)))]
pub(crate) mod parked;
#[cfg(not(loom))]
mod properties;
#[cfg(not(loom))]
mod sequence;
mod world;
