//! The command `futex` against real processes: those that it waits for, and those that it wakes.

mod change;
mod examples;
mod hangs;
mod objects;
mod support;
mod terminal;
mod usage;
mod wait;
mod watch;
