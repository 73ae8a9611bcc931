//! Wakes that are handed on but find nobody in the kernel.
//!
//! The thread of a wait is sometimes outside of the kernel: before it parks, after another of its words has changed, or after
//! its park has ended. If a wake finds nobody then, the waker sees that in its count. But a wake that is *handed on* was already
//! counted, so it must not be lost while somebody waits. So if the kernel finds nobody, the wake is offered to all queues of
//! parked threads in this process. Without that:
//!
//! 1. Waits A and B on one word share a thread. A wake is counted for A, whose owner leaves.
//! 2. The thread returns from the kernel and hands the wake on. B isn't parked, so the kernel finds nobody.
//! 3. B, which waited when the wake was counted, parks again and sleeps on.
//!
//! The queues are asked one after the other, and meanwhile waits end and begin. So a wait that begins takes a wake that is being
//! offered. Without that:
//!
//! 1. A wake that is handed on finds nobody in the kernel. Queue 1 is asked, and has no wait on the word.
//! 2. Another wake ends wait B, which is in queue 2. The owner of B begins wait C, in queue 1.
//! 3. Queue 2 is asked, and has no wait on the word. Somebody waited at each moment, but queue 1 was asked before C began, so C
//!    sleeps on.

use futex_sys::__private::PerProcess;
use futex_sys::Word;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A function that turns the reactor. The threads of a backend call it when there are completions.
pub(crate) type Turn = Arc<dyn Fn() + Send + Sync>;

/// A queue of parked threads, whose waits are sometimes outside of the kernel.
pub(super) trait Parked: Send + Sync {
    /// Ends the longest waiting of the waits that match the wake, as woken, if the wake can be [taken](Offer::take). Returns
    /// `None` if no wait was ended. Otherwise the caller must make the returned turn when it holds no lock.
    ///
    /// If the wait has also consumed a wake of its own meanwhile, its thread hands that wake on.
    fn offer(&self, wake: &Offer<'_>) -> Option<Turn>;
}

/// The queues of this process. In a child of `fork` the list is empty and the lock is free.
static QUEUES: PerProcess<Mutex<Vec<Weak<dyn Parked>>>> = PerProcess::new();

fn queues() -> MutexGuard<'static, Vec<Weak<dyn Parked>>> {
    QUEUES.get().lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers `queue`, so that wakes are offered to it as long as it lives.
pub(super) fn register<Q: Parked + 'static>(queue: &Arc<Q>) {
    let mut queues = queues();
    queues.retain(|queue| queue.strong_count() > 0);
    queues.push(Arc::downgrade(queue) as _);
}

/// Passes a consumed wake to the next waiter of `word`. If this ends a wait of this process that is outside of the kernel, the
/// caller must make the returned turn. The caller must not hold the lock of a queue.
#[must_use]
pub(super) fn hand_on(word: &Word, mask: NonZeroU32) -> Option<Turn> {
    if word.wake_masked(1, mask) > 0 {
        return None;
    }
    let wake = Offer::new(word, mask);
    let queues = queues().clone();
    let turn = queues.iter().filter_map(Weak::upgrade).find_map(|queue| queue.offer(&wake));
    if turn.is_none() && wake.is_open() {
        // For waiters of other kinds and of other processes that came meanwhile.
        word.wake_masked(1, mask);
    }
    turn
}

/// Takes a wake that is being offered for a wait on `word` that begins. Returns false if there is none.
///
/// The caller holds the lock under which its queue is [asked](Parked::offer). So either its queue is asked after the wait has
/// begun, or the wait finds the offer here.
#[must_use]
pub(super) fn accept(word: &Word, mask: NonZeroU32) -> bool {
    let offers = OFFERS.get();
    // Ordering: Relaxed. If the queue was already asked, the lock that the caller holds orders this load after the store in
    // `Offer::new`.
    offers.open.load(Ordering::Relaxed) > 0
        && offers.take(|wake| wake.word.same_word(word) && wake.mask.get() & mask.get() != 0)
}

/// Wakes that are being offered. In a child of `fork` the list is empty and the lock is free.
static OFFERS: PerProcess<Offers> = PerProcess::new();

#[derive(Default)]
struct Offers {
    list: Mutex<Vec<Offered>>,
    /// Number of wakes in the list. Stored under the lock of the list.
    open: AtomicUsize,
    /// Number that identifies the next wake. Ordering: Relaxed, because the numbers only have to be unique.
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

    /// Removes the first suitable wake from the list. Returns false if there is none.
    fn take(&self, suits: impl Fn(&Offered) -> bool) -> bool {
        let mut list = self.list();
        let Some(position) = list.iter().position(suits) else { return false };
        list.remove(position); // not the last handle to the word: the thread that offers the wake has another one
        self.open.store(list.len(), Ordering::Relaxed);
        true
    }
}

/// A wake that is being offered, until it is taken or this is dropped.
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

    /// Takes the wake for a wait. Returns false if the wake was already taken.
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
