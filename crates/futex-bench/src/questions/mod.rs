//! The questions, one file each.

mod arm;
mod arm_threads;
mod cancel;
mod fan_out;
mod fast_path;
mod given_back;
mod growth;
mod idle;
mod memory;
mod pipe;
mod prompt;
mod round_trips;

use crate::question::Question;

/// All questions, in the order in which they are asked.
pub(crate) const ALL: [&Question; 14] = [
    &round_trips::COLD,
    &round_trips::HOT,
    &round_trips::IN_PROCESS,
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
