//! The questions, one file each.

mod arm;
mod arm_threads;
mod cancel;
mod fan_out;
mod fast_path;
mod given_back;
mod growth;
mod idle;
mod ipc_death;
mod ipc_members;
mod ipc_mutex;
mod ipc_mutex_contended;
mod ipc_rwlock;
mod ipc_semaphore;
mod memory;
mod pipe;
mod prompt;
mod round_trips;

use crate::question::Question;

/// All questions, in the order in which they are asked.
pub(crate) const ALL: [&Question; 21] = [
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
    &ipc_mutex::QUESTION,
    &ipc_mutex_contended::QUESTION,
    &ipc_semaphore::QUESTION,
    &ipc_rwlock::QUESTION,
    &ipc_death::QUESTION,
    &ipc_members::JOINS,
    &ipc_members::DEATHS,
];
