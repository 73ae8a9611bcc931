//! The condition variable.

use crate::directory::{Kind, Spec};
use crate::drive;
use crate::format::refuse;
use crate::mutex::{Guard, Mutex};
use crate::object::Object;
use crate::region::Region;
use crate::steps::condvar::{Notify, Prepare, WaitAndLock};
use crate::steps::{Place, Role};
use crate::value::Value;
use futex_sys::Deadline;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::time::Duration;

/// A condition variable in a [`Region`]: tasks and threads of all members wait for a change of what a [`Mutex`] guards.
///
/// A value of this type is a handle: several may lead to the same condition variable, also in one process. All who wait use the same
/// mutex. It may be used without the condition variable too.
///
/// # What happens to the value
///
/// A wait is the end of a section and the begin of another one. It **commits** the copy of the guard, unlocks, waits, locks, and gives
/// a guard with a new copy. So the others see what was changed before the wait, and a change is never lost because a task waited. A
/// program that must not commit a change yet checks its condition before it makes the change.
///
/// If the guard was [settled](Guard::settle), that takes effect with the unlock. Ask
/// [`predecessor_died`](Guard::predecessor_died) of the new guard: an owner may have died during the wait.
///
/// # Wakes without cause
///
/// A wait may end without a call of [`notify_one`](Self::notify_one), and the condition may have changed again before the mutex is
/// locked. So a program checks its condition in a loop, like [`wait_while`](Self::wait_while) does.
///
/// # When a member dies
///
/// A member that is killed takes no notification along: all who wait are woken, and check their conditions. The same happens after
/// the death of a member that has committed a change and had not notified anybody yet. If the condition is that *somebody else does
/// something*, it must contain that the other one lives: the members of a region are in its table.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use futex_ipc::{Condvar, Mutex, Region};
///
/// let region = Region::builder().anonymous()?;
/// let jobs = Mutex::open_or_create(&region, "jobs", 0_u64)?;
/// let more = Condvar::open_or_create(&region, "more jobs")?;
///
/// // A producer.
/// jobs.blocking_update(|jobs| *jobs += 1)?;
/// more.notify_one()?;
///
/// // A consumer.
/// let mut guard = more.blocking_wait_while(jobs.blocking_lock()?, |jobs| *jobs == 0)?;
/// *guard -= 1;
/// guard.commit();
/// # Ok(())
/// # }
/// ```
pub struct Condvar {
    object: Object,
}

pub(crate) const WORD: u32 = 0;

/// What a call waits for, in messages.
const WHAT: &str = "the notification of the condition variable";

impl Condvar {
    fn spec(name: &str) -> io::Result<Spec<'_>> {
        Spec::of::<()>(Kind::Condvar, name, 1, 0, &[(Role::Counter, WORD)])
    }

    /// Makes a condition variable.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the region has an object of this name. `InvalidInput` for a name that is empty, longer than 64 bytes, or
    /// has a zero byte. `StorageFull` if the region has no room. `ResourceBusy` if another member was stopped while it added an
    /// object.
    pub fn create(region: &Region, name: &str) -> io::Result<Self> {
        Object::create(region, &Self::spec(name)?, |_| ()).map(|object| Self { object })
    }

    /// Opens a condition variable.
    ///
    /// # Errors
    ///
    /// `NotFound` if the region has no object of this name. `InvalidInput` if the object is not a condition variable.
    pub fn open(region: &Region, name: &str) -> io::Result<Self> {
        Object::open(region, &Self::spec(name)?).map(|object| Self { object })
    }

    /// Opens a condition variable, or makes it if the region has no object of this name. All processes that do this at once get the
    /// same condition variable.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create), except `AlreadyExists`, and those of [`open`](Self::open), except `NotFound`.
    pub fn open_or_create(region: &Region, name: &str) -> io::Result<Self> {
        Object::open_or_create(region, &Self::spec(name)?, |_| ()).map(|object| Self { object })
    }

    /// Commits and unlocks, waits for a notification, and locks again.
    ///
    /// # Errors
    ///
    /// In each case the mutex is unlocked.
    ///
    /// - `InvalidInput` if another member locked the mutex, for instance with another attachment of this process. Nothing was
    ///   committed.
    /// - `Unsupported` in a fork of the process that opened the region. Nothing was committed. The same outside a Tokio runtime, after
    ///   the commit.
    /// - `InvalidData` if the region is damaged. `BrokenPipe` if it was closed, or if the runtime is shutting down.
    /// - `ResourceBusy` if the words changed 65,536 times during the call. Only a member that writes at random does that.
    /// - Those of a wait (see `futex_tokio::WaitAsync`).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a call that is dropped passes a notification that it received on to another one that waits. The mutex is not
    /// locked afterwards, and the copy of the guard was committed when the call was polled first.
    #[cfg(feature = "tokio")]
    pub async fn wait<M, T>(&self, guard: Guard<M, T>) -> io::Result<Guard<M, T>>
    where
        M: Deref<Target = Mutex<T>> + Clone,
        T: Value,
    {
        let (mutex, wait) = self.begin(guard)?;
        let locked = drive::operate(self.object.membership(), || wait).await?;
        Ok(Guard::new(mutex, locked))
    }

    /// Waits as long as a condition is true, which is checked with the mutex. The condition may change the copy.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait).
    ///
    /// # Cancel safety
    ///
    /// As [`wait`](Self::wait).
    #[cfg(feature = "tokio")]
    pub async fn wait_while<M, T>(
        &self,
        mut guard: Guard<M, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> io::Result<Guard<M, T>>
    where
        M: Deref<Target = Mutex<T>> + Clone,
        T: Value,
    {
        while condition(&mut guard) {
            guard = self.wait(guard).await?;
        }
        Ok(guard)
    }

    /// Like [`wait`](Self::wait), but blocks the thread.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait) that are not about a runtime.
    pub fn blocking_wait<M, T>(&self, guard: Guard<M, T>) -> io::Result<Guard<M, T>>
    where
        M: Deref<Target = Mutex<T>> + Clone,
        T: Value,
    {
        self.block(guard, None)
    }

    /// Like [`blocking_wait`](Self::blocking_wait), but gives up at a point in time, also if it waits for the mutex then.
    ///
    /// # Errors
    ///
    /// `TimedOut` after the deadline. The mutex is unlocked then, so lock it to check the condition a last time. Those of
    /// [`blocking_wait`](Self::blocking_wait).
    pub fn blocking_wait_deadline<M, T>(
        &self,
        guard: Guard<M, T>,
        deadline: impl Into<Deadline>,
    ) -> io::Result<Guard<M, T>>
    where
        M: Deref<Target = Mutex<T>> + Clone,
        T: Value,
    {
        self.block(guard, Some(deadline.into()))
    }

    /// Like [`wait_while`](Self::wait_while), but blocks the thread.
    ///
    /// # Errors
    ///
    /// Those of [`blocking_wait`](Self::blocking_wait).
    pub fn blocking_wait_while<M, T>(
        &self,
        guard: Guard<M, T>,
        condition: impl FnMut(&mut T) -> bool,
    ) -> io::Result<Guard<M, T>>
    where
        M: Deref<Target = Mutex<T>> + Clone,
        T: Value,
    {
        self.block_while(guard, condition, None)
    }

    /// Like [`blocking_wait_while`](Self::blocking_wait_while), but gives up at a point in time.
    ///
    /// # Errors
    ///
    /// Those of [`blocking_wait_deadline`](Self::blocking_wait_deadline).
    pub fn blocking_wait_while_deadline<M, T>(
        &self,
        guard: Guard<M, T>,
        condition: impl FnMut(&mut T) -> bool,
        deadline: impl Into<Deadline>,
    ) -> io::Result<Guard<M, T>>
    where
        M: Deref<Target = Mutex<T>> + Clone,
        T: Value,
    {
        self.block_while(guard, condition, Some(deadline.into()))
    }

    /// Wakes one of those that wait, if there are any. Call it after the change of the value was committed, or with the guard that
    /// will commit it.
    ///
    /// # Errors
    ///
    /// - `Unsupported` in a fork of the process that opened the region.
    /// - `InvalidData` if the region is damaged. `BrokenPipe` if it was closed.
    /// - `ResourceBusy` if the word changed 65,536 times during the call. Only a member that writes at random does that.
    pub fn notify_one(&self) -> io::Result<()> {
        drive::attempt(self.object.membership(), Notify::one(self.word()))
    }

    /// Wakes all that wait. As [`notify_one`](Self::notify_one) otherwise.
    ///
    /// # Errors
    ///
    /// Those of [`notify_one`](Self::notify_one).
    pub fn notify_all(&self) -> io::Result<()> {
        drive::attempt(self.object.membership(), Notify::all(self.word()))
    }

    fn word(&self) -> Place {
        self.object.place(WORD)
    }

    /// Prepares to wait, then commits and unlocks.
    fn begin<M, T>(&self, guard: Guard<M, T>) -> io::Result<(M, WaitAndLock)>
    where
        M: Deref<Target = Mutex<T>> + Clone,
        T: Value,
    {
        let mutex = guard.mutex().clone();
        let membership = self.object.membership();
        if !self.object.is_of_the_member_of(mutex.object()) {
            return Err(refuse(format!(
                "cannot wait for a change in {} with a mutex of another member or region: open both with the same `Region`",
                membership.what()
            )));
        }
        // Before the unlock, so that a notification that follows a change of the value finds this waiter.
        let wait = drive::attempt(membership, Prepare::new(self.word()))?;
        guard.commit();
        let wait = WaitAndLock::new(wait, mutex.word());
        Ok((mutex, wait))
    }

    fn block<M, T>(&self, guard: Guard<M, T>, deadline: Option<Deadline>) -> io::Result<Guard<M, T>>
    where
        M: Deref<Target = Mutex<T>> + Clone,
        T: Value,
    {
        let (mutex, wait) = self.begin(guard)?;
        let locked = drive::block_for(self.object.membership(), WHAT, wait, deadline)?;
        Ok(Guard::new(mutex, locked))
    }

    fn block_while<M, T>(
        &self,
        mut guard: Guard<M, T>,
        mut condition: impl FnMut(&mut T) -> bool,
        deadline: Option<Deadline>,
    ) -> io::Result<Guard<M, T>>
    where
        M: Deref<Target = Mutex<T>> + Clone,
        T: Value,
    {
        let mut is_late = false;
        while condition(&mut guard) {
            if is_late {
                guard.commit();
                return Err(drive::timed_out(WHAT, self.object.membership()));
            }
            guard = self.block(guard, deadline)?;
            // Others may notify so often that no wait sees the deadline.
            is_late = deadline.is_some_and(|deadline| deadline <= Deadline::after(Duration::ZERO));
        }
        Ok(guard)
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").field("object", &self.object).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    #[cfg(feature = "tokio")]
    use crate::steps::{Words, mutex::C};
    #[cfg(feature = "tokio")]
    use crate::testing::is_pending_after_a_turn;
    use crate::testing::two_members;
    #[cfg(feature = "tokio")]
    use futex_tests::within;
    use futex_tests::without_a_hang;
    #[cfg(feature = "tokio")]
    use std::sync::Arc;
    #[cfg(feature = "tokio")]
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    const ITEMS: u64 = 1000;

    /// Number of items that are there, and number of items that were taken.
    type Shop = Mutex<[u64; 2]>;

    fn shop(region: &Region) -> (Shop, Condvar) {
        (Mutex::open_or_create(region, "shop", [0, 0]).unwrap(), Condvar::open_or_create(region, "items").unwrap())
    }

    #[test]
    fn threads_of_two_members_hand_over_items() {
        without_a_hang(|| {
            let regions = two_members();
            std::thread::scope(|scope| {
                for region in regions.iter().chain(&regions) {
                    scope.spawn(|| {
                        let (shop, items) = shop(region);
                        for _ in 0..ITEMS {
                            let mut guard =
                                items.blocking_wait_while(shop.blocking_lock().unwrap(), |shop| shop[0] == 0).unwrap();
                            guard[0] -= 1;
                            guard[1] += 1;
                            guard.commit();
                        }
                    });
                }
                let (shop, items) = shop(&regions[0]);
                for i in 0..4 * ITEMS {
                    shop.blocking_update(|shop| shop[0] += 1).unwrap();
                    if i % 100 == 0 { items.notify_all() } else { items.notify_one() }.unwrap();
                }
            });
            assert_eq!(*shop(&regions[1]).0.try_lock().unwrap().unwrap(), [0, 4 * ITEMS]);
        });
    }

    #[cfg(feature = "tokio")]
    #[tokio::test]
    async fn tasks_of_two_members_hand_over_items() {
        let regions = two_members();
        let mut tasks = Vec::new();
        for region in regions.iter().chain(&regions) {
            let (shop, items) = shop(region);
            let shop = Arc::new(shop);
            tasks.push(tokio::spawn(async move {
                for i in 0..ITEMS {
                    if i % 10 == 0 {
                        // A wait that is cancelled, perhaps after its notification.
                        let guard = shop.clone().lock_owned().await.unwrap();
                        let _ = tokio::time::timeout(Duration::ZERO, items.wait(guard)).await;
                    }
                    let guard = shop.clone().lock_owned().await.unwrap();
                    let mut guard = items.wait_while(guard, |shop| shop[0] == 0).await.unwrap();
                    guard[0] -= 1;
                    guard[1] += 1;
                    guard.commit();
                }
            }));
        }
        let (shop, items) = shop(&regions[0]);
        for _ in 0..4 * ITEMS {
            shop.update(|shop| shop[0] += 1).await.unwrap();
            items.notify_one().unwrap();
            tokio::task::yield_now().await;
        }
        for task in tasks {
            within(task).await.unwrap();
        }
        assert_eq!(*shop.lock().await.unwrap(), [0, 4 * ITEMS]);
    }

    #[cfg(feature = "tokio")]
    #[tokio::test]
    async fn a_wait_commits_first() {
        let [region, other] = two_members();
        let (shop_here, items_here) = shop(&region);
        let (shop_there, items_there) = shop(&other);
        let mut guard = shop_here.lock().await.unwrap();
        guard[0] = 5;
        let mut wait = Box::pin(items_here.wait(guard));
        assert!(is_pending_after_a_turn(&mut wait).await);
        assert_eq!(shop_there.blocking_update(|shop| std::mem::replace(&mut shop[0], 6)).unwrap(), 5);
        items_there.notify_all().unwrap();
        assert_eq!(within(wait).await.unwrap()[0], 6);
    }

    /// A waiter is dropped after its wake, in each second round while it waits for the mutex.
    #[cfg(feature = "tokio")]
    #[tokio::test]
    async fn a_notification_is_not_lost_with_a_cancelled_wait() {
        let [region, other] = two_members();
        let (shop_here, items_here) = shop(&region);
        let (shop_there, items_there) = shop(&other);
        let mut tried = 0;
        for notify in 0..100 {
            let mut first = Box::pin(items_here.wait(shop_here.lock().await.unwrap()));
            // On the backend `Waitv`, a wake of the mutex may end a wait for the condition variable.
            if !is_pending_after_a_turn(&mut first).await {
                continue;
            }
            let mut second = Box::pin(items_there.wait(shop_there.lock().await.unwrap()));
            if !is_pending_after_a_turn(&mut second).await {
                continue;
            }
            tried += 1;
            items_there.notify_one().unwrap();
            let mut first_was_woken = false;
            if notify % 2 == 0 {
                // Until the one that was woken waits for the mutex. On the backend `Waitv` that may be the second one.
                let guard = shop_there.lock().await.unwrap();
                let is_contended = || shop_there.object().membership().load(shop_there.word(), Relaxed) & C != 0;
                first_was_woken = within(async {
                    loop {
                        assert!(is_pending_after_a_turn(&mut first).await);
                        if is_contended() {
                            break true;
                        }
                        assert!(is_pending_after_a_turn(&mut second).await);
                        if is_contended() {
                            break false;
                        }
                    }
                })
                .await;
                drop(guard);
            }
            drop(first);
            if first_was_woken {
                // Otherwise the second one sleeps until its word is compared again.
                let sleepers = shop_there.object().membership().wake(items_there.word(), u32::MAX);
                assert_eq!(sleepers, 0, "the wake was not handed on");
            }
            drop(within(second).await.unwrap());
        }
        assert!(tried > 0);
    }

    #[test]
    fn a_wait_ends_at_its_deadline_without_the_mutex() {
        let [region, other] = two_members();
        let (shop_here, items) = shop(&region);
        let mut guard = shop_here.blocking_lock().unwrap();
        guard[0] = 3;
        let deadline = Deadline::after(Duration::from_millis(5));
        let error = items.blocking_wait_while_deadline(guard, |shop| shop[0] == 3, deadline).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(shop(&other).0.try_lock().unwrap().unwrap()[0], 3);
    }

    #[test]
    fn a_mutex_of_another_member_is_refused() {
        let [region, other] = two_members();
        let (shop_here, _) = shop(&region);
        let (_, items_there) = shop(&other);
        let mut guard = shop_here.blocking_lock().unwrap();
        guard[0] = 3;
        let error = items_there.blocking_wait(guard).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(shop_here.try_lock().unwrap().unwrap()[0], 0);
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn a_wait_is_send() {
        fn check(_: impl Send) {}
        let [region, _other] = two_members();
        let (shop, items) = shop(&region);
        check(items.wait(shop.blocking_lock().unwrap()));
        check(items.wait_while(shop.blocking_lock().unwrap(), |shop| shop[0] == 0));
    }
}
