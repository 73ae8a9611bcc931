//! The mutex.

use crate::copies::Copies;
use crate::directory::{Kind, Spec};
use crate::drive;
use crate::exclusive::Exclusive;
use crate::members::Member;
use crate::object::Object;
use crate::region::Region;
use crate::steps::mutex::{Lock, Locked, TryLock};
use crate::steps::{Place, Role};
use crate::value::Value;
use futex_sys::Deadline;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A lock in a [`Region`], with a value that it guards.
///
/// A value of this type is a handle. Several handles may lead to the same mutex, even in one process.
///
/// # What happens to the value
///
/// A guard has a **copy** of the value. [`commit`](MutexGuard::commit) makes the copy the value and unlocks. If a guard is dropped,
/// the value stays what it was before, as if the section had not run. So a section is like a transaction of a database. A process
/// that is killed, a task that is cancelled and a thread that panics all leave the value of the last commit, and never half of a
/// change. (A drop can't know whether its task was cancelled, so a drop does not commit. [`update`](Self::update) commits at the end
/// of a closure.)
///
/// For a resource outside of the region (a file, a device), use a `Mutex<()>`. It has nothing to commit.
///
/// # When an owner dies
///
/// The kernel informs the other members of the region that a process has ended, and one of them unlocks the mutexes that it had.
/// [`predecessor_died`](MutexGuard::predecessor_died) returns true for the next owner and for all later owners, until one calls
/// [`settle`](MutexGuard::settle). The value is intact in any case. Other work of the dead owner may be half done.
///
/// # Misuse
///
/// If a task locks a mutex that it already has, it waits for itself forever, as with Tokio's mutex. A guard that is leaked
/// (`mem::forget`) keeps the mutex locked until its member leaves the region.
///
/// # Fairness
///
/// A call that comes at the right time may lock the mutex before those that wait. To share the mutex more evenly, a handle through
/// which it was unlocked 16 times while others waited yields to them, for up to 100 µs, before it locks the mutex again.
///
/// # Performance
///
/// Without contention, a lock makes no system call. If the mutex is locked, a call pauses twice, for about 2 µs together, and tries again,
/// before it sleeps. So short sections rarely need a sleep.
pub struct Mutex<T> {
    object: Object,
    exclusive: Exclusive,
    value: PhantomData<fn() -> T>,
}

/// Index of the lock's word in the object. The next word is for the [predecessor](crate::steps::mutex).
pub(crate) const LOCK: u32 = 0;
const VALUE: u32 = 2;

impl<T: Value> Mutex<T> {
    const COPIES: Copies<T> = Copies::at(VALUE);

    fn spec(name: &str) -> io::Result<Spec<'_>> {
        Spec::of::<T>(Kind::Mutex, name, VALUE as usize + Copies::<T>::LEN, 0, &[(Role::Lock, LOCK)])
    }

    fn new(object: Object) -> Self {
        Self { exclusive: Exclusive::new(object.place(LOCK)), object, value: PhantomData }
    }

    /// Makes a mutex with a value.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the region has an object of this name. `InvalidInput` for a name that is empty, longer than 64 bytes, or
    /// has a zero byte. `StorageFull` if the region has no room. `ResourceBusy` if another member is stopped while it adds an
    /// object.
    pub fn create(region: &Region, name: &str, value: T) -> io::Result<Self> {
        Object::create(region, &Self::spec(name)?, |words| Self::COPIES.init(words, &value)).map(Self::new)
    }

    /// Opens a mutex.
    ///
    /// # Errors
    ///
    /// `NotFound` if the region has no object of this name. `InvalidInput` if the object is not a mutex, or has values of another
    /// type.
    pub fn open(region: &Region, name: &str) -> io::Result<Self> {
        Object::open(region, &Self::spec(name)?).map(Self::new)
    }

    /// Opens a mutex, or makes it with a value if the region has no object of this name. All processes that do this at once get the
    /// same mutex.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create), except `AlreadyExists`, and those of [`open`](Self::open), except `NotFound`.
    pub fn open_or_create(region: &Region, name: &str, value: T) -> io::Result<Self> {
        Object::open_or_create(region, &Self::spec(name)?, |words| Self::COPIES.init(words, &value)).map(Self::new)
    }

    /// Locks the mutex.
    ///
    /// # Errors
    ///
    /// - `Unsupported` in a fork of the process that opened the region, and if the call has to wait outside a Tokio runtime.
    /// - `InvalidData` if the region is damaged. `BrokenPipe` if it was closed, or if the runtime is shutting down.
    /// - `ResourceBusy` if the word of the mutex changed about 65,000 times during the call. Only a member that writes at random does that.
    /// - Those of a wait (see `futex_tokio::WaitAsync`).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a call that is dropped has not locked the mutex, and passes a wake that it received on to the next waiter. It
    /// loses its place in the queue.
    #[cfg(feature = "tokio")]
    pub async fn lock(&self) -> io::Result<MutexGuard<'_, T>> {
        if self.exclusive.is_greedy() {
            self.exclusive.yield_to_others(self.object.membership()).await;
        }
        drive::operate(self.object.membership(), || Lock::new(self.word())).await.map(|locked| self.guard(locked))
    }

    /// Like [`lock`](Self::lock), but the guard owns a share of the mutex, so that it can move into another task.
    ///
    /// # Errors
    ///
    /// Those of [`lock`](Self::lock).
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock).
    #[cfg(feature = "tokio")]
    pub async fn lock_owned(self: Arc<Self>) -> io::Result<OwnedMutexGuard<T>> {
        if self.exclusive.is_greedy() {
            self.exclusive.yield_to_others(self.object.membership()).await;
        }
        let locked = drive::operate(self.object.membership(), || Lock::new(self.word())).await?;
        Ok(Guard::new(self, locked))
    }

    /// Locks the mutex, and blocks the thread until then.
    ///
    /// # Errors
    ///
    /// Those of [`lock`](Self::lock) that don't depend on a runtime.
    #[inline]
    pub fn blocking_lock(&self) -> io::Result<MutexGuard<'_, T>> {
        self.block(None).map(|locked| self.guard(locked))
    }

    /// Like [`blocking_lock`](Self::blocking_lock), but the guard owns a share of the mutex.
    ///
    /// # Errors
    ///
    /// Those of [`blocking_lock`](Self::blocking_lock).
    pub fn blocking_lock_owned(self: Arc<Self>) -> io::Result<OwnedMutexGuard<T>> {
        let locked = self.block(None)?;
        Ok(Guard::new(self, locked))
    }

    /// Like [`blocking_lock`](Self::blocking_lock), but gives up at a deadline.
    ///
    /// # Errors
    ///
    /// `TimedOut` after the deadline. Those of [`blocking_lock`](Self::blocking_lock).
    #[inline]
    pub fn blocking_lock_deadline(&self, deadline: impl Into<Deadline>) -> io::Result<MutexGuard<'_, T>> {
        self.block(Some(deadline.into())).map(|locked| self.guard(locked))
    }

    /// Locks the mutex if no living member has it. Otherwise returns `None`.
    ///
    /// # Errors
    ///
    /// Those of [`blocking_lock`](Self::blocking_lock).
    #[inline]
    pub fn try_lock(&self) -> io::Result<Option<MutexGuard<'_, T>>> {
        let locked = drive::attempt(self.object.membership(), TryLock::new(self.word()))?;
        Ok(locked.map(|locked| self.guard(locked)))
    }

    /// Like [`try_lock`](Self::try_lock), but the guard owns a share of the mutex.
    ///
    /// # Errors
    ///
    /// Those of [`blocking_lock`](Self::blocking_lock).
    pub fn try_lock_owned(self: Arc<Self>) -> io::Result<Option<OwnedMutexGuard<T>>> {
        let locked = drive::attempt(self.object.membership(), TryLock::new(self.word()))?;
        Ok(locked.map(|locked| Guard::new(self, locked)))
    }

    /// Locks the mutex, changes the value with a closure, and commits.
    ///
    /// If the closure panics, the value stays as it was. The call does not report that an owner died, and does not
    /// [settle](Guard::settle) that.
    ///
    /// # Errors
    ///
    /// Those of [`lock`](Self::lock).
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock).
    #[cfg(feature = "tokio")]
    pub async fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> io::Result<R> {
        let mut guard = self.lock().await?;
        let result = change(&mut guard);
        guard.commit();
        Ok(result)
    }

    /// Like [`update`](Self::update), but blocks the thread.
    ///
    /// # Errors
    ///
    /// Those of [`blocking_lock`](Self::blocking_lock).
    pub fn blocking_update<R>(&self, change: impl FnOnce(&mut T) -> R) -> io::Result<R> {
        let mut guard = self.blocking_lock()?;
        let result = change(&mut guard);
        guard.commit();
        Ok(result)
    }

    #[inline]
    fn block(&self, deadline: Option<Deadline>) -> io::Result<Locked> {
        self.exclusive.blocking_yield(self.object.membership());
        drive::block(self.object.membership(), Lock::new(self.word()), deadline)?.ok_or_else(|| self.timed_out())
    }

    #[cold]
    fn timed_out(&self) -> io::Error {
        self.object.timed_out(format_args!("could not lock {}", self.object), "which member has it")
    }

    #[inline]
    fn guard(&self, locked: Locked) -> MutexGuard<'_, T> {
        Guard::new(self, locked)
    }
}

impl<T> Mutex<T> {
    pub(crate) fn object(&self) -> &Object {
        &self.object
    }

    /// The word of the lock.
    #[inline]
    pub(crate) fn word(&self) -> Place {
        self.exclusive.word()
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").field("object", &self.object).finish_non_exhaustive()
    }
}

/// The right to change the value of a [`Mutex`].
pub type MutexGuard<'a, T> = Guard<&'a Mutex<T>, T>;

/// A [`MutexGuard`] that owns a share of the mutex.
pub type OwnedMutexGuard<T> = Guard<Arc<Mutex<T>>, T>;

/// The guard of a [`Mutex`]: see [`MutexGuard`] and [`OwnedMutexGuard`].
///
/// The guard dereferences to a copy of the value. Dropping it unlocks the mutex and discards the copy. [`commit`](Self::commit) makes
/// the copy the value of the mutex. A drop makes at most one wake, and never waits.
#[must_use = "a guard that is dropped at once has changed nothing"]
pub struct Guard<M, T>
where
    M: Deref<Target = Mutex<T>>,
{
    mutex: M,
    locked: Locked,
    settled: bool,
    value: T,
}

impl<M, T> Guard<M, T>
where
    M: Deref<Target = Mutex<T>>,
    T: Value,
{
    /// The guard of a member that has locked the mutex.
    #[inline]
    pub(crate) fn new(mutex: M, locked: Locked) -> Self {
        let value = Mutex::<T>::COPIES.load(&mutex.object);
        Self { mutex, locked, settled: false, value }
    }

    pub(crate) fn mutex(&self) -> &M {
        &self.mutex
    }

    /// Makes the copy the value of the mutex, and unlocks.
    #[inline]
    pub fn commit(mut self) {
        self.checkpoint();
    }

    /// Makes the copy the value of the mutex, and keeps the lock. If the section ends without another commit, this value stays.
    ///
    /// The value changes with one store. So if the process is killed, the value is the old one or the new one.
    #[inline]
    pub fn checkpoint(&mut self) {
        Mutex::<T>::COPIES.commit(&self.mutex.object, &self.value);
    }

    /// Returns true if an owner died inside its section, and no later owner has [settled](Self::settle) that.
    pub fn predecessor_died(&self) -> bool {
        self.locked.died
    }

    /// Returns the last owner that died inside its section. `None` if no death is unsettled, or if another member has its slot by now.
    ///
    /// Use it to wait for the end of the dead owner's process ([`Member::process`]): the other descriptors of the process may stay
    /// open some milliseconds longer than its lock. It is information only. After several deaths, it may be an earlier owner.
    pub fn predecessor(&self) -> Option<Member> {
        self.mutex.exclusive.predecessor(self.mutex.object.membership(), self.locked)
    }

    /// Declares that the death of a predecessor needs no further attention. Then [`predecessor_died`](Self::predecessor_died) returns
    /// false for the next owners.
    ///
    /// This takes effect when the mutex is unlocked. If this process dies before that, it has no effect.
    pub fn settle(&mut self) {
        self.settled = true;
    }
}

impl<M, T> Deref for Guard<M, T>
where
    M: Deref<Target = Mutex<T>>,
{
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<M, T> DerefMut for Guard<M, T>
where
    M: Deref<Target = Mutex<T>>,
{
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<M, T> Drop for Guard<M, T>
where
    M: Deref<Target = Mutex<T>>,
{
    #[inline]
    fn drop(&mut self) {
        self.mutex.exclusive.unlock(self.mutex.object.membership(), self.locked, self.settled);
    }
}

impl<M, T: fmt::Debug> fmt::Debug for Guard<M, T>
where
    M: Deref<Target = Mutex<T>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MutexGuard")
            .field("value", &self.value)
            .field("predecessor_died", &self.locked.died)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::testing::two_members;

    #[test]
    fn threads_of_two_members_count_to_the_sum() {
        let regions = two_members();
        std::thread::scope(|scope| {
            for region in regions.iter().chain(&regions) {
                scope.spawn(|| {
                    let mutex = Mutex::<[u64; 3]>::open_or_create(region, "counter", [0; 3]).unwrap();
                    for _ in 0..5000 {
                        let mut guard = mutex.blocking_lock().unwrap();
                        assert_eq!(guard[0], guard[2]);
                        guard.iter_mut().for_each(|part| *part += 1);
                        guard.commit();
                    }
                });
            }
        });
        let mutex = Mutex::<[u64; 3]>::open(&regions[0], "counter").unwrap();
        assert_eq!(*mutex.try_lock().unwrap().unwrap(), [20_000; 3]);
    }

    #[cfg(feature = "tokio")]
    #[tokio::test]
    async fn tasks_of_two_members_count_to_the_sum() {
        let regions = two_members();
        let mut tasks = Vec::new();
        for region in regions.iter().chain(&regions) {
            let region = region.clone();
            tasks.push(tokio::spawn(async move {
                let mutex = Mutex::<u64>::open_or_create(&region, "counter", 0).unwrap();
                for i in 0..2000 {
                    let mut guard = mutex.lock().await.unwrap();
                    *guard += 1;
                    if i % 7 == 0 {
                        tokio::task::yield_now().await;
                    }
                    guard.commit();
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let mutex = Mutex::<u64>::open(&regions[0], "counter").unwrap();
        assert_eq!(*mutex.lock().await.unwrap(), 8000);
    }

    #[cfg(feature = "tokio")]
    #[tokio::test]
    async fn a_cancelled_section_commits_nothing() {
        let [region, _] = two_members();
        let mutex = Mutex::create(&region, "value", 1_u64).unwrap();
        let section = async {
            let mut guard = mutex.lock().await.unwrap();
            *guard = 2;
            std::future::pending::<()>().await;
            guard.commit();
        };
        tokio::select! {
            biased;
            () = section => unreachable!("it waits forever"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(*mutex.lock().await.unwrap(), 1);
    }

    #[test]
    fn a_guard_of_a_closed_region_keeps_its_lock_and_can_commit() {
        let [region, other] = two_members();
        let mutex = Mutex::create(&region, "value", 1_u64).unwrap();
        let theirs = Mutex::<u64>::open(&other, "value").unwrap();
        let mut guard = mutex.blocking_lock().unwrap();
        region.close();
        assert_eq!(mutex.try_lock().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(theirs.try_lock().unwrap().is_none());
        *guard = 2;
        guard.commit();
        let guard = theirs.try_lock().unwrap().unwrap();
        assert_eq!((*guard, guard.predecessor_died()), (2, false));
    }

    #[cfg(feature = "tokio")]
    #[tokio::test]
    async fn a_task_that_waits_learns_that_the_region_was_closed() {
        let [region, other] = two_members();
        let mutex = Mutex::create(&region, "value", 1_u64).unwrap();
        let theirs = Mutex::<u64>::open(&other, "value").unwrap();
        let guard = theirs.lock().await.unwrap();
        let mut wait = Box::pin(mutex.lock());
        futex_tests::arm(&mut wait).await;
        region.close();
        assert_eq!(futex_tests::within(wait).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        guard.commit();
    }

    #[test]
    fn another_type_is_refused_with_both_sides_named() {
        let [region, other] = two_members();
        Mutex::create(&region, "value", 1_u64).unwrap();
        let error = Mutex::<[u32; 3]>::open(&other, "value").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let sentence = error.to_string();
        assert!(sentence.contains("\"u64\"") && sentence.contains("\"u32\" version 1 (12 bytes"), "{sentence}");
    }
}
