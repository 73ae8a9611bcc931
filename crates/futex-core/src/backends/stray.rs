//! Wakes that were handed on and found nobody in the kernel.
//!
//! The thread of a wait is not always parked: it is on its way to park, or is out because another of its words has changed, or
//! because its park has ended. A waker whose wake finds nobody then sees that in its count. But a wake that was *handed on* has
//! been counted before, so it must not be lost while somebody waits. If the kernel finds nobody, the wake is offered to all
//! queues of parked threads of the process.
//!
//! 1. Waits A and B on one word share a thread. A wake is counted for A, whose owner leaves.
//! 2. The thread comes out, and hands the wake on. B isn't parked: the kernel finds nobody.
//! 3. B, which waited when the wake was counted, would park again and sleep on.
//!
//! The queues are asked one after the other, and meanwhile waits end and begin. So a wait that begins takes a wake that is being
//! offered. Otherwise:
//!
//! 1. A wake that is handed on finds nobody in the kernel. Queue 1 is asked, and has no wait on the word.
//! 2. Another wake ends wait B, which is in queue 2. The owner of B begins wait C, in queue 1.
//! 3. Queue 2 is asked, and has no wait on the word. At each moment somebody waited. But queue 1 was asked before C began, so C
//!    would sleep on.

use futex_sys::__private::PerProcess;
use futex_sys::Word;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What a backend's own threads call when completions wait: a turn of the reactor.
pub(crate) type Turn = Arc<dyn Fn() + Send + Sync>;

/// A queue whose waits are not always in the kernel.
pub(super) trait Parked: Send + Sync {
    /// Ends the longest wait that the wake would have found, as woken, if the wake can be [taken](Offer::take). Returns `None` if
    /// there was none; otherwise the caller makes the turn, when it holds no lock.
    ///
    /// If that wait has consumed a wake of its own meanwhile, that is handed on in turn.
    fn offer(&self, wake: &Offer<'_>) -> Option<Turn>;
}

/// The queues of this process. In a child of `fork` there are none, and the lock is free.
static QUEUES: PerProcess<Mutex<Vec<Weak<dyn Parked>>>> = PerProcess::new();

fn queues() -> MutexGuard<'static, Vec<Weak<dyn Parked>>> {
    QUEUES.get().lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has wakes offered to `queue` as long as it lives.
pub(super) fn register<Q: Parked + 'static>(queue: &Arc<Q>) {
    let mut queues = queues();
    queues.retain(|queue| queue.strong_count() > 0);
    queues.push(Arc::downgrade(queue) as _);
}

/// Passes a consumed wake to the next waiter of `word`. If that is one of a queue of this process that the kernel does not
/// have now, the caller makes the turn of that queue. The caller holds no lock of a queue.
#[must_use]
pub(super) fn hand_on(word: &Word, mask: NonZeroU32) -> Option<Turn> {
    if word.wake_masked(1, mask) > 0 {
        return None;
    }
    let wake = Offer::new(word, mask);
    let queues = queues().clone();
    let turn = queues.iter().filter_map(Weak::upgrade).find_map(|queue| queue.offer(&wake));
    if turn.is_none() && wake.is_open() {
        // For waiters of other kinds, and of other processes, that have come meanwhile.
        word.wake_masked(1, mask);
    }
    turn
}

/// A wait on `word` begins. Returns true if it takes a wake that is being offered.
///
/// The caller holds the lock under which its queue is [asked](Parked::offer). So the wait is there when its queue is asked, or
/// finds the offer here.
#[must_use]
pub(super) fn accept(word: &Word, mask: NonZeroU32) -> bool {
    let offers = OFFERS.get();
    // Ordering: Relaxed. If the queue has been asked already, the lock that the caller holds orders this behind the addition.
    offers.open.load(Ordering::Relaxed) > 0
        && offers.take(|wake| wake.word.same_word(word) && wake.mask.get() & mask.get() != 0)
}

/// Wakes that are being offered. In a child of `fork` there are none, and the lock is free.
static OFFERS: PerProcess<Offers> = PerProcess::new();

#[derive(Default)]
struct Offers {
    list: Mutex<Vec<Offered>>,
    /// Number of wakes in the list. Written under its lock.
    open: AtomicUsize,
    /// The number of the latest wake. Ordering: Relaxed, it only has to be unique.
    latest: AtomicUsize,
}

struct Offered {
    number: usize,
    word: Word,
    mask: NonZeroU32,
}

impl Offers {
    fn list(&self) -> MutexGuard<'_, Vec<Offered>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the first wake out of the list that suits. Returns false if there is none.
    fn take(&self, suits: impl Fn(&Offered) -> bool) -> bool {
        let mut list = self.list();
        let Some(position) = list.iter().position(suits) else { return false };
        list.remove(position); // not the last handle to the word: the thread that offers the wake has another
        self.open.store(list.len(), Ordering::Relaxed);
        true
    }
}

/// A wake that is being offered until it is taken, or this is dropped.
pub(super) struct Offer<'a> {
    offers: &'static Offers,
    number: usize,
    pub(super) word: &'a Word,
    pub(super) mask: NonZeroU32,
}

impl<'a> Offer<'a> {
    fn new(word: &'a Word, mask: NonZeroU32) -> Self {
        let offers = OFFERS.get();
        let number = offers.latest.fetch_add(1, Ordering::Relaxed);
        let mut list = offers.list();
        list.push(Offered { number, word: word.clone(), mask });
        offers.open.store(list.len(), Ordering::Relaxed);
        Self { offers, number, word, mask }
    }

    /// Returns true for the first caller: it has a wait for the wake.
    #[must_use]
    pub(super) fn take(&self) -> bool {
        self.offers.take(|wake| wake.number == self.number)
    }

    fn is_open(&self) -> bool {
        self.offers.list().iter().any(|wake| wake.number == self.number)
    }
}

impl Drop for Offer<'_> {
    fn drop(&mut self) {
        let _ = self.take();
    }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests;
