//! Wakes that were handed on and found nobody in the kernel.
//!
//! A thread that parks for a wait is not always there: it is on its way to park, or is out because another of its words has
//! changed. A waker whose wake finds nobody then sees that in its count. But a wake that was *handed on* has been counted
//! before, so it must not be lost where somebody waits: what the kernel doesn't find, this does, in any queue of parked
//! threads of the process.
//!
//! 1. Waits A and B on one word share a thread. A wake is counted for A, whose owner leaves.
//! 2. The thread comes out, and hands the wake on. B isn't parked: the kernel finds nobody.
//! 3. B, which waited when the wake was counted, would park again and sleep on.

use futex_sys::{PerProcess, Word};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A queue whose waits are not always in the kernel.
pub(super) trait Parked: Send + Sync {
    /// Ends the longest wait that a wake would have found, as woken. Returns false if there was none; otherwise the caller has
    /// to [turn](Parked::turn), when it holds no lock.
    ///
    /// If that wait has consumed a wake of its own meanwhile, that is handed on in turn.
    fn offer(&self, word: &Word, mask: NonZeroU32) -> bool;

    /// Turns the reactor of the queue.
    fn turn(&self);
}

/// The queues of this process. In a child of `fork` there are none, and the lock is free.
static QUEUES: PerProcess<Mutex<Vec<Weak<dyn Parked>>>> = PerProcess::new();

fn queues() -> MutexGuard<'static, Vec<Weak<dyn Parked>>> {
    QUEUES.get().lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has wakes offered to `queue` as long as it lives.
pub(super) fn register(queue: Weak<dyn Parked>) {
    let mut queues = queues();
    queues.retain(|queue| queue.strong_count() > 0);
    queues.push(queue);
}

/// Passes a consumed wake to the next waiter of `word`. If that is one of a queue of this process that the kernel does not
/// have now, the queue is returned: it has to be turned. The caller holds no lock of a queue.
#[must_use]
pub(super) fn hand_on(word: &Word, mask: NonZeroU32) -> Option<Arc<dyn Parked>> {
    if word.wake_masked(1, mask) > 0 {
        return None;
    }
    let queues = queues().clone();
    queues.iter().filter_map(Weak::upgrade).find(|queue| queue.offer(word, mask))
}
