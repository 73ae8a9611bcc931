//! The guards of a read-write lock.

use super::RwLock;
use crate::members::Member;
use crate::steps::mutex::Locked;
use crate::value::Value;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// The right to read the value of an [`RwLock`].
pub type RwLockReadGuard<'a, T> = ReadGuard<&'a RwLock<T>, T>;

/// An [`RwLockReadGuard`] that owns a share of the lock.
pub type OwnedRwLockReadGuard<T> = ReadGuard<Arc<RwLock<T>>, T>;

/// The right to change the value of an [`RwLock`].
pub type RwLockWriteGuard<'a, T> = WriteGuard<&'a RwLock<T>, T>;

/// An [`RwLockWriteGuard`] that owns a share of the lock.
pub type OwnedRwLockWriteGuard<T> = WriteGuard<Arc<RwLock<T>>, T>;

/// The guard of a reader: see [`RwLockReadGuard`] and [`OwnedRwLockReadGuard`].
///
/// The guard dereferences to a copy of the value. As long as the guard exists, no writer changes the value. A drop makes at most one
/// wake, and never waits.
#[must_use = "a guard that is dropped at once keeps no writer out"]
pub struct ReadGuard<L, T>
where
    L: Deref<Target = RwLock<T>>,
{
    lock: L,
    locked: Locked,
    value: T,
}

impl<L, T> ReadGuard<L, T>
where
    L: Deref<Target = RwLock<T>>,
    T: Value,
{
    #[inline]
    pub(super) fn new(lock: L, locked: Locked) -> Self {
        let value = RwLock::<T>::COPIES.load(&lock.object);
        Self { lock, locked, value }
    }

    /// Returns true if a writer died inside its section, and no later writer has [settled](WriteGuard::settle) that.
    pub fn predecessor_died(&self) -> bool {
        self.locked.died
    }

    /// Returns the last writer that died inside its section. `None` if no death is unsettled, or if another member has its slot by now.
    ///
    /// Use it to wait for the end of the dead writer's process ([`Member::process`]): the other descriptors of the process may stay
    /// open some milliseconds longer than its lock. It is information only. After several deaths, it may be an earlier writer.
    pub fn predecessor(&self) -> Option<Member> {
        self.lock.writers.predecessor(self.lock.object.membership(), self.locked)
    }
}

impl<L, T> Deref for ReadGuard<L, T>
where
    L: Deref<Target = RwLock<T>>,
{
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<L, T> Drop for ReadGuard<L, T>
where
    L: Deref<Target = RwLock<T>>,
{
    #[inline]
    fn drop(&mut self) {
        self.lock.end_read();
    }
}

impl<L, T: fmt::Debug> fmt::Debug for ReadGuard<L, T>
where
    L: Deref<Target = RwLock<T>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLockReadGuard")
            .field("value", &self.value)
            .field("predecessor_died", &self.locked.died)
            .finish_non_exhaustive()
    }
}

/// The guard of a writer: see [`RwLockWriteGuard`] and [`OwnedRwLockWriteGuard`].
///
/// The guard dereferences to a copy of the value. Dropping it unlocks and discards the copy. [`commit`](Self::commit) makes the copy
/// the value of the lock. A drop makes at most one wake, and never waits.
#[must_use = "a guard that is dropped at once has changed nothing"]
pub struct WriteGuard<L, T>
where
    L: Deref<Target = RwLock<T>>,
{
    lock: L,
    locked: Locked,
    settled: bool,
    value: T,
}

impl<L, T> WriteGuard<L, T>
where
    L: Deref<Target = RwLock<T>>,
    T: Value,
{
    #[inline]
    pub(super) fn new(lock: L, locked: Locked) -> Self {
        let value = RwLock::<T>::COPIES.load(&lock.object);
        Self { lock, locked, settled: false, value }
    }

    /// Makes the copy the value of the lock, and unlocks.
    #[inline]
    pub fn commit(mut self) {
        self.checkpoint();
    }

    /// Makes the copy the value of the lock, and keeps the lock. If the section ends without another commit, this value stays.
    ///
    /// The value changes with one store. No reader has the lock during the section, so readers see only the last value.
    #[inline]
    pub fn checkpoint(&mut self) {
        RwLock::<T>::COPIES.commit(&self.lock.object, &self.value);
    }

    /// Returns true if a writer died inside its section, and no later writer has [settled](Self::settle) that.
    pub fn predecessor_died(&self) -> bool {
        self.locked.died
    }

    /// Returns the last writer that died inside its section. `None` if no death is unsettled, or if another member has its slot by now.
    ///
    /// Use it to wait for the end of the dead writer's process ([`Member::process`]): the other descriptors of the process may stay
    /// open some milliseconds longer than its lock. It is information only. After several deaths, it may be an earlier writer.
    pub fn predecessor(&self) -> Option<Member> {
        self.lock.writers.predecessor(self.lock.object.membership(), self.locked)
    }

    /// Declares that the death of a predecessor needs no further attention. Then [`predecessor_died`](Self::predecessor_died) returns
    /// false for the next readers and writers.
    ///
    /// This takes effect when the lock is unlocked. If this process dies before that, it has no effect.
    pub fn settle(&mut self) {
        self.settled = true;
    }
}

impl<L, T> Deref for WriteGuard<L, T>
where
    L: Deref<Target = RwLock<T>>,
{
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<L, T> DerefMut for WriteGuard<L, T>
where
    L: Deref<Target = RwLock<T>>,
{
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<L, T> Drop for WriteGuard<L, T>
where
    L: Deref<Target = RwLock<T>>,
{
    #[inline]
    fn drop(&mut self) {
        self.lock.writers.unlock(self.lock.object.membership(), self.locked, self.settled);
    }
}

impl<L, T: fmt::Debug> fmt::Debug for WriteGuard<L, T>
where
    L: Deref<Target = RwLock<T>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLockWriteGuard")
            .field("value", &self.value)
            .field("predecessor_died", &self.locked.died)
            .finish_non_exhaustive()
    }
}
