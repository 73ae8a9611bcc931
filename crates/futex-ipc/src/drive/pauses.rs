//! The pauses before a sleep.

use crate::steps::Machine;
use std::hint::spin_loop;

/// Lengths of the pauses, in calls of [`spin_loop`] (20 to 50 ns each on x86-64). Together they take about as long as a sleep and a wake.
///
/// Nothing touches the memory during a pause. Otherwise the owner would lose the cache line, and its sections would take longer.
const LENGTHS: [u32; 2] = [16, 64];

/// Number of pauses since the last sleep.
#[derive(Clone, Copy, Default)]
pub(super) struct Pauses(usize);

impl Pauses {
    /// After [`Step::Busy`](crate::steps::Step::Busy): pauses, and lets the machine try again. After both pauses, it does nothing, so the
    /// machine goes on to its sleep.
    #[cold]
    pub(super) fn pause(&mut self, machine: &mut impl Machine) {
        let Some(&length) = LENGTHS.get(self.0) else { return };
        if machine.retry() {
            self.0 += 1;
            (0..length).for_each(|_| spin_loop());
        }
    }
}
