//! A reactor's shards: which one takes a wait, and turning and closing all of them.

mod search;

use crate::backend::{Backend, FutexWord, Ready};
use crate::effects::Effects;
use crate::errors::{forked, refused};
use crate::shard::{Request, Shard};
use crate::state::Verdict;
use crate::stats::Stats;
use crate::sync::{Arc, AtomicUsize, RwLock, read, write};
use futex_sys::Origin;
use std::io;
use std::ops::Range;
use std::task::{Poll, Waker};

/// Opens one more queue in the kernel.
pub(crate) type Open<W> = Box<dyn Fn() -> io::Result<Box<dyn Backend<W>>> + Send + Sync>;

/// This number of queues is looked at in every turn. [`Ready`] reports which of the others have completions. Small in the
/// models, so that there are others.
const NEAR: usize = if cfg!(test) { 1 } else { 8 };

/// How an engine gets its queues, and how it knows which of them to look at.
pub(crate) struct Queues<W: FutexWord> {
    pub(crate) open: Open<W>,
    /// Up to this number are opened just to keep apart waits that disturb each other.
    pub(crate) spread: usize,
    /// `None`: each turn visits all.
    pub(crate) ready: Option<Box<dyn Ready>>,
}

/// The part of a reactor that the models check: everything but the kernel.
///
/// Locks are taken in this order: `shards`, then the lock of one shard. None is held while a waker is called, cloned or
/// dropped, a word is dropped, or a wake is handed on.
pub(crate) struct Engine<W: FutexWord> {
    queues: Queues<W>,
    shards: RwLock<Shards<W>>,
    /// The shard that took the latest wait it had room for, the one that is looked at next where that is full, and the one that
    /// took the latest wait beyond its room. Ordering: Relaxed, they are only where the searches begin.
    latest: AtomicUsize,
    next: AtomicUsize,
    crowded: AtomicUsize,
    /// A queue could not be opened when the reactor had this many waits; it is tried again when there are twice as many, or
    /// half. Ordering: Relaxed, it only keeps failing calls rare.
    full_at: AtomicUsize,
    origin: Origin,
}

struct Shards<W: FutexWord> {
    list: Vec<Arc<Shard<W>>>,
    closed: bool,
}

impl<W: FutexWord> Shards<W> {
    /// Number of slots that are taken in all.
    fn taken(&self) -> usize {
        self.list.iter().map(|shard| shard.taken()).sum()
    }
}

/// Waits that one call arms.
struct Batch<'a, 'r, W, I, F> {
    /// Those that are not armed yet.
    left: &'a [Request<'r, W>],
    wakers: I,
    /// Gets each one, and whether it is over already.
    each: F,
}

/// An armed wait: where it is. It is abandoned when this is dropped.
pub(crate) struct Armed<W: FutexWord> {
    /// `None` once it is over.
    place: Option<(Arc<Shard<W>>, u32)>,
    origin: Origin,
}

impl<W: FutexWord> Engine<W> {
    /// An engine with a first queue, or the reason why there is none.
    pub(crate) fn new(queues: Queues<W>) -> io::Result<Self> {
        let first = Arc::new(Shard::new((queues.open)()?));
        Ok(Self {
            queues,
            shards: RwLock::new(Shards { list: vec![first], closed: false }),
            latest: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            crowded: AtomicUsize::new(0),
            full_at: AtomicUsize::new(0),
            origin: Origin::here(),
        })
    }

    /// Arms waits, in order: those that are in one queue with one submission. `wakers` has a waker for each. `each` gets each
    /// wait, in the order of `requests`, and whether it is over already.
    ///
    /// If there is an error, the caller drops what `each` got, so that none is left armed.
    #[inline]
    pub(crate) fn arm(
        &self,
        requests: &[Request<'_, W>],
        wakers: impl Iterator<Item = Waker>,
        each: impl FnMut(Armed<W>, bool),
    ) -> io::Result<()> {
        if !self.origin.is_here() {
            return Err(forked());
        }
        let mut batch = Batch { left: requests, wakers, each };
        while !batch.left.is_empty() {
            let mut effects = Effects::new(); // performed at the end of the round, when no lock is held
            match self.arm_in_latest(&mut batch, &mut effects) {
                Ok(true) => {}
                Ok(false) => self.arm_elsewhere(&mut batch, &mut effects).map_err(refused)?,
                Err(error) => return Err(refused(error)),
            }
        }
        Ok(())
    }

    /// Takes all completions that wait, and wakes their tasks.
    pub(crate) fn turn(&self) {
        if !self.origin.is_here() {
            return;
        }
        let Some(ready) = &self.queues.ready else {
            self.turn_each(0..usize::MAX);
            return;
        };
        if !self.turn_each(0..NEAR) {
            return;
        }
        loop {
            let indices = ready.take();
            // A ring that gets a completion from now on brings a turn of its own.
            let is_all = !indices.is_full();
            for index in indices {
                self.turn_each(index..index + 1);
            }
            if is_all {
                return;
            }
        }
    }

    /// Takes the completions of the shards in `range`. Returns whether there are shards behind them.
    fn turn_each(&self, range: Range<usize>) -> bool {
        let mut effects = Effects::new();
        let mut next = range.start;
        loop {
            let (done, has_more) = {
                let shards = read(&self.shards);
                let list = &shards.list[..range.end.min(shards.list.len())];
                while let Some(shard) = list.get(next) {
                    if !shard.is_empty() && shard.turn(&mut effects) {
                        break; // the batch is full; this shard may have more
                    }
                    next += 1;
                }
                (next >= list.len(), shards.list.len() > range.end)
            };
            effects.perform();
            if done {
                return has_more;
            }
        }
    }

    /// Ends all waits, and lets go of everything in the kernel. When it returns, no waiter of this engine is left there.
    pub(crate) fn close(&self) {
        if !self.origin.is_here() {
            return;
        }
        let list = {
            let mut shards = write(&self.shards);
            shards.closed = true;
            shards.list.clone()
        };
        for shard in list {
            shard.close();
        }
    }

    /// True also in a fork, which can't wait with it.
    pub(crate) fn is_closed(&self) -> bool {
        // Asked before the lock, which another thread may have held at the time of the fork.
        !self.origin.is_here() || read(&self.shards).closed
    }

    /// Returns true if this process is the one that made the engine, and not a fork of it.
    pub(crate) fn is_here(&self) -> bool {
        self.origin.is_here()
    }

    /// All zero in a fork.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        if self.origin.is_here() {
            for shard in &read(&self.shards).list {
                stats.add(&shard.stats());
            }
        }
        stats
    }

    /// Takes every lock, as a waker's code may at any time: a deadlock if one is held.
    #[cfg(test)]
    pub(crate) fn take_locks(&self) {
        drop(write(&self.shards));
        let _ = self.stats();
    }
}

impl<W: FutexWord> Drop for Engine<W> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<W: FutexWord> Armed<W> {
    /// The owner polls. It is not called again once it was ready.
    #[inline]
    pub(crate) fn poll(&mut self, waker: &Waker) -> Poll<io::Result<Verdict>> {
        if !self.origin.is_here() {
            return Poll::Ready(Err(forked()));
        }
        let Some((shard, slot)) = &self.place else { return Poll::Ready(Ok(Verdict::Closed)) };
        let verdict = shard.poll(*slot, waker);
        if verdict.is_ready() {
            self.place = None;
        }
        verdict.map(Ok)
    }
}

impl<W: FutexWord> Drop for Armed<W> {
    fn drop(&mut self) {
        // In a fork the wait is the parent's, and so is its slot.
        if let Some((shard, slot)) = self.place.take().filter(|_| self.origin.is_here()) {
            shard.abandon(slot);
        }
    }
}
