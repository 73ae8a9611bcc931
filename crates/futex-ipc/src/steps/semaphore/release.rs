//! Giving permits back.

use super::state::{Semaphore, W, available, changed};
use crate::steps::{Machine, Step, Words};
use std::sync::atomic::Ordering::{AcqRel, Release as Publish, SeqCst};

/// Releases `n` permits that this member holds.
///
/// 1. available += n, with the version (acquire and release).
/// 2. record −= n (`SeqCst`).
/// 3. Load the state, *last* (`SeqCst`; the partner is the CAS that sets W, after which the records are summed). No W: done.
/// 4. event += 1 (Release).
/// 5. Wake one. If there was a sleeper: done.
/// 6. CAS W off, with the word of 3. A task that began to wait since then has changed the version.
///
/// To forget permits, step 1 is: capacity −= n (`SeqCst`). A task that sums the records loads the capacity afterwards. So it may find too
/// few permits, but then 3 finds its W.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Release {
    place: Semaphore,
    n: u32,
    forgets: bool,
    at: At,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum At {
    Give,
    Record,
    Look,
    Bump(u64),
    Wake(u64),
    Clear(u64),
}

impl Release {
    /// Begins to release.
    #[must_use]
    pub fn new(place: Semaphore, n: u32) -> Self {
        Self { place, n, forgets: false, at: At::Give }
    }

    /// Begins to remove permits permanently. The capacity decreases.
    #[must_use]
    pub fn forget(place: Semaphore, n: u32) -> Self {
        Self { forgets: true, ..Self::new(place, n) }
    }
}

impl Machine for Release {
    type Output = ();
    const FAST: u32 = 3;

    #[inline(always)]
    fn step<M: Words>(&mut self, words: &M) -> Step<()> {
        let Semaphore { state, event, records, capacity, .. } = self.place;
        self.at = match self.at {
            At::Give if self.forgets => {
                words.fetch_sub(capacity, self.n.into(), SeqCst);
                At::Record
            }
            At::Give => {
                words.fetch_add(state, (1 << 32) + u64::from(self.n), AcqRel);
                At::Record
            }
            At::Record => {
                records.subtract(words, self.n);
                At::Look
            }
            At::Look => {
                let word = words.load(state, SeqCst);
                if word & W == 0 {
                    return Step::Done(());
                }
                At::Bump(word)
            }
            At::Bump(word) => {
                words.fetch_add(event, 1, Publish);
                At::Wake(word)
            }
            At::Wake(word) => {
                if words.wake(event, 1) > 0 {
                    return Step::Done(());
                }
                At::Clear(word)
            }
            At::Clear(word) => {
                // It fails if the state changed since 3.
                let _ = words.compare_exchange(state, word, changed(word, available(word), 0), AcqRel);
                return Step::Done(());
            }
        };
        Step::Next
    }

    #[cfg(test)]
    fn renumber(&mut self, f: &mut dyn FnMut(crate::steps::Place, u64) -> u64) {
        if let At::Bump(word) | At::Wake(word) | At::Clear(word) = &mut self.at {
            *word = f(self.place.state, *word);
        }
    }
}
