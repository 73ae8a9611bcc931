//! A reactor's shards: which one takes a wait, and turning and closing all of them.

mod search;

use crate::backend::{Backend, FutexWord, Ready};
use crate::effects::Effects;
use crate::shard::{Key, Request, Shard, When};
use crate::state::Verdict;
use crate::stats::Stats;
use crate::sync::{Arc, AtomicBool, AtomicUsize, Mutex, Ordering, RwLock, lock, read, write};
use futex_sys::Origin;
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::task::{Poll, Waker};

/// Opens one more queue in the kernel.
pub(crate) type Open<W> = Box<dyn Fn() -> io::Result<Box<dyn Backend<W>>> + Send + Sync>;

/// So many queues are looked at in every turn. Whoever tells which are ready is asked about the others.
const NEAR: usize = 8;

/// How an engine gets its queues, and how it knows which of them to look at.
pub(crate) struct Queues<W: FutexWord> {
    pub(crate) open: Open<W>,
    /// Up to this many are opened just to keep apart waits that disturb each other.
    pub(crate) spread: usize,
    /// `None`: all are looked at.
    pub(crate) ready: Option<Arc<dyn Ready>>,
}

/// The part of a reactor that the models check: everything but the kernel.
///
/// Locks are taken in this order: `flushing` or `shards`, then the lock of one shard, then `deferred`. None is held while a
/// waker is called, cloned or dropped, a word is dropped, or a wake is handed on.
pub(crate) struct Engine<W: FutexWord> {
    queues: Queues<W>,
    /// What is ready was asked, and a waker's panic kept a turn from looking. Ordering: Relaxed, whoever turns next looks at all.
    was_cut_short: AtomicBool,
    shards: RwLock<Shards<W>>,
    /// The shard that took the latest wait it had room for, the one that is looked at next where that is full, and the one that
    /// took the latest wait beyond its room. Ordering: Relaxed, they are only where the searches begin.
    latest: AtomicUsize,
    next: AtomicUsize,
    crowded: AtomicUsize,
    /// A queue could not be opened when the reactor had this many waits; it is tried again when there are twice as many, or
    /// half. Ordering: Relaxed, it only keeps failing calls rare.
    full_at: AtomicUsize,
    /// The shards with waits that the kernel has not been handed.
    deferred: Mutex<VecDeque<Arc<Shard<W>>>>,
    /// Held by who flushes.
    flushing: Mutex<()>,
    /// Whether there may be any. Ordering: Relaxed. A thread sees that it has deferred waits, which keeps its waits in order; and
    /// whoever is to flush for another thread was told by it, which synchronizes.
    has_deferred: AtomicBool,
    origin: Origin,
}

struct Shards<W: FutexWord> {
    list: Vec<Arc<Shard<W>>>,
    closed: bool,
}

impl<W: FutexWord> Shards<W> {
    /// How many slots are taken in all.
    fn taken(&self) -> usize {
        self.list.iter().map(|shard| shard.taken()).sum()
    }
}

/// An armed wait: where it is.
pub(crate) struct Armed<W: FutexWord> {
    shard: Arc<Shard<W>>,
    key: Key,
    origin: Origin,
}

/// What became of a wait that was to be armed.
pub(crate) enum Armament<W: FutexWord> {
    /// `is_due`: so many are deferred that they are to be flushed now.
    Armed {
        armed: Armed<W>,
        is_due: bool,
    },
    Over(Verdict),
}

impl<W: FutexWord> Engine<W> {
    /// An engine with a first queue, or the reason why there is none.
    pub(crate) fn new(queues: Queues<W>) -> io::Result<Self> {
        let first = Arc::new(Shard::new((queues.open)()?));
        Ok(Self {
            queues,
            was_cut_short: AtomicBool::new(false),
            shards: RwLock::new(Shards { list: vec![first], closed: false }),
            latest: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            crowded: AtomicUsize::new(0),
            full_at: AtomicUsize::new(0),
            deferred: Mutex::new(VecDeque::new()),
            flushing: Mutex::new(()),
            has_deferred: AtomicBool::new(false),
            origin: Origin::here(),
        })
    }

    /// Arms a wait. Who defers it calls [`flush`](Engine::flush) afterwards, some time.
    pub(crate) fn arm(&self, request: &Request<'_, W>, waker: &Waker) -> io::Result<Armament<W>> {
        if !self.origin.is_here() {
            return Err(forked());
        }
        if request.when == When::Now {
            // It must not overtake them, on the same word perhaps. An error is for those who wait for them, and is tried again.
            let _ = self.flush();
        }
        let mut effects = Effects::new();
        let armament = match self.arm_in_latest(request, waker.clone(), &mut effects) {
            Ok(armament) => armament,
            Err(waker) => self.arm_elsewhere(request, waker, &mut effects),
        };
        if let Ok(Armament::Armed { is_due: true, .. }) = armament {
            let _ = self.flush(); // as above
        }
        armament
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
        let near = if self.was_cut_short.swap(false, Ordering::Relaxed) { usize::MAX } else { NEAR };
        let _cut_short = CutShort(&self.was_cut_short);
        if !self.turn_each(0..near) {
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

    /// Hands the deferred waits to the kernel.
    #[inline]
    pub(crate) fn flush(&self) -> io::Result<()> {
        if self.has_deferred.load(Ordering::Relaxed) { self.flush_shards() } else { Ok(()) }
    }

    #[cold]
    fn flush_shards(&self) -> io::Result<()> {
        if !self.origin.is_here() {
            return Ok(());
        }
        let mut effects = Effects::new();
        let mut result = Ok(());
        // Whoever else flushes meanwhile waits, so that what was deferred before its call is in the kernel after it.
        let flushing = lock(&self.flushing);
        // A shard that fails goes to the end of the list, and the others have their turn.
        let mut left = lock(&self.deferred).len();
        drop(flushing);
        while left > 0 {
            let flushing = lock(&self.flushing);
            let next = lock(&self.deferred).pop_front();
            let Some(shard) = next else { break };
            match shard.flush(&mut effects) {
                Ok(false) => left -= 1,
                Ok(true) => self.list(&shard), // the batch is full
                Err(error) => {
                    self.list(&shard);
                    left -= 1;
                    result = Err(error);
                }
            }
            let deferred = lock(&self.deferred);
            self.has_deferred.store(!deferred.is_empty(), Ordering::Relaxed);
            drop(deferred);
            drop(flushing);
            effects.perform();
        }
        result
    }

    /// Ends all waits, and lets go of everything in the kernel. Returns when no waiter of this engine is left there.
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

    pub(crate) fn is_closed(&self) -> bool {
        read(&self.shards).closed
    }

    /// Whether this process is the one that made the engine, and not a fork of it.
    pub(crate) fn is_here(&self) -> bool {
        self.origin.is_here()
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        for shard in &read(&self.shards).list {
            stats.add(&shard.stats());
        }
        stats
    }

    /// Takes every lock, as a waker's code may at any time: a deadlock where one is held.
    #[cfg(test)]
    pub(crate) fn take_locks(&self) {
        drop(write(&self.shards));
        drop(lock(&self.flushing));
        drop(lock(&self.deferred));
        let _ = self.stats();
    }

    /// Puts a shard on the list of those to flush.
    fn list(&self, shard: &Arc<Shard<W>>) {
        let mut deferred = lock(&self.deferred);
        deferred.push_back(shard.clone());
        self.has_deferred.store(true, Ordering::Relaxed);
    }
}

/// Notes that a turn ended by a panic.
struct CutShort<'a>(&'a AtomicBool);

impl Drop for CutShort<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

impl<W: FutexWord> Drop for Engine<W> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<W: FutexWord> Armed<W> {
    /// The owner looks. It is not called again once it was ready.
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<io::Result<Verdict>> {
        if !self.origin.is_here() {
            return Poll::Ready(Err(forked()));
        }
        self.shard.poll(self.key, waker).map(Ok)
    }

    /// The owner is gone. Not called once [`poll`](Armed::poll) was ready.
    pub(crate) fn abandon(&self) {
        // In a fork the wait is the parent's, and so is its slot.
        if self.origin.is_here() {
            let mut effects = Effects::new();
            self.shard.abandon(self.key, &mut effects);
            effects.perform();
        }
    }
}

/// The error of a wait whose reactor was closed.
pub(crate) fn closed() -> io::Error {
    io::Error::new(
        io::ErrorKind::BrokenPipe,
        "the futex reactor was closed, or its runtime has shut down: wait with another one",
    )
}

/// The error of a wait in a fork of the reactor's process.
pub(crate) fn forked() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "this futex reactor belongs to the process that this one was forked from: make another one here",
    )
}
