//! A queue of waits with its waiters, behind one lock.

mod deferring;

use crate::backend::{Backend, Completion, Ending, Fit, FutexWord};
use crate::effects::{Effect, Effects, perform};
use crate::engine::closed;
use crate::state::{Abandoned, Action, Deferred, Done, State, Transition, Verdict};
use crate::stats::Stats;
use crate::sync::{AtomicUsize, Mutex, MutexGuard, Ordering, lock};
use slab::Slab;
use std::collections::VecDeque;
use std::io;
use std::num::NonZeroU32;
use std::task::{Poll, Waker};

/// When the kernel is handed a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Before the call returns.
    Now,
    /// With the next flush, or before.
    Later,
}

/// A wait that is to be armed.
pub(crate) struct Request<'a, W> {
    pub(crate) word: &'a W,
    pub(crate) expected: u32,
    pub(crate) mask: NonZeroU32,
    pub(crate) when: When,
}

/// A queue of waits, and the slots of its waiters.
pub(crate) struct Shard<W: FutexWord> {
    inner: Mutex<Inner<W>>,
    /// How many slots are taken. Written under the lock, read without, so that a turn can pass by an empty shard.
    ///
    /// Ordering: Relaxed. A slot is taken before its wait is armed, and whoever turns for the wait's completion does so
    /// after the kernel signalled it, which is after the arming.
    taken: AtomicUsize,
    /// With so many slots taken the queue is crowded.
    room: usize,
}

struct Inner<W: FutexWord> {
    /// `None` once the reactor is closed.
    backend: Option<Box<dyn Backend<W>>>,
    slots: Slab<Slot<W>>,
    /// The waits that the kernel does not have yet, in the order in which they were armed.
    deferred: VecDeque<u32>,
    /// The waits of flushes that the kernel has not confirmed to have.
    unsubmitted: Vec<u32>,
    /// The engine has this shard on its list of those to flush.
    is_listed: bool,
    /// The generation of the latest slot taken.
    generation: u32,
    stats: Stats,
}

struct Slot<W> {
    generation: u32,
    expected: u32,
    state: State<W>,
}

/// Which slot of a shard a wait has. The generation tells it from earlier and later owners of the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    id: u32,
    generation: u32,
}

/// What became of a wait that was to be armed.
pub(crate) enum Arming {
    /// It is armed, or the next flush arms it. `is_due`: so many are deferred by now that they are to be flushed.
    Armed { key: Key, is_due: bool },
    /// It is over already.
    Over(Verdict),
}

impl<W: FutexWord> Shard<W> {
    pub(crate) fn new(backend: Box<dyn Backend<W>>) -> Self {
        let room = backend.room();
        // Exactly so many, where there is an end to it: many half-empty shards would be much memory.
        let capacity = if room == usize::MAX { 0 } else { room };
        Self {
            room,
            inner: Mutex::new(Inner {
                backend: Some(backend),
                slots: Slab::with_capacity(capacity),
                deferred: VecDeque::new(),
                unsubmitted: Vec::new(),
                is_listed: false,
                generation: 0,
                stats: Stats::default(),
            }),
            taken: AtomicUsize::new(0),
        }
    }

    /// With so many slots taken it is crowded.
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    /// Whether no slot is taken, so that no completion can be due.
    pub(crate) fn is_empty(&self) -> bool {
        self.taken.load(Ordering::Relaxed) == 0
    }

    /// How many slots are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether a crowded shard is to take further waits before others do, which is up to about the next multiple of its room.
    pub(crate) fn takes_more(&self) -> bool {
        self.room != usize::MAX && self.taken() % self.room != 0
    }

    /// Arms a wait where its word fits at least as well as `wanted`, and calls `list` where the shard is to be put on the engine's
    /// list of those to flush. `Err(waker)` gives the waker back where it does not.
    /// `effects` is empty.
    pub(crate) fn arm(
        &self,
        request: &Request<'_, W>,
        waker: Waker,
        wanted: Fit,
        effects: &mut Effects<W>,
        list: impl FnOnce(),
    ) -> Result<io::Result<Arming>, Waker> {
        if wanted == Fit::Good && self.taken() >= self.room {
            return Err(waker); // most often, where there are many shards, and for the price of a load
        }
        let mut inner = lock(&self.inner);
        let is_crowded = inner.slots.len() >= self.room;
        match (inner.backend.as_ref().map(|backend| backend.fit(request.word)), wanted) {
            // Where the reactor was closed, `Inner::arm` says so.
            (None, _) => {}
            (Some(Fit::Good), Fit::Good) if is_crowded => return Err(waker),
            (Some(Fit::Good), _) | (Some(Fit::Crowded), Fit::Crowded) => {}
            _ => return Err(waker),
        }
        let arming = inner.arm(request, waker, &self.taken, effects);
        if !inner.deferred.is_empty() && !std::mem::replace(&mut inner.is_listed, true) {
            list(); // under the lock: who flushes finds what is deferred
        }
        self.unlock(inner);
        Ok(arming)
    }

    /// The owner of a wait looks. It is not called again once it was ready.
    pub(crate) fn poll(&self, key: Key, waker: &Waker) -> Poll<Verdict> {
        // A waker may not be cloned under the lock (its vtable is anybody's code), so it is cloned where the first look
        // finds that it is needed, and put in place with the second.
        let mut fresh: Option<Waker> = None;
        loop {
            let mut inner = lock(&self.inner);
            let Some(slot) = inner.slot(key) else { return Poll::Ready(Verdict::Closed) };
            match (&mut slot.state, fresh.take()) {
                (State::Armed(current) | State::Deferred(Deferred { waker: current, .. }), fresh_waker) => {
                    if current.will_wake(waker) {
                        drop(inner);
                        drop(fresh_waker);
                        return Poll::Pending;
                    }
                    let Some(fresh_waker) = fresh_waker else {
                        drop(inner);
                        fresh = Some(waker.clone());
                        continue;
                    };
                    let stale = std::mem::replace(current, fresh_waker);
                    drop(inner);
                    drop(stale);
                    return Poll::Pending;
                }
                (State::Refused(error), unused) => {
                    let error = std::mem::replace(error, io::ErrorKind::Other.into());
                    slot.state = State::Cancelling;
                    drop(inner);
                    drop(unused);
                    return Poll::Ready(Verdict::Failed(error));
                }
                (State::Cancelling | State::Done(_), unused) => {
                    let state = inner.slots.remove(key.id as usize).state;
                    self.unlock(inner);
                    drop(unused);
                    return Poll::Ready(match state {
                        State::Done(done) => done.verdict,
                        // Not reached: only a wait whose owner is gone is being cancelled.
                        State::Armed(_) | State::Deferred(_) | State::Refused(_) | State::Cancelling => Verdict::Closed,
                    });
                }
            }
        }
    }

    /// The owner of a wait is gone.
    ///
    /// A wake that the wait has consumed is handed on before the caller has performed `effects`. One that the kernel has
    /// counted and not reported yet is handed on by the turn that learns of it.
    pub(crate) fn abandon(&self, key: Key, effects: &mut Effects<W>) {
        let mut inner = lock(&self.inner);
        let Some(slot) = inner.slot(key) else { return };
        match std::mem::replace(&mut slot.state, State::Cancelling).abandon() {
            Abandoned::Cancel(waker) => {
                effects.push(Effect::Forget(waker));
                inner.stats.cancelled += 1;
                if let Some(backend) = &mut inner.backend {
                    backend.cancel(key.id);
                }
                // Most often the verdict is there already.
                inner.reap(effects, None);
            }
            Abandoned::Withdrawn(Deferred { word, waker, .. }) => {
                inner.slots.remove(key.id as usize);
                inner.deferred.retain(|&id| id != key.id);
                inner.stats.cancelled += 1;
                effects.push(Effect::Release(word));
                effects.push(Effect::Forget(waker));
            }
            Abandoned::Unseen(Done { word, mask, verdict }) => {
                inner.slots.remove(key.id as usize);
                inner.stats.cancelled += 1;
                effects.push(match verdict {
                    Verdict::Woken => {
                        inner.stats.handed_on += 1;
                        Effect::HandOn(word, mask)
                    }
                    Verdict::Mismatch | Verdict::Failed(_) | Verdict::Closed => Effect::Release(word),
                });
            }
            Abandoned::Nothing => {}
        }
        self.unlock(inner);
    }

    /// Takes the completions that wait, until `effects` is full. Returns whether there may be more.
    pub(crate) fn turn(&self, effects: &mut Effects<W>) -> bool {
        let mut inner = lock(&self.inner);
        inner.reap(effects, None);
        self.unlock(inner);
        effects.is_full()
    }

    /// Hands the deferred waits to the kernel, until `effects` is full. Returns whether there may be more.
    pub(crate) fn flush(&self, effects: &mut Effects<W>) -> io::Result<bool> {
        let mut inner = lock(&self.inner);
        let flushed = inner.flush(effects);
        let more = !inner.deferred.is_empty() || flushed.is_ok() && !inner.unsubmitted.is_empty();
        inner.is_listed = flushed.is_err() || more;
        if flushed.is_ok() {
            inner.reap(effects, None);
        }
        self.unlock(inner);
        flushed.map(|()| more)
    }

    /// Ends all waits and lets go of the kernel's queue.
    pub(crate) fn close(&self) {
        let mut effects = Vec::new();
        let mut inner = lock(&self.inner);
        while let Some((id, word, mask)) = inner.take_deferred() {
            effects.extend(inner.complete(Completion { id, word, mask, ending: Ending::Cancelled }, true));
        }
        let backend = inner.backend.take();
        let backend = backend.map(|mut backend| {
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
        self.taken.store(inner.slots.len(), Ordering::Relaxed);
    }
}

impl<W: FutexWord> Inner<W> {
    /// The slot of a wait; `None` where it is not its any more, which no owner of a key finds.
    fn slot(&mut self, key: Key) -> Option<&mut Slot<W>> {
        let slot = self.slots.get_mut(key.id as usize).filter(|slot| slot.generation == key.generation);
        debug_assert!(slot.is_some(), "{key:?} has no slot");
        slot
    }

    fn arm(
        &mut self,
        request: &Request<'_, W>,
        waker: Waker,
        taken: &AtomicUsize,
        effects: &mut Effects<W>,
    ) -> io::Result<Arming> {
        let &Request { word, expected, mask, .. } = request;
        // A waker that is not needed is dropped with `effects`: the caller holds locks.
        let Some(backend) = &self.backend else {
            effects.push(Effect::Forget(waker));
            return Err(closed());
        };
        let when = if backend.batches() { request.when } else { When::Now };
        let Ok(id) = u32::try_from(self.slots.vacant_key()) else {
            effects.push(Effect::Forget(waker));
            return Err(io::Error::other("a reactor's queue can't hold more than 2^32 waits"));
        };
        self.generation = self.generation.wrapping_add(1);
        let key = Key { id, generation: self.generation };
        let state = match when {
            When::Now => State::Armed(waker),
            When::Later => State::Deferred(Deferred { word: word.clone(), mask, waker }),
        };
        self.slots.insert(Slot { generation: key.generation, expected, state });
        // Before the kernel has the wait: a turn for its completion must not pass by.
        taken.store(self.slots.len(), Ordering::Relaxed);
        if when == When::Later {
            self.deferred.push_back(id);
            self.stats.armed += 1;
            return Ok(Arming::Armed { key, is_due: self.deferred.len() >= deferring::MANY });
        }
        let may_be_over = self.hand_over(id, word.clone(), expected, mask, effects)?;
        self.stats.armed += 1;
        if !may_be_over {
            return Ok(Arming::Armed { key, is_due: false });
        }

        // A wait whose word differed is over by now: its owner is told, and needs no waking. Completions of others that lie
        // in front of it are taken as well.
        self.reap(effects, Some(id));
        match &self.slots[id as usize].state {
            State::Done(_) => match self.slots.remove(id as usize).state {
                State::Done(Done { verdict, .. }) => Ok(Arming::Over(verdict)),
                _ => Err(closed()), // not reached, see the line above
            },
            _ => Ok(Arming::Armed { key, is_due: false }),
        }
    }

    /// Hands a wait to the kernel at once. Returns whether there may be completions.
    fn hand_over(
        &mut self,
        id: u32,
        word: W,
        expected: u32,
        mask: NonZeroU32,
        effects: &mut Effects<W>,
    ) -> io::Result<bool> {
        let Some(backend) = &mut self.backend else { return Err(closed()) };
        let index = id as usize;
        let (error, state) = match backend.arm(id, word, expected, mask).map(|()| backend.submit()) {
            Ok(Ok(may_be_over)) => {
                self.unsubmitted.clear();
                return Ok(may_be_over);
            }
            Ok(Err(error)) => {
                // It is as if the owner had left at once.
                backend.cancel(id);
                (error, std::mem::replace(&mut self.slots[index].state, State::Cancelling))
            }
            Err(error) => (error, self.slots.remove(index).state),
        };
        if let State::Armed(waker) = state {
            effects.push(Effect::Forget(waker));
        }
        Err(error)
    }

    /// Takes completions until none waits or `effects` is full. The owner of the wait `told` is not woken.
    fn reap(&mut self, effects: &mut Effects<W>, told: Option<u32>) {
        while !effects.is_full() {
            let Some(backend) = &mut self.backend else { return };
            let Some(completion) = backend.reap() else { return };
            let id = completion.id;
            match self.complete(completion, false) {
                Some(Effect::Wake(waker)) if told == Some(id) => effects.push(Effect::Forget(waker)),
                effect => effects.extend(effect),
            }
        }
    }

    /// The kernel ended a wait.
    fn complete(&mut self, completion: Completion<W>, closing: bool) -> Option<Effect<W>> {
        match completion.ending {
            Ending::Woken => self.stats.woken += 1,
            Ending::Mismatch => self.stats.mismatched += 1,
            Ending::Cancelled | Ending::Failed(_) => {}
        }
        let (id, index) = (completion.id, completion.id as usize);
        let Some(slot) = self.slots.get_mut(index) else {
            debug_assert!(false, "{completion:?} is of no wait");
            return Some(Effect::Release(completion.word));
        };
        let expected = slot.expected;
        let state = std::mem::replace(&mut slot.state, State::Cancelling);
        let Transition { state, action } = state.complete(completion, closing);
        match state {
            Some(state) => slot.state = state,
            None => drop(self.slots.remove(index)),
        }
        match action {
            Action::Wake(waker) => Some(Effect::Wake(waker)),
            Action::Release(word) => Some(Effect::Release(word)),
            Action::HandOn(word, mask) => {
                self.stats.handed_on += 1;
                Some(Effect::HandOn(word, mask))
            }
            Action::Rearm(word, mask) => self.rearm(id, word, expected, mask),
        }
    }

    /// Arms a wait again that the kernel ended without being asked.
    fn rearm(&mut self, id: u32, word: W, expected: u32, mask: NonZeroU32) -> Option<Effect<W>> {
        let backend = self.backend.as_mut()?;
        let Err(error) = backend.arm(id, word.clone(), expected, mask) else {
            // After an error the wait reaches the kernel with the next call that succeeds, and its owner is still there.
            let _ = backend.submit();
            return Some(Effect::Release(word));
        };
        self.complete(Completion { id, word, mask, ending: Ending::Failed(error) }, false)
    }
}
