//! All waits of a reactor: arming, turning, closing. The models check this part against a model of the kernel.

use crate::effects::Effects;
use crate::outcome::{closed, forked, refused};
use crate::pool::Pool;
use crate::queue::{FutexWord, Queue, Ready};
use crate::shard::{Request, Shard};
use crate::stats::Stats;
use crate::sync::{Arc, Mutex, lock, read, write};
use futex_sys::__private::{Origin, fail};
use std::io;
use std::ops::Range;

/// A function that opens another queue in the kernel.
pub(crate) type Open<W> = Box<dyn Fn() -> io::Result<Box<dyn Queue<W>>> + Send + Sync>;

/// Every turn visits the queues with keys below this number. [`Ready`] reports which of the others have completions. It is small
/// in the models, so that there are others.
const NEAR: usize = if cfg!(test) { 1 } else { 8 };

/// Maximum number of shards that an arming tries to lock before it blocks.
const TRIES: usize = 4;

/// The queues of an engine: how to open one, how many there may be, and which of them have completions.
pub(crate) struct Queues<W: FutexWord> {
    pub(crate) open: Open<W>,
    /// Number of waits that a queue takes before the next one is opened.
    pub(crate) room: usize,
    /// Maximum number of queues. When it is reached, the open queues take more waits.
    pub(crate) spread: usize,
    /// Reports which queues have completions. If `None`, each turn visits all queues.
    pub(crate) ready: Option<Box<dyn Ready>>,
}

/// All waits of a reactor.
///
/// No lock is held while a waker is called, cloned or dropped, a word is dropped, or a wake is handed on. The lock `opening` is
/// taken before the locks of the [`Pool`].
pub(crate) struct Engine<W: FutexWord> {
    queues: Queues<W>,
    pool: Arc<Pool<Shard<W>>>,
    /// Held while a queue is opened, so that several threads that find no room open one queue together.
    opening: Mutex<()>,
    origin: Origin,
}

impl<W: FutexWord> Engine<W> {
    /// Makes an engine and opens its first queue.
    pub(crate) fn new(queues: Queues<W>) -> io::Result<Self> {
        let pool = Arc::new(Pool::new(queues.room));
        let engine = Self { queues, pool, opening: Mutex::new(()), origin: Origin::here() };
        engine.open()?;
        Ok(engine)
    }

    /// Arms waits, in order, with as few submissions as possible.
    ///
    /// After an error the caller must drop the requests, so that no wait stays armed.
    #[inline]
    pub(crate) fn arm(&self, mut requests: &mut [Request<'_, W>]) -> io::Result<()> {
        if !self.origin.is_here() {
            return Err(forked());
        }
        while !requests.is_empty() {
            let mut effects = Effects::new(); // performed at the end of the round, when no lock is held
            let Some(count) = self.arm_some(requests, &mut effects).map_err(refused)? else {
                self.make_room().map_err(refused)?;
                continue;
            };
            requests = &mut requests[count..];
        }
        Ok(())
    }

    /// Arms as many of the first `requests` as one shard takes, and returns their number. It is 0 if the shard turns out to have
    /// no room. Returns `None` if no shard has room.
    #[inline]
    fn arm_some(&self, requests: &mut [Request<'_, W>], effects: &mut Effects<W>) -> io::Result<Option<usize>> {
        for depth in 0..TRIES {
            let Some(shard) = self.pool.roomy(depth) else { break };
            if let Some(inner) = shard.try_lock() {
                return shard.arm(inner, requests, effects).map(Some);
            }
        }
        let Some(shard) = self.pool.roomy(0) else { return Ok(None) };
        shard.arm(shard.lock(), requests, effects).map(Some)
    }

    /// Opens another shard. If that fails, raises the quota, so that the open shards take more waits.
    #[cold]
    fn make_room(&self) -> io::Result<()> {
        let opening = lock(&self.opening);
        if self.pool.roomy(0).is_some() {
            return Ok(()); // another thread was faster
        }
        if self.is_closed() {
            return Err(closed());
        }
        let Err(error) = self.open() else { return Ok(()) };
        self.pool.raise_quota();
        let shards: Vec<_> = read(&self.pool.all).iter().map(|(_, shard)| shard.clone()).collect();
        let usable = shards.iter().filter(|shard| shard.offer_room()).count();
        drop(opening);
        crate::trace::no_more_queues(&error); // runs the code of a subscriber, so no lock is held
        match usable {
            // If other threads have already taken the room, the caller calls this function again.
            1.. => Ok(()),
            // The engine was closed meanwhile.
            0 if self.is_closed() => Err(closed()),
            0 => Err(error),
        }
    }

    fn open(&self) -> io::Result<()> {
        if self.pool.count() >= self.queues.spread.max(1) {
            return Err(fail(
                io::ErrorKind::QuotaExceeded,
                "this futex reactor has opened its maximum of rings, a quarter of the descriptor limit: raise it with `ulimit -n`",
            ));
        }
        let backend = (self.queues.open)()?;
        let mut all = write(&self.pool.all);
        if all.closed {
            return Err(closed());
        }
        let key = all.free_key();
        if key >= NEAR {
            backend.watch(key)?;
        }
        let shard = Shard::new(backend, self.queues.room, self.pool.clone(), self.origin);
        self.pool.add(&mut all, key, Arc::new(shard));
        Ok(())
    }

    /// Takes all available completions, and wakes their tasks.
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
            let keys = ready.take();
            // A ring that gets a completion from now on causes another turn.
            let is_all = !keys.is_full();
            for key in keys {
                self.turn_each(key..key + 1);
            }
            if is_all {
                return;
            }
        }
    }

    /// Takes the completions of the shards with these keys. Returns true if there are shards with higher keys.
    fn turn_each(&self, keys: Range<usize>) -> bool {
        let mut effects = Effects::new();
        let mut emptied = false;
        let mut next = keys.start;
        loop {
            let (done, has_more) = {
                let list = &read(&self.pool.all).list;
                let end = keys.end.min(list.len());
                while next < end && !effects.is_full() {
                    if let Some(shard) = list[next].as_ref().filter(|shard| !shard.is_empty()) {
                        emptied |= shard.turn(&mut effects);
                    }
                    next += usize::from(!effects.is_full()); // if the batch is full, this shard may have more completions
                }
                (next >= end, list.len() > keys.end)
            };
            effects.perform();
            if done {
                if emptied {
                    self.pool.trim();
                }
                return has_more;
            }
        }
    }

    /// Ends all waits, and closes all queues in the kernel. See [`Reactor::close`](crate::Reactor::close).
    pub(crate) fn close(&self) {
        if !self.origin.is_here() {
            return;
        }
        self.pool.end().iter().flatten().for_each(Shard::close);
    }

    /// Returns true if the engine was closed, and in a fork, which can't use it.
    pub(crate) fn is_closed(&self) -> bool {
        // The origin is checked before the lock is taken, which another thread may have held at the time of the fork.
        !self.origin.is_here() || read(&self.pool.all).closed
    }

    /// Returns the statistics of all shards, including closed ones. All figures are zero in a fork.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        if self.origin.is_here() {
            let all = read(&self.pool.all);
            stats.add(&all.retired);
            all.iter().for_each(|(_, shard)| stats.add(&shard.stats()));
        }
        stats
    }

    /// Returns the number of slots in use.
    #[cfg(test)]
    pub(crate) fn slots(&self) -> usize {
        read(&self.pool.all).iter().map(|(_, shard)| shard.slots()).sum()
    }

    /// Takes and releases every lock, like the code of a waker may. If the caller holds one, this deadlocks.
    #[cfg(test)]
    pub(crate) fn take_locks(&self) {
        drop(lock(&self.opening));
        drop(write(&self.pool.all));
        let _ = (self.stats(), self.pool.roomy(0));
    }
}

impl<W: FutexWord> Drop for Engine<W> {
    fn drop(&mut self) {
        self.close();
        self.pool.let_go(!self.origin.is_here());
    }
}
