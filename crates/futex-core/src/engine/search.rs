//! Which shard takes a wait.

use super::{Armed, Batch, Engine, NEAR};
use crate::backend::{Backend, Fit, FutexWord};
use crate::effects::Effects;
use crate::errors::closed;
use crate::shard::Shard;
use crate::sync::{Arc, Ordering, read, write};
use std::io;
use std::task::Waker;

/// Number of queues that are searched for room before a further one is opened.
const PROBES: usize = 64;

/// Which shards are asked to take a wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Search {
    /// A few, if they have room.
    Few,
    /// All, if they have room.
    All,
    /// All, whether or not they have.
    Crowded,
}

impl<W: FutexWord> Engine<W> {
    /// Arms waits in the shard that took the latest, which most often has room. Returns false if it takes none.
    #[inline(always)] // in the path that matters
    pub(super) fn arm_in_latest<I: Iterator<Item = Waker>, F: FnMut(Armed<W>, bool)>(
        &self,
        batch: &mut Batch<'_, '_, W, I, F>,
        effects: &mut Effects<W>,
    ) -> io::Result<bool> {
        let shards = read(&self.shards);
        let latest = self.latest.load(Ordering::Relaxed);
        self.arm_in(&shards.list[latest], batch, Fit::Good, effects)
    }

    /// Arms at least one wait in another shard: one that has room, a new one, or a crowded one.
    #[cold]
    pub(super) fn arm_elsewhere<I: Iterator<Item = Waker>, F: FnMut(Armed<W>, bool)>(
        &self,
        batch: &mut Batch<'_, '_, W, I, F>,
        effects: &mut Effects<W>,
    ) -> io::Result<()> {
        let mut search = Search::Few;
        loop {
            if self.arm_somewhere(batch, search, effects)? {
                return Ok(());
            }
            if search == Search::Few && self.is_roomy() {
                search = Search::All;
                continue;
            }
            // No shard suits. One more does, unless it can't be had; then the others have to take more.
            let crowded = search == Search::Crowded;
            search = Search::Crowded;
            if self.may_open(crowded) {
                match self.open_shard() {
                    Ok(()) => {
                        if self.arm_in_latest(batch, effects)? {
                            return Ok(());
                        }
                        search = Search::Few; // others were faster
                    }
                    Err(error) if crowded || error.kind() == io::ErrorKind::BrokenPipe => return Err(error),
                    Err(_) => {}
                }
            }
        }
    }

    /// Arms waits in the first shard that takes some. Returns false if there is none.
    fn arm_somewhere<I: Iterator<Item = Waker>, F: FnMut(Armed<W>, bool)>(
        &self,
        batch: &mut Batch<'_, '_, W, I, F>,
        search: Search,
        effects: &mut Effects<W>,
    ) -> io::Result<bool> {
        let shards = read(&self.shards);
        let len = shards.list.len();
        let next = self.next.load(Ordering::Relaxed) % len;
        let (wanted, first, probes) = match search {
            Search::Few if len < self.queues.spread || len <= PROBES => (Fit::Good, next, PROBES),
            Search::Few => (Fit::Good, next, 2), // there is likely none
            Search::All => (Fit::Good, next, len),
            Search::Crowded => {
                // A crowded shard is as good as another, in turn; but one that is in the caches takes some more.
                let crowded = self.crowded.load(Ordering::Relaxed);
                let first = if shards.list[crowded].takes_more() { crowded } else { (crowded + 1) % len };
                (Fit::Crowded, first, len)
            }
        };
        for index in (first..len).chain(0..first).take(probes) {
            if self.arm_in(&shards.list[index], batch, wanted, effects)? {
                let cursor = if search == Search::Crowded { &self.crowded } else { &self.latest };
                cursor.store(index, Ordering::Relaxed);
                return Ok(true);
            }
        }
        if search == Search::Few && len > PROBES {
            self.next.store(next + probes, Ordering::Relaxed);
        }
        Ok(false)
    }

    /// Arms waits in a shard, if they fit. Returns false if it takes none.
    #[inline]
    fn arm_in<I: Iterator<Item = Waker>, F: FnMut(Armed<W>, bool)>(
        &self,
        shard: &Arc<Shard<W>>,
        batch: &mut Batch<'_, '_, W, I, F>,
        wanted: Fit,
        effects: &mut Effects<W>,
    ) -> io::Result<bool> {
        let Batch { left, wakers, each } = batch;
        let count = shard.arm(left, wakers, wanted, effects, |slot, is_over| {
            each(Armed { place: Some((shard.clone(), slot)), origin: self.origin }, is_over);
        })?;
        *left = &left[count..];
        Ok(count > 0)
    }

    /// Returns true if there is much room in the shards, though a few had none.
    fn is_roomy(&self) -> bool {
        let shards = read(&self.shards);
        let len = shards.list.len();
        PROBES < len && len < self.queues.spread && shards.taken() < shards.list[0].room().saturating_mul(len) / 4 * 3
    }

    /// Returns true if one more shard is worth a try.
    fn may_open(&self, needed: bool) -> bool {
        let shards = read(&self.shards);
        let may_fail = |full_at| full_at > 0 && (full_at / 2 + 1..2 * full_at).contains(&shards.taken());
        needed || (shards.list.len() < self.queues.spread && !may_fail(self.full_at.load(Ordering::Relaxed)))
    }

    fn add_shard(&self, backend: Box<dyn Backend<W>>) -> io::Result<()> {
        let mut shards = write(&self.shards);
        if shards.closed {
            return Err(closed());
        }
        let index = shards.list.len();
        if index >= NEAR {
            backend.watch(index)?;
        }
        self.latest.store(index, Ordering::Relaxed);
        shards.list.push(Arc::new(Shard::new(backend)));
        Ok(())
    }

    fn open_shard(&self) -> io::Result<()> {
        match (self.queues.open)().and_then(|backend| self.add_shard(backend)) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(error),
            Err(error) => {
                self.full_at.store(read(&self.shards).taken(), Ordering::Relaxed);
                crate::trace::no_more_queues(&error);
                Err(error)
            }
        }
    }
}
