//! The shards of a reactor: a list of all, and a stack of those that have room for waits.
//!
//! The next wait goes to the shard on top of the stack. A full shard is taken off, and is pushed again when an eighth of the quota
//! is free. If the stack is empty, the engine opens one more shard, or raises the quota of all.

use crate::stats::Stats;
use crate::sync::{Arc, AtomicUsize, Mutex, Ordering, RwLock, lock, write};

/// Number of empty shards that stay open beyond the number of those in use. Small in the models, so that some are closed.
const SPARE: usize = if cfg!(test) { 1 } else { 8 };

/// The shards of a reactor.
///
/// Locks are taken in this order: `all`, the lock of one shard, `roomy`.
pub(crate) struct Pool<S> {
    pub(crate) all: RwLock<All<S>>,
    /// The stack of those that have room. A shard pushes itself and takes itself off, under its own lock.
    roomy: Mutex<Vec<Arc<S>>>,
    /// Number of waits with which a shard is full: a multiple of `room`. Ordering of all counts here: Relaxed. They guard
    /// nothing, and what depends on them is checked again under a lock.
    quota: AtomicUsize,
    room: usize,
    /// Number of shards that are open, and of those that have waits.
    open: AtomicUsize,
    pub(crate) used: AtomicUsize,
    /// Number of open shards that are empty and take no waits any more.
    pub(crate) lost: AtomicUsize,
}

/// All shards, by key. The key of a shard stays the same as long as it is open.
pub(crate) struct All<S> {
    pub(crate) list: Vec<Option<Arc<S>>>,
    pub(crate) closed: bool,
    /// The figures of the shards that were closed because they were empty.
    pub(crate) retired: Stats,
}

impl<S> Pool<S> {
    /// A pool of shards that take `room` waits each, and more if there can't be more shards.
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

    /// The shard with room that is this deep in the stack.
    #[inline]
    pub(crate) fn roomy(&self, depth: usize) -> Option<Arc<S>> {
        let roomy = lock(&self.roomy);
        roomy.get(roomy.len().wrapping_sub(1 + depth)).cloned()
    }

    /// A shard has room. Its lock is held.
    #[cold]
    pub(crate) fn push(&self, shard: &Arc<S>) {
        lock(&self.roomy).push(shard.clone());
    }

    /// A shard that is on the stack has no room any more. Its lock is held.
    #[cold]
    pub(crate) fn take_off(&self, shard: &Arc<S>) {
        let mut roomy = lock(&self.roomy);
        if let Some(depth) = roomy.iter().rposition(|other| Arc::ptr_eq(other, shard)) {
            roomy.remove(depth); // not the last handle: the caller has another
        }
    }

    /// Puts a shard that is on the stack under the others. Its lock is held.
    #[cold]
    pub(crate) fn put_under(&self, shard: &Arc<S>) {
        let mut roomy = lock(&self.roomy);
        if let Some(depth) = roomy.iter().rposition(|other| Arc::ptr_eq(other, shard)) {
            roomy[..=depth].rotate_right(1);
        }
    }

    /// Lets go of all shards, which hold the pool. In a fork another thread may have held a lock at the time of the fork. Then the
    /// shards stay.
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

    /// Number of waits that a shard with `taken` takes before it goes under the others: the next multiple of the room, so that
    /// a shard which is in the caches fills up, and no shard takes more while another one has room.
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

    /// Gives each shard more room.
    pub(crate) fn raise_quota(&self) {
        self.quota.store(self.quota().saturating_add(self.room), Ordering::Relaxed);
    }

    /// Number of shards that are open.
    pub(crate) fn count(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Returns true if an empty shard is to be closed: it takes no waits any more, or too many are empty.
    pub(crate) fn has_surplus(&self) -> bool {
        self.has_lost() || self.count() > 2 * self.used.load(Ordering::Relaxed) + SPARE
    }

    /// Returns true if an empty shard takes no waits any more. It is to be closed before others.
    pub(crate) fn has_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed) > 0
    }

    /// From now on no shard is added, or closed for being empty. Returns all, which the caller closes.
    pub(crate) fn end(&self) -> Vec<Option<Arc<S>>> {
        let mut all = write(&self.all);
        all.closed = true;
        self.open.store(0, Ordering::Relaxed); // so that there is no surplus
        all.list.clone()
    }

    /// Adds a shard, which has room and a free key. The lock of `all` is held.
    pub(crate) fn add(&self, all: &mut All<S>, key: usize, shard: Arc<S>) {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.quota.store(self.room, Ordering::Relaxed); // those that took more have waited long enough for this one
        self.push(&shard);
        if key == all.list.len() {
            all.list.push(Some(shard));
        } else {
            all.list[key] = Some(shard);
        }
    }

    /// Removes a shard that is closed, whose `figures` stay. The lock of `all` is held.
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
    /// The lowest key that no shard has.
    pub(crate) fn free_key(&self) -> usize {
        self.list.iter().position(Option::is_none).unwrap_or(self.list.len())
    }

    /// The shards that are open.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (usize, &Arc<S>)> {
        self.list.iter().enumerate().filter_map(|(key, shard)| Some((key, shard.as_ref()?)))
    }
}
