//! The shards of a reactor: a list of all shards, and a stack of the shards that have room for waits.
//!
//! The next wait goes to the shard on top of the stack. A full shard is taken off the stack, and is pushed again when an eighth
//! of its quota is free. If the stack is empty, the engine opens another shard or raises the quota of all shards.

use crate::stats::Stats;
use crate::sync::{Arc, AtomicUsize, Mutex, Ordering, RwLock, lock, write};

/// Number of empty shards that stay open beyond the number of shards in use. It is small in the models, so that they close some.
const SPARE: usize = if cfg!(test) { 1 } else { 8 };

/// The shards of a reactor.
///
/// Locks are taken in this order: `all`, the lock of one shard, `roomy`.
pub(crate) struct Pool<S> {
    pub(crate) all: RwLock<All<S>>,
    /// The stack of the shards that have room. A shard pushes itself and takes itself off, under its own lock.
    roomy: Mutex<Vec<Arc<S>>>,
    /// Maximum number of waits per shard: a multiple of `room`.
    ///
    /// Ordering of all counts in this struct: Relaxed. They guard no data, and each decision that depends on one of them is
    /// checked again under a lock.
    quota: AtomicUsize,
    room: usize,
    /// Number of open shards.
    open: AtomicUsize,
    /// Number of open shards that have waits.
    pub(crate) used: AtomicUsize,
    /// Number of open shards that are empty and take no more waits.
    pub(crate) lost: AtomicUsize,
}

/// All shards, by key. A shard keeps its key as long as it is open.
pub(crate) struct All<S> {
    pub(crate) list: Vec<Option<Arc<S>>>,
    pub(crate) closed: bool,
    /// Statistics of the shards that were closed because they were empty.
    pub(crate) retired: Stats,
}

impl<S> Pool<S> {
    /// Makes a pool of shards that take `room` waits each, and more if no further shard can be opened.
    pub(crate) fn new(room: usize) -> Self {
        Self {
            all: RwLock::new(All { list: Vec::new(), closed: false, retired: Stats::default() }),
            roomy: Mutex::new(Vec::new()),
            quota: AtomicUsize::new(room),
            room,
            open: AtomicUsize::new(0),
            used: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
        }
    }

    /// Returns the shard with room that is `depth` places below the top of the stack.
    #[inline]
    pub(crate) fn roomy(&self, depth: usize) -> Option<Arc<S>> {
        let roomy = lock(&self.roomy);
        roomy.get(roomy.len().wrapping_sub(1 + depth)).cloned()
    }

    /// Pushes a shard that has room. The caller holds the shard's lock.
    #[cold]
    pub(crate) fn push(&self, shard: &Arc<S>) {
        lock(&self.roomy).push(shard.clone());
    }

    /// Takes a shard off the stack, because it has no room. The caller holds the shard's lock.
    #[cold]
    pub(crate) fn take_off(&self, shard: &Arc<S>) {
        let mut roomy = lock(&self.roomy);
        if let Some(depth) = roomy.iter().rposition(|other| Arc::ptr_eq(other, shard)) {
            roomy.remove(depth); // not the last handle: the caller has another
        }
    }

    /// Moves a shard to the bottom of the stack. The caller holds the shard's lock.
    #[cold]
    pub(crate) fn put_under(&self, shard: &Arc<S>) {
        let mut roomy = lock(&self.roomy);
        if let Some(depth) = roomy.iter().rposition(|other| Arc::ptr_eq(other, shard)) {
            roomy[..=depth].rotate_right(1);
        }
    }

    /// Releases all shards, which hold the pool (a reference cycle). In a fork the shards leak if another thread held a lock at
    /// the time of the fork.
    pub(crate) fn let_go(&self, is_fork: bool) {
        let (all, roomy) = if is_fork {
            (self.all.try_write().ok(), self.roomy.try_lock().ok())
        } else {
            (Some(write(&self.all)), Some(lock(&self.roomy)))
        };
        let list = all.map(|mut all| std::mem::take(&mut all.list));
        let roomy = roomy.map(|mut roomy| std::mem::take(&mut *roomy));
        drop((list, roomy)); // under no lock
    }

    /// Returns the number of waits at which a shard that has `taken` waits moves to the bottom of the stack (or, at the quota,
    /// leaves the stack): the next multiple of the room. So the shard that is in the processor's caches is filled first, but
    /// takes no more than that while another shard has room.
    #[inline]
    pub(crate) fn limit(&self, taken: usize) -> usize {
        if taken < self.room {
            return self.room; // the quota is no less
        }
        self.quota().min((taken / self.room + 1).saturating_mul(self.room))
    }

    #[inline]
    pub(crate) fn quota(&self) -> usize {
        self.quota.load(Ordering::Relaxed)
    }

    /// Raises the quota of each shard by `room`.
    pub(crate) fn raise_quota(&self) {
        self.quota.store(self.quota().saturating_add(self.room), Ordering::Relaxed);
    }

    /// Returns the number of open shards.
    pub(crate) fn count(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Returns true if an empty shard should be closed: it takes no more waits, or too many shards are empty.
    pub(crate) fn has_surplus(&self) -> bool {
        self.has_lost() || self.count() > 2 * self.used.load(Ordering::Relaxed) + SPARE
    }

    /// Returns true if an empty shard takes no more waits. Such shards are closed before others.
    pub(crate) fn has_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed) > 0
    }

    /// Marks the pool as closed, so that no shard is added or retired from now on. Returns all shards for the caller to close.
    pub(crate) fn end(&self) -> Vec<Option<Arc<S>>> {
        let mut all = write(&self.all);
        all.closed = true;
        self.open.store(0, Ordering::Relaxed); // so that there is no surplus
        all.list.clone()
    }

    /// Adds a shard that has room, under a free key. The caller holds the lock of `all`.
    pub(crate) fn add(&self, all: &mut All<S>, key: usize, shard: Arc<S>) {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.quota.store(self.room, Ordering::Relaxed); // shards can be opened again, so none needs more than its room
        self.push(&shard);
        if key == all.list.len() {
            all.list.push(Some(shard));
        } else {
            all.list[key] = Some(shard);
        }
    }

    /// Removes a shard that is being closed, and keeps its `figures`. The caller holds the lock of `all`.
    pub(crate) fn remove(&self, all: &mut All<S>, key: usize, figures: &Stats, is_lost: bool) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.lost.fetch_sub(usize::from(is_lost), Ordering::Relaxed);
        self.quota.store(self.room, Ordering::Relaxed); // there are more than enough again
        all.retired.add(figures);
        all.list[key] = None;
        while let Some(None) = all.list.last() {
            all.list.pop();
        }
    }
}

impl<S> All<S> {
    /// Returns the lowest key that no shard has.
    pub(crate) fn free_key(&self) -> usize {
        self.list.iter().position(Option::is_none).unwrap_or(self.list.len())
    }

    /// Returns the open shards with their keys.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (usize, &Arc<S>)> {
        self.list.iter().enumerate().filter_map(|(key, shard)| Some((key, shard.as_ref()?)))
    }
}
