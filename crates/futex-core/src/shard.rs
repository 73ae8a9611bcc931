//! A queue of the kernel and its waiters, behind one lock.
//!
//! Each waiter has a slot until its wait is over. The slot's only owner is the waiter's [`Armed`]. The states of a slot:
//!
//! ```text
//!            ┌───────────── poll: the latest waker ─────────────┐
//!            ▼                                                  │
//!  arm ──▶ Waiting ──Woken / Mismatch / Failed──▶ Done ──poll──▶ free, the owner has the outcome
//!           │ ▲ │                                  │
//!           │ └─┴─Cancelled, unasked: arm again    └──drop──▶ free; a wake is handed on
//!           │ └───Cancelled, closing──▶ Done(closed)
//!         drop: cancel in the kernel, which answers at once
//!           └──▶ free; if a wake was faster, it is handed on
//! ```
//!
//! If a wait can't be armed again, it becomes `Done` as woken.

use crate::effects::{Effect, Effects, perform};
use crate::outcome::{Outcome, closed, forked};
use crate::pool::Pool;
use crate::queue::{Completion, Ending, FutexWord, Queue};
use crate::stats::Stats;
use crate::sync::{Arc, AtomicUsize, Mutex, MutexGuard, Ordering, lock, write};
use futex_sys::__private::Origin;
use slab::Slab;
use std::io;
use std::num::NonZeroU32;
use std::task::{Poll, Waker};

/// An empty shard keeps memory for this number of slots and releases the rest.
const FEW: usize = 1024;

/// A request to arm a wait.
pub(crate) struct Request<'a, W: FutexWord> {
    pub(crate) word: &'a W,
    pub(crate) expected: u32,
    pub(crate) mask: NonZeroU32,
    /// Waker of the owner's poll. It moves to the slot if the wait is armed and has not ended.
    waker: Option<Waker>,
    /// The armed wait, as soon as the kernel may have it.
    pub(crate) armed: Armed<W>,
}

impl<W: FutexWord> Drop for Request<'_, W> {
    fn drop(&mut self) {
        if let Some(waker) = self.waker.take() {
            Effect::<W>::Forget(waker).perform_alone();
        }
    }
}

impl<'a, W: FutexWord> Request<'a, W> {
    pub(crate) fn new(word: &'a W, expected: u32, mask: NonZeroU32, waker: Waker) -> Self {
        Self { word, expected, mask, waker: Some(waker), armed: Armed::NONE }
    }

    /// Returns true if the wait was armed and has already ended.
    pub(crate) fn is_over(&self) -> bool {
        !self.armed.is_none() && self.waker.is_some()
    }

    pub(crate) fn take_armed(&mut self) -> Armed<W> {
        std::mem::replace(&mut self.armed, Armed::NONE)
    }
}

/// An armed wait, or none. Dropping it cancels the wait, and hands on a wake that the wait has consumed.
pub(crate) struct Armed<W: FutexWord> {
    /// Shard and slot of the wait, until its owner has seen the outcome.
    place: Option<(Arc<Shard<W>>, u32)>,
}

impl<W: FutexWord> Armed<W> {
    pub(crate) const NONE: Self = Self { place: None };

    pub(crate) fn is_none(&self) -> bool {
        self.place.is_none()
    }

    /// Polls the wait for its owner. When the result is ready, the wait and its slot are gone. Returns `Pending` if there is no
    /// wait.
    #[inline]
    pub(crate) fn poll(&mut self, waker: &Waker) -> Poll<io::Result<Outcome>> {
        let Some((shard, slot)) = &self.place else { return Poll::Pending };
        let outcome = if shard.origin.is_here() { shard.poll(*slot, waker) } else { Poll::Ready(Err(forked())) };
        if outcome.is_ready() {
            self.place = None;
        }
        outcome
    }

    #[inline(never)] // so that the code that drops a wait which is not armed stays small
    fn abandon(&mut self) {
        // In a fork the wait and its slot belong to the parent.
        if let Some((shard, slot)) = self.place.take().filter(|(shard, _)| shard.origin.is_here()) {
            shard.abandon(slot);
        }
    }
}

impl<W: FutexWord> Drop for Armed<W> {
    #[inline]
    fn drop(&mut self) {
        if !self.is_none() {
            self.abandon();
        }
    }
}

/// A queue of waits, and the slots of its waiters.
pub(crate) struct Shard<W: FutexWord> {
    inner: Mutex<Inner<W>>,
    /// Number of slots in use, plus the number of cancelled waits whose completion was not taken yet. Stored under the lock and
    /// loaded without it, so that a turn can skip an empty shard.
    ///
    /// Ordering: Relaxed. The number is raised before a wait is armed. A thread turns for the wait's completion after the
    /// kernel has signalled it, and the kernel signals after the arming.
    taken: AtomicUsize,
    pool: Arc<Pool<Self>>,
    origin: Origin,
}

/// The data that the lock of a shard guards.
pub(crate) struct Inner<W: FutexWord> {
    /// `None` once the shard is closed.
    backend: Option<Box<dyn Queue<W>>>,
    slots: Slab<State<W>>,
    /// True if the shard is on the pool's stack.
    is_roomy: bool,
    /// Statistics without `armed_now` and without the figures that the queue counts.
    stats: Stats,
}

/// The state of a waiter: the content of a slot.
enum State<W> {
    /// The kernel has the wait.
    Waiting {
        /// Waker of the owner's latest poll. `None` while the wait is being armed, because the arming call itself reports an
        /// end in that time, and `None` if that call failed.
        waker: Option<Waker>,
        expected: u32,
        /// Handle that cancels the wait in the backend.
        handle: u32,
    },
    /// The kernel has ended the wait, and the owner has not polled since. If the owner leaves without a poll, a consumed wake
    /// is handed on. `outcome` is valid if `error` is `None`. (A `Result` of the two would take 8 bytes more per slot.)
    Done { word: W, mask: NonZeroU32, outcome: Outcome, error: Option<io::Error> },
}

impl<W> State<W> {
    fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting { .. })
    }
}

impl<W: FutexWord> Shard<W> {
    /// Makes a shard with `room` for waits. The caller adds it to `pool` and its stack.
    pub(crate) fn new(backend: Box<dyn Queue<W>>, room: usize, pool: Arc<Pool<Self>>, origin: Origin) -> Self {
        // Exactly this number if it is bounded: growth by doubling would waste memory in each of many shards.
        let slots = Slab::with_capacity(if room == usize::MAX { 0 } else { room });
        let inner = Inner { backend: Some(backend), slots, is_roomy: true, stats: Stats::default() };
        Self { inner: Mutex::new(inner), taken: AtomicUsize::new(0), pool, origin }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner<W>> {
        lock(&self.inner)
    }

    /// Locks the shard. Returns `None` if another thread has the lock.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, Inner<W>>> {
        self.inner.try_lock().ok()
    }

    /// Returns true if no slot is in use and no completion is outstanding.
    pub(crate) fn is_empty(&self) -> bool {
        self.taken.load(Ordering::Relaxed) == 0
    }

    /// Arms as many of the first `requests` as there is room for, submits them together, and returns their number. Takes the
    /// shard off the stack if no room is left.
    ///
    /// After an error the requests hold the waits that the kernel may have. The caller must drop them when it holds no lock.
    /// `effects` must be empty.
    #[inline]
    pub(crate) fn arm(
        self: &Arc<Self>,
        mut inner: MutexGuard<'_, Inner<W>>,
        requests: &mut [Request<'_, W>],
        effects: &mut Effects<W>,
    ) -> io::Result<usize> {
        let taken = inner.taken();
        let limit = if inner.takes_waits() { self.pool.limit(taken) } else { 0 };
        let count = requests.len().min(limit.saturating_sub(taken));
        if count == 0 {
            if std::mem::take(&mut inner.is_roomy) {
                self.pool.take_off(self);
            }
            return Ok(0);
        }
        // Before the kernel has the waits, so that a turn for their completions does not skip this shard.
        self.publish(taken + count);
        if taken + count == limit {
            if limit < self.pool.quota() {
                self.pool.put_under(self);
            } else if std::mem::take(&mut inner.is_roomy) {
                self.pool.take_off(self);
            }
        }
        let requests = &mut requests[..count];
        let armed = inner.begin(requests, |slot| Armed { place: Some((self.clone(), slot)) });
        if let Ok(true) = armed {
            inner.reap(effects);
        }
        if armed.is_ok() {
            for request in requests {
                inner.settle(request);
            }
        }
        if !matches!(armed, Ok(false)) {
            // If it is `Ok(false)`, no wait has ended, so the published number is still right.
            let _ = self.unlock(inner);
        }
        armed.map(|_| count)
    }

    /// Polls a wait for its owner. When the result is ready, the slot is free.
    fn poll(self: &Arc<Self>, slot: u32, waker: &Waker) -> Poll<io::Result<Outcome>> {
        // A waker must not be cloned under the lock, because that runs foreign code. So if the first pass finds that a clone is
        // needed, it is made without the lock, and the second pass stores it.
        let mut fresh: Option<Waker> = None;
        loop {
            let mut inner = self.lock();
            match (&mut inner.slots[slot as usize], fresh.take()) {
                (State::Waiting { waker: current, .. }, fresh_waker) => {
                    if current.as_ref().is_some_and(|current| current.will_wake(waker)) {
                        drop(inner);
                        drop(fresh_waker);
                        return Poll::Pending;
                    }
                    let Some(fresh_waker) = fresh_waker else {
                        drop(inner);
                        fresh = Some(waker.clone());
                        continue;
                    };
                    let stale = current.replace(fresh_waker);
                    drop(inner);
                    perform(stale.map(Effect::<W>::Forget));
                    return Poll::Pending;
                }
                (State::Done { .. }, unused) => {
                    let state = inner.slots.remove(slot as usize);
                    let emptied = self.unlock(inner);
                    // The waker's `Drop` may panic. The slot is free, and the owner must still get the outcome.
                    if let Some(unused) = unused {
                        Effect::<W>::Forget(unused).perform_alone();
                    }
                    let State::Done { word, outcome, error, .. } = state else { return Poll::Pending }; // not reached
                    Effect::Release(word).perform_alone();
                    if emptied {
                        self.pool.trim();
                    }
                    return Poll::Ready(error.map_or(Ok(outcome), Err));
                }
            }
        }
    }

    /// Cancels a wait whose owner leaves, and frees its slot. A wake that the wait has consumed is handed on before this returns.
    fn abandon(self: &Arc<Self>, slot: u32) {
        let mut effects = Effects::new(); // performed when no lock is held
        let emptied = {
            let mut inner = self.lock();
            let (word, mask, woken) = match inner.slots.remove(slot as usize) {
                State::Waiting { waker, handle, .. } => {
                    let was_refused = waker.is_none();
                    effects.extend(waker.map(Effect::Forget));
                    let cancelled = inner.backend.as_mut().and_then(|backend| backend.cancel(handle));
                    let Some(Completion { word, mask, ending, .. }) = cancelled else { return }; // not reached
                    let figure = match ending {
                        Ending::Woken => &mut inner.stats.woken,
                        Ending::Mismatch => &mut inner.stats.mismatched,
                        Ending::Cancelled if !was_refused => &mut inner.stats.cancelled,
                        Ending::Cancelled | Ending::Failed(_) => &mut inner.stats.failed,
                    };
                    *figure += 1;
                    (word, mask, matches!(ending, Ending::Woken))
                }
                State::Done { word, mask, outcome, error } => {
                    (word, mask, outcome == Outcome::Woken && error.is_none())
                }
            };
            effects.extend(Some(inner.let_go(word, mask, woken)));
            inner.reap(&mut effects); // usually the kernel has already posted the completion of the cancelled wait
            self.unlock(inner)
        };
        effects.perform();
        if emptied {
            self.pool.trim(); // last, because rings are closed
        }
    }

    /// Takes completions until there are none or `effects` is full; then there may be more. Returns true if the shard has become
    /// empty: the caller must trim the pool when it holds no lock.
    pub(crate) fn turn(self: &Arc<Self>, effects: &mut Effects<W>) -> bool {
        let mut inner = self.lock();
        inner.reap(effects);
        self.unlock(inner)
    }

    /// Ends all waits and closes the queue in the kernel.
    pub(crate) fn close(self: &Arc<Self>) {
        let mut effects = Vec::new();
        let mut inner = self.lock();
        let backend = inner.backend.take().map(|mut backend| {
            backend.close(&mut |completion| effects.extend(inner.complete(completion, true)));
            inner.stats.handed_on += backend.usage().handed_on;
            backend
        });
        let _ = self.unlock(inner);
        drop(backend);
        perform(effects);
    }

    /// Pushes the shard on the stack if the pool's quota leaves room. Returns false if the shard takes no more waits.
    pub(crate) fn offer_room(self: &Arc<Self>) -> bool {
        let mut inner = self.lock();
        self.offer(&mut inner, self.pool.quota().saturating_sub(1));
        inner.takes_waits()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.lock().stats()
    }

    #[cfg(test)]
    pub(crate) fn slots(&self) -> usize {
        self.lock().slots.len()
    }

    /// Publishes the number of taken slots, pushes the shard on the stack if an eighth of the quota is free, and unlocks. Returns
    /// true if the shard has become empty.
    #[must_use]
    #[inline(always)] // part of the hot paths
    fn unlock(self: &Arc<Self>, mut inner: MutexGuard<'_, Inner<W>>) -> bool {
        let emptied = self.publish(inner.taken());
        if emptied {
            self.tidy(&mut inner);
        }
        if !inner.is_roomy {
            let quota = self.pool.quota();
            self.offer(&mut inner, quota - quota.div_ceil(8));
        }
        emptied
    }

    /// Cleans up a shard that has become empty.
    #[cold]
    fn tidy(&self, inner: &mut Inner<W>) {
        if inner.is_lost() {
            self.pool.lost.fetch_add(1, Ordering::Relaxed);
        }
        if inner.slots.capacity() > FEW {
            inner.slots.shrink_to_fit(); // there may have been a million
        }
    }

    /// Pushes the shard on the stack if no more than `limit` slots are taken.
    #[cold]
    fn offer(self: &Arc<Self>, inner: &mut Inner<W>, limit: usize) {
        if !inner.is_roomy && inner.takes_waits() && inner.taken() <= limit {
            inner.is_roomy = true;
            self.pool.push(self);
        }
    }

    /// Publishes the number of taken slots. Returns true if the shard has become empty. The caller holds the lock.
    #[inline]
    fn publish(&self, taken: usize) -> bool {
        let before = self.taken.load(Ordering::Relaxed);
        self.taken.store(taken, Ordering::Relaxed);
        if before == 0 && taken > 0 {
            self.pool.used.fetch_add(1, Ordering::Relaxed);
        }
        let emptied = before > 0 && taken == 0;
        if emptied {
            self.pool.used.fetch_sub(1, Ordering::Relaxed);
        }
        emptied
    }
}

impl<W: FutexWord> Pool<Shard<W>> {
    /// Closes empty shards while there are too many, or while an empty one takes no more waits. The caller holds no lock.
    pub(crate) fn trim(&self) {
        while self.has_surplus() {
            let Some(backend) = self.retire() else { return };
            drop(backend); // closes a queue without waits
        }
    }

    /// Removes an empty shard from the list and the stack, and returns its queue.
    #[cold]
    fn retire(&self) -> Option<Box<dyn Queue<W>>> {
        let mut all = write(&self.all);
        if all.closed || !self.has_surplus() {
            return None; // another thread was faster
        }
        let has_lost = self.has_lost();
        // High keys first, because each turn visits the shards with low keys.
        let (key, backend, stats) =
            all.iter().rev().filter(|(_, shard)| shard.is_empty()).find_map(|(key, shard)| {
                let mut inner = shard.lock();
                let is_surplus = inner.taken() == 0 && (inner.is_lost() || !has_lost);
                let backend = if is_surplus { inner.backend.take() } else { None }?;
                inner.stats.handed_on += backend.usage().handed_on;
                if std::mem::take(&mut inner.is_roomy) {
                    self.take_off(shard);
                }
                Some((key, backend, inner.stats()))
            })?;
        self.remove(&mut all, key, &stats, backend.is_lost());
        Some(backend)
    }
}

impl<W: FutexWord> Inner<W> {
    /// Returns the number of slots in use, plus the number of outstanding completions of cancelled waits.
    #[inline]
    fn taken(&self) -> usize {
        self.slots.len() + self.backend.as_ref().map_or(0, |backend| backend.unreaped())
    }

    #[inline]
    fn takes_waits(&self) -> bool {
        self.backend.is_some() && !self.is_lost()
    }

    #[inline]
    fn is_lost(&self) -> bool {
        self.backend.as_ref().is_some_and(|backend| backend.is_lost())
    }

    fn stats(&self) -> Stats {
        let usage = self.backend.as_ref().map(|backend| backend.usage()).unwrap_or_default();
        let Stats { armed, woken, mismatched, cancelled, failed, closed, .. } = self.stats;
        Stats {
            armed_now: (armed - woken - mismatched - cancelled - failed - closed) as usize,
            handed_on: self.stats.handed_on + usage.handed_on,
            units: usage.units,
            ..self.stats
        }
    }

    /// Passes `requests` to the kernel. Returns false if there are certainly no completions.
    #[inline]
    fn begin(&mut self, requests: &mut [Request<'_, W>], armed: impl Fn(u32) -> Armed<W>) -> io::Result<bool> {
        let Some(backend) = &mut self.backend else { return Err(closed()) }; // not reached
        for request in requests {
            let &mut Request { word, expected, mask, .. } = request;
            let slot = self.slots.vacant_key() as u32; // 2^32 slots do not fit in memory
            self.stats.armed += 1;
            let handle = match backend.arm(slot, word.clone(), expected, mask) {
                Ok(handle) => handle,
                Err(error) => {
                    self.stats.failed += 1;
                    return Err(error);
                }
            };
            self.slots.insert(State::Waiting { waker: None, expected, handle });
            request.armed = armed(slot);
        }
        backend.submit()
    }

    /// Stores the waker of an armed wait, if the wait has not ended.
    #[inline]
    fn settle(&mut self, request: &mut Request<'_, W>) {
        let Some((_, slot)) = &request.armed.place else { return };
        if let State::Waiting { waker, .. } = &mut self.slots[*slot as usize] {
            *waker = request.waker.take();
        }
    }

    /// Takes completions until there are none or `effects` is full.
    fn reap(&mut self, effects: &mut Effects<W>) {
        while !effects.is_full() {
            let Some(backend) = &mut self.backend else { return };
            let Some(completion) = backend.reap() else { return };
            effects.extend(self.complete(completion, false));
        }
    }

    /// Processes the completion of a wait.
    ///
    /// If `closing` is true, the reactor asked for the end. If not, a cancelled wait was ended by the kernel unasked: the kernel
    /// cancels the waits of a thread that exits (Linux 6.16 to 6.18.48).
    fn complete(&mut self, completion: Completion<W>, closing: bool) -> Option<Effect<W>> {
        let Completion { slot, word, mask, ending } = completion;
        let waiting = slot.and_then(|slot| self.slots.get_mut(slot as usize).filter(|state| state.is_waiting()));
        let (Some(slot), Some(state)) = (slot, waiting) else {
            // The wait had already ended for its owner, and was counted then.
            return Some(self.let_go(word, mask, matches!(ending, Ending::Woken)));
        };
        let (outcome, error, figure) = match ending {
            Ending::Woken => (Outcome::Woken, None, &mut self.stats.woken),
            Ending::Mismatch => (Outcome::Mismatch, None, &mut self.stats.mismatched),
            Ending::Failed(error) => (Outcome::Mismatch, Some(error), &mut self.stats.failed),
            Ending::Cancelled if closing => (Outcome::Mismatch, Some(closed()), &mut self.stats.closed),
            Ending::Cancelled => return self.rearm(slot, word, mask),
        };
        *figure += 1;
        match std::mem::replace(state, State::Done { word, mask, outcome, error }) {
            State::Waiting { waker, .. } => waker.map(Effect::Wake),
            State::Done { .. } => None, // not reached
        }
    }

    /// Returns the effect for the word of a wait that has no owner.
    fn let_go(&mut self, word: W, mask: NonZeroU32, woken: bool) -> Effect<W> {
        self.stats.handed_on += u64::from(woken);
        if woken { Effect::HandOn(word, mask) } else { Effect::Release(word) }
    }

    /// Arms again a wait that the kernel ended unasked.
    #[cold]
    fn rearm(&mut self, slot: u32, word: W, mask: NonZeroU32) -> Option<Effect<W>> {
        let backend = self.backend.as_mut()?;
        let Some(State::Waiting { expected, handle, .. }) = self.slots.get_mut(slot as usize) else {
            return Some(Effect::Release(word)); // not reached
        };
        let armed = backend.arm(slot, word.clone(), *expected, mask).and_then(|again| {
            *handle = again;
            backend.submit().inspect_err(|_| drop(backend.cancel(again)))
        });
        match armed {
            Ok(_) => Some(Effect::Release(word)),
            // The owner returns like after a wake. If the error persists, the owner gets it from its next wait.
            Err(_) => self.complete(Completion { slot: Some(slot), word, mask, ending: Ending::Woken }, false),
        }
    }
}
