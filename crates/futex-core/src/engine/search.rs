//! Which shard takes a wait.

use super::{Armament, Armed, Engine, NEAR, closed};
use crate::backend::{Backend, Fit, FutexWord};
use crate::effects::Effects;
use crate::shard::{Arming, Request, Shard};
use crate::sync::{Arc, Ordering, read, write};
use std::io;
use std::task::Waker;

/// A queue with room is looked for among so many before a further one is opened.
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
    /// Arms a wait in the shard that took the latest, which most often has room for it.
    #[inline(always)] // in the path that matters
    pub(super) fn arm_in_latest(
        &self,
        request: &Request<'_, W>,
        waker: Waker,
        effects: &mut Effects<W>,
    ) -> Result<io::Result<Armament<W>>, Waker> {
        let shards = read(&self.shards);
        let latest = self.latest.load(Ordering::Relaxed);
        self.arm_in(&shards.list[latest], request, waker, Fit::Good, effects)
    }

    /// Arms a wait in another shard: one that has room, a new one, or a crowded one.
    #[cold]
    pub(super) fn arm_elsewhere(
        &self,
        request: &Request<'_, W>,
        mut waker: Waker,
        effects: &mut Effects<W>,
    ) -> io::Result<Armament<W>> {
        let mut search = Search::Few;
        loop {
            match self.arm_somewhere(request, waker, search, effects) {
                Ok(armament) => return armament,
                Err(unused) => waker = unused,
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
                    Ok(()) => match self.arm_in_latest(request, waker, effects) {
                        Ok(armament) => return armament,
                        Err(unused) => (waker, search) = (unused, Search::Few), // others were faster
                    },
                    Err(error) if crowded || error.kind() == io::ErrorKind::BrokenPipe => return Err(error),
                    Err(_) => {}
                }
            }
        }
    }

    /// Arms a wait in the first shard where it fits.
    fn arm_somewhere(
        &self,
        request: &Request<'_, W>,
        mut waker: Waker,
        search: Search,
        effects: &mut Effects<W>,
    ) -> Result<io::Result<Armament<W>>, Waker> {
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
            match self.arm_in(&shards.list[index], request, waker, wanted, effects) {
                Err(unused) => waker = unused,
                Ok(armament) => {
                    let cursor = if search == Search::Crowded { &self.crowded } else { &self.latest };
                    cursor.store(index, Ordering::Relaxed);
                    return Ok(armament);
                }
            }
        }
        if search == Search::Few && len > PROBES {
            self.next.store(next + probes, Ordering::Relaxed);
        }
        Err(waker)
    }

    /// Arms a wait in a shard, where it fits.
    #[inline]
    fn arm_in(
        &self,
        shard: &Arc<Shard<W>>,
        request: &Request<'_, W>,
        waker: Waker,
        wanted: Fit,
        effects: &mut Effects<W>,
    ) -> Result<io::Result<Armament<W>>, Waker> {
        let arming = shard.arm(request, waker, wanted, effects, || self.list(shard))?;
        Ok(arming.map(|arming| match arming {
            Arming::Over(verdict) => Armament::Over(verdict),
            Arming::Armed { key, is_due } => {
                Armament::Armed { armed: Armed { shard: shard.clone(), key, origin: self.origin }, is_due }
            }
        }))
    }

    /// Whether there is much room in the shards, though a few had none.
    fn is_roomy(&self) -> bool {
        let shards = read(&self.shards);
        let len = shards.list.len();
        PROBES < len && len < self.queues.spread && shards.taken() < shards.list[0].room().saturating_mul(len) / 4 * 3
    }

    /// Whether one more shard is worth a try.
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
