//! More permits.

use super::state::{MAX_PERMITS, Semaphore, W, permits};
use crate::steps::{Machine, Step, Words};
use std::sync::atomic::Ordering::{Relaxed, Release, SeqCst};

/// Adds `n` permits to the capacity. The output is false if that would exceed [`MAX_PERMITS`].
///
/// 1. Load the capacity. Too high: done.
/// 2. CAS capacity + n (`SeqCst`). If it fails: 2 with the value that is there.
/// 3. Load the state (`SeqCst`; the partner is the CAS that sets W, after which the capacity is loaded). No W: done.
/// 4. event += 1 (Release), wake one.
///
/// *Available* stays as it is, so it is too low. The waiting task raises it, or the next task that does not find enough. So after a
/// death between two steps, it is enough that the sweep changes the event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Grow {
    place: Semaphore,
    n: u32,
    at: At,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum At {
    Load,
    Add(u64),
    Look,
    Bump,
    Wake,
}

impl Grow {
    /// Begins to add.
    #[must_use]
    pub fn new(place: Semaphore, n: u32) -> Self {
        Self { place, n, at: At::Load }
    }
}

impl Machine for Grow {
    type Output = bool;

    fn step<M: Words>(&mut self, words: &M) -> Step<bool> {
        let Semaphore { state, event, capacity, .. } = self.place;
        let (seen, step) = match self.at {
            At::Load => (words.load(capacity, Relaxed), Step::Next),
            At::Add(word) => match words.compare_exchange(capacity, word, u64::from(permits(word) + self.n), SeqCst) {
                Ok(_) => {
                    self.at = At::Look;
                    return Step::Next;
                }
                Err(other) => (other, Step::Contended),
            },
            At::Look if words.load(state, SeqCst) & W == 0 => return Step::Done(true),
            At::Look => {
                self.at = At::Bump;
                return Step::Next;
            }
            At::Bump => {
                words.fetch_add(event, 1, Release);
                self.at = At::Wake;
                return Step::Next;
            }
            At::Wake => {
                words.wake(event, 1);
                return Step::Done(true);
            }
        };
        if permits(seen).saturating_add(self.n) > MAX_PERMITS {
            return Step::Done(false);
        }
        self.at = At::Add(seen);
        step
    }
}
