//! The futex of the model.

use crate::steps::Place;
use std::fmt;

/// The waits in the kernel, first come, first served.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Queue {
    waits: [u8; 6],
    len: u8,
}

/// Instead of a process: the wait of one that was killed.
pub(super) const ZOMBIE: u8 = 0xf;

impl Queue {
    /// Places of the waits of killed processes.
    pub(super) fn zombies(&self) -> impl Iterator<Item = usize> {
        (0..usize::from(self.len)).filter(|&index| self.waits[index] & 0xf == ZOMBIE)
    }

    /// Leaves the waits of a process that is killed.
    pub(super) fn bury(&mut self, process: u8) {
        for wait in &mut self.waits[..usize::from(self.len)] {
            if *wait & 0xf == process {
                *wait |= ZOMBIE;
            }
        }
    }

    pub(super) fn push(&mut self, place: Place, process: u8) {
        self.waits[usize::from(self.len)] = u8::try_from(place.0).unwrap() << 4 | process;
        self.len += 1;
    }

    pub(super) fn remove(&mut self, index: usize) -> u8 {
        let wait = self.waits[index];
        self.waits.copy_within(index + 1.., index);
        self.waits[5] = 0;
        self.len -= 1;
        wait & 0xf
    }

    pub(super) fn find(&self, mut fits: impl FnMut(Place, u8) -> bool) -> Option<usize> {
        self.waits[..usize::from(self.len)].iter().position(|wait| fits(Place((wait >> 4).into()), wait & 0xf))
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "queue")?;
        self.waits[..usize::from(self.len)].iter().try_for_each(|wait| write!(f, " {}:{}", wait >> 4, wait & 0xf))
    }
}
