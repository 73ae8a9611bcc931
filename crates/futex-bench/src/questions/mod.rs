//! The questions, one file each.

mod arm;
mod cancel;
mod fan_out;
mod fast_path;
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
pub(crate) const ALL: [&Question; 12] = [
    &round_trip::QUESTION,
    &round_trip_hot::QUESTION,
    &in_process::QUESTION,
    &prompt::QUESTION,
    &fast_path::QUESTION,
    &arm::QUESTION,
    &cancel::QUESTION,
    &fan_out::QUESTION,
    &memory::QUESTION,
    &idle::QUESTION,
    &pipe::QUESTION,
    &growth::QUESTION,
];
