//! The questions, one file each.

mod arm;
mod arm_threads;
mod cancel;
mod fan_out;
mod fast_path;
mod given_back;
mod growth;
mod idle;
mod in_process;
mod memory;
mod pipe;
mod prompt;
mod round_trip;
mod round_trip_hot;
mod trips;

use crate::question::Question;

/// All questions, in the order of the report.
pub(crate) const ALL: [&Question; 14] = [
    &round_trip::QUESTION,
    &round_trip_hot::QUESTION,
    &in_process::QUESTION,
    &prompt::QUESTION,
    &fast_path::QUESTION,
    &arm::QUESTION,
    &arm_threads::QUESTION,
    &cancel::QUESTION,
    &fan_out::QUESTION,
    &memory::QUESTION,
    &given_back::QUESTION,
    &idle::QUESTION,
    &pipe::QUESTION,
    &growth::QUESTION,
];
