//! A queue of waits with its waiters, behind one lock.

use crate::backend::{Backend, Completion, Ending, Fit, FutexWord};
use crate::effects::{Effect, Effects, perform};
use crate::errors::closed;
use crate::state::{Action, Done, State, Transition, Verdict};
use crate::stats::Stats;
use crate::sync::{AtomicUsize, Mutex, MutexGuard, Ordering, lock};
use slab::Slab;
use std::io;
use std::num::NonZeroU32;
use std::task::{Poll, Waker};

/// A wait that is to be armed.
pub(crate) struct Request<'a, W> {
    pub(crate) word: &'a W,
    pub(crate) expected: u32,
    pub(crate) mask: NonZeroU32,
}

impl<W> Clone for Request<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Request<'_, W> {}

/// A queue of waits, and the slots of its waiters.
pub(crate) struct Shard<W: FutexWord> {
    inner: Mutex<Inner<W>>,
    /// Number of slots that are taken, and of cancelled waits whose completion is still to come. Written under the lock, read
    /// without, so that a turn can pass by an empty shard.
    ///
    /// Ordering: Relaxed. A slot is taken before its wait is armed. A thread that turns for the wait's completion does so
    /// after the kernel signalled it, which is after the arming.
    taken: AtomicUsize,
    /// With this number of slots taken the queue is crowded.
    room: usize,
}

struct Inner<W: FutexWord> {
    /// `None` once the reactor is closed.
    backend: Option<Box<dyn Backend<W>>>,
    slots: Slab<Slot<W>>,
    /// The slots of the waits that are just being armed.
    begun: Vec<u32>,
    stats: Stats,
}

struct Slot<W> {
    expected: u32,
    /// What the backend cancels the wait by.
    handle: u32,
    state: State<W>,
}

impl<W: FutexWord> Shard<W> {
    pub(crate) fn new(backend: Box<dyn Backend<W>>) -> Self {
        let room = backend.room();
        // Exactly this number, if it is bounded: many half-empty shards would be much memory.
        let capacity = if room == usize::MAX { 0 } else { room };
        Self {
            room,
            inner: Mutex::new(Inner {
                backend: Some(backend),
                slots: Slab::with_capacity(capacity),
                begun: Vec::new(),
                stats: Stats::default(),
            }),
            taken: AtomicUsize::new(0),
        }
    }

    /// With this number of slots taken it is crowded.
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    /// Returns true if no slot is taken, and no completion is to come.
    pub(crate) fn is_empty(&self) -> bool {
        self.taken() == 0
    }

    /// Number of slots that are taken, and of completions that are still to come.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Returns true if a crowded shard is to take further waits before others do, which is up to about the next multiple of
    /// its room.
    pub(crate) fn takes_more(&self) -> bool {
        self.room != usize::MAX && self.taken() % self.room != 0
    }

    /// Arms waits, with one submission: the first of `requests`, as many as fit at least as well as `wanted`. Returns how many
    /// there were.
    ///
    /// `each` gets the slot of each wait, and whether the wait is over already; if not, it takes one of `wakers`. The slot is
    /// the owner's until [`poll`](Shard::poll) is ready or [`abandon`](Shard::abandon) is called.
    ///
    /// If there is an error, `each` got those that the kernel may have. The owner abandons them, once no lock is held. `effects`
    /// is empty.
    #[inline]
    pub(crate) fn arm(
        &self,
        requests: &[Request<'_, W>],
        wakers: &mut impl Iterator<Item = Waker>,
        wanted: Fit,
        effects: &mut Effects<W>,
        each: impl FnMut(u32, bool),
    ) -> io::Result<usize> {
        if wanted == Fit::Good && self.taken() >= self.room {
            return Ok(0); // most often, if there are many shards, and for the price of a load
        }
        let mut inner = lock(&self.inner);
        match inner.begin(requests, wanted, self) {
            // Nothing has ended, so what was published when the slots were taken still holds.
            Ok(false) => Ok(inner.settle(wakers, each)),
            Ok(true) => {
                inner.reap(effects);
                let count = inner.settle(wakers, each);
                self.unlock(inner);
                Ok(count)
            }
            Err(error) => {
                inner.settle(wakers, each);
                self.unlock(inner);
                Err(error)
            }
        }
    }

    /// The owner of a wait polls. The slot is free once this is ready.
    pub(crate) fn poll(&self, slot: u32, waker: &Waker) -> Poll<Verdict> {
        // A waker may not be cloned under the lock (its vtable is anybody's code), so it is cloned if the first pass finds
        // that it is needed, and put in place with the second.
        let mut fresh: Option<Waker> = None;
        loop {
            let mut inner = lock(&self.inner);
            match (&mut inner.slots[slot as usize].state, fresh.take()) {
                (State::Armed(current), fresh_waker) => {
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
                (State::Done(_), unused) => {
                    let state = inner.slots.remove(slot as usize).state;
                    self.unlock(inner);
                    // Its `Drop` may panic. The slot is free, and the owner must learn of that.
                    perform(unused.map(Effect::<W>::Forget));
                    let State::Done(Done { word, verdict, .. }) = state else { return Poll::Ready(Verdict::Closed) };
                    Effect::Release(word).perform_alone();
                    return Poll::Ready(verdict);
                }
            }
        }
    }

    /// The owner of a wait is gone. A wake that the wait has consumed is handed on before this returns.
    pub(crate) fn abandon(&self, slot: u32) {
        let mut effects = Effects::new();
        let mut inner = lock(&self.inner);
        let Slot { handle, state, .. } = inner.slots.remove(slot as usize);
        inner.stats.cancelled += 1;
        let (word, mask, woken) = match state {
            State::Armed(waker) => {
                effects.extend(waker.map(Effect::Forget));
                let cancelled = inner.backend.as_mut().and_then(|backend| backend.cancel(handle));
                let Some(Completion { word, mask, ending, .. }) = cancelled else { return }; // not reached
                let woken = matches!(ending, Ending::Woken);
                inner.stats.woken += u64::from(woken);
                (word, mask, woken)
            }
            State::Done(Done { word, mask, verdict }) => (word, mask, matches!(verdict, Verdict::Woken)),
        };
        inner.stats.handed_on += u64::from(woken);
        effects.extend(Some(if woken { Effect::HandOn(word, mask) } else { Effect::Release(word) }));
        inner.reap(&mut effects); // most often the kernel has posted the completion of the cancelled wait
        self.unlock(inner);
    }

    /// Takes the completions that wait, until `effects` is full. Returns true if there may be more.
    pub(crate) fn turn(&self, effects: &mut Effects<W>) -> bool {
        let mut inner = lock(&self.inner);
        inner.reap(effects);
        self.unlock(inner);
        effects.is_full()
    }

    /// Ends all waits and lets go of the kernel's queue.
    pub(crate) fn close(&self) {
        let mut effects = Vec::new();
        let mut inner = lock(&self.inner);
        let backend = inner.backend.take().map(|mut backend| {
            backend.close(&mut |completion| effects.extend(inner.complete(completion, true)));
            inner.stats.handed_on += backend.usage().handed_on;
            backend
        });
        self.unlock(inner);
        drop(backend);
        perform(effects);
    }

    pub(crate) fn stats(&self) -> Stats {
        let inner = lock(&self.inner);
        let usage = inner.backend.as_ref().map(|backend| backend.usage()).unwrap_or_default();
        Stats {
            armed_now: inner.slots.len(),
            handed_on: inner.stats.handed_on + usage.handed_on,
            units: usage.units,
            ..inner.stats
        }
    }

    /// Publishes how many slots are taken, and unlocks.
    fn unlock(&self, inner: MutexGuard<'_, Inner<W>>) {
        let unreaped = inner.backend.as_ref().map_or(0, |backend| backend.unreaped());
        self.taken.store(inner.slots.len() + unreaped, Ordering::Relaxed);
    }
}

impl<W: FutexWord> Inner<W> {
    /// Hands the first of `requests` to the kernel, and notes their slots in `begun`. Returns false if there are surely no
    /// completions. After an error some of the waits in `begun` may be armed.
    #[inline]
    fn begin(&mut self, requests: &[Request<'_, W>], wanted: Fit, shard: &Shard<W>) -> io::Result<bool> {
        self.begun.clear();
        let Some(backend) = &mut self.backend else { return Err(closed()) };
        let unreaped = backend.unreaped();
        for &Request { word, expected, mask } in requests {
            match (backend.fit(word), wanted) {
                (Fit::Good, Fit::Good) if self.slots.len() >= shard.room => break,
                (Fit::Good, _) | (Fit::Crowded, Fit::Crowded) => {}
                _ => break,
            }
            let slot = self.slots.insert(Slot { expected, handle: 0, state: State::Armed(None) }) as u32; // 2^32 do not fit in memory
            // Before the kernel has the wait: a turn for its completion must not pass by.
            shard.taken.store(self.slots.len() + unreaped, Ordering::Relaxed);
            match backend.arm(slot, word.clone(), expected, mask) {
                Ok(handle) => self.slots[slot as usize].handle = handle,
                Err(error) => {
                    self.slots.remove(slot as usize);
                    return Err(error);
                }
            }
            self.begun.push(slot);
        }
        if self.begun.is_empty() { Ok(false) } else { backend.submit() }
    }

    /// Gives the waits that were begun and are not over their wakers. Returns how many there are.
    #[inline]
    fn settle(&mut self, wakers: &mut impl Iterator<Item = Waker>, mut each: impl FnMut(u32, bool)) -> usize {
        for &slot in &self.begun {
            let is_over = match &mut self.slots[slot as usize].state {
                State::Done(_) => true,
                State::Armed(waker) => {
                    *waker = wakers.next();
                    false
                }
            };
            each(slot, is_over);
        }
        self.stats.armed += self.begun.len() as u64;
        self.begun.len()
    }

    /// Takes completions until none waits or `effects` is full.
    fn reap(&mut self, effects: &mut Effects<W>) {
        while !effects.is_full() {
            let Some(backend) = &mut self.backend else { return };
            let Some(completion) = backend.reap() else { return };
            effects.extend(self.complete(completion, false));
        }
    }

    /// The kernel ended a wait.
    fn complete(&mut self, completion: Completion<W>, closing: bool) -> Option<Effect<W>> {
        match completion.ending {
            Ending::Woken => self.stats.woken += 1,
            Ending::Mismatch => self.stats.mismatched += 1,
            Ending::Cancelled | Ending::Failed(_) => {}
        }
        let Some(slot) = completion.slot else { return Some(self.pass_on(completion)) };
        let Some(entry) = self.slots.get_mut(slot as usize) else {
            debug_assert!(false, "{completion:?} is of no wait");
            return Some(self.pass_on(completion));
        };
        let state = std::mem::replace(&mut entry.state, State::Armed(None));
        let Transition { state, action } = state.complete(completion, closing);
        entry.state = state;
        match action {
            Action::Wake(waker) => waker.map(Effect::Wake),
            Action::Release(word) => Some(Effect::Release(word)),
            Action::Rearm(word, mask) => self.rearm(slot, word, mask),
        }
    }

    /// A wait ended that has no owner.
    #[cold]
    fn pass_on(&mut self, completion: Completion<W>) -> Effect<W> {
        let Completion { word, mask, ending, .. } = completion;
        if !matches!(ending, Ending::Woken) {
            return Effect::Release(word);
        }
        self.stats.handed_on += 1;
        Effect::HandOn(word, mask)
    }

    /// Arms a wait again that the kernel ended without being asked.
    #[cold]
    fn rearm(&mut self, slot: u32, word: W, mask: NonZeroU32) -> Option<Effect<W>> {
        let backend = self.backend.as_mut()?;
        let entry = &mut self.slots[slot as usize];
        let armed = backend.arm(slot, word.clone(), entry.expected, mask).and_then(|handle| {
            entry.handle = handle;
            backend.submit().inspect_err(|_| drop(backend.cancel(handle)))
        });
        match armed {
            Ok(_) => Some(Effect::Release(word)),
            // The owner returns, as after a wake. If it begins another wait it learns of the error, if there still is one.
            Err(_) => self.complete(Completion { slot: Some(slot), word, mask, ending: Ending::Woken }, false),
        }
    }
}
