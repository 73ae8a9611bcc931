//! The condition variable.

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

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

/// A condition variable in a [`Region`]: tasks and threads of all members wait for a change of the value that a [`Mutex`] guards.
///
/// A value of this type is a handle. Several handles may lead to the same condition variable, even in one process. All waiters must use
/// the same mutex. The mutex may also be used without the condition variable.
///
/// # What happens to the value
///
/// A wait ends a section and begins another one. It **commits** the copy of the guard, unlocks, waits, locks, and returns a guard with a
/// new copy. So the others see what was changed before the wait, and a change is never lost because a task waited. If a change must not
/// be committed yet, check the condition before you make the change.
///
/// If the guard was [settled](Guard::settle), that takes effect when the wait unlocks the mutex. Call
/// [`predecessor_died`](Guard::predecessor_died) on the new guard, because an owner may have died during the wait.
///
/// # Wakes without a cause
///
/// A wait may end without a call of [`notify_one`](Self::notify_one), and the condition may have changed again before the mutex is
/// locked. So check the condition in a loop, as [`wait_while`](Self::wait_while) does.
///
/// # When a member dies
///
/// After a death, all waiters are woken, and check their conditions. So no notification is lost with a member that received it, or
/// that committed a change and was killed before it called [`notify_one`](Self::notify_one). If you wait until *another member does
/// something*, also check that it is alive, with [`Region::members`].
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

impl Condvar {
    fn spec(name: &str) -> io::Result<Spec<'_>> {
        Spec::of::<()>(Kind::Condvar, name, 1, 0, &[(Role::Counter, WORD)])
    }

    /// Makes a condition variable.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the region has an object of this name. `InvalidInput` for a name that is empty, longer than 64 bytes, or
    /// has a zero byte. `StorageFull` if the region has no room. `ResourceBusy` if another member is stopped while it adds an
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
    /// After an error the mutex is unlocked, except in a fork, which can't unlock it.
    ///
    /// - `InvalidInput` if the guard is that of another member, for example of another [`Region`] in this process. Nothing was
    ///   committed.
    /// - `Unsupported` in a fork of the process that opened the region. Nothing was committed. Also outside a Tokio runtime, after the
    ///   commit.
    /// - `InvalidData` if the region is damaged. `BrokenPipe` if it was closed, or if the runtime is shutting down. The copy may have been
    ///   committed.
    /// - `ResourceBusy` if the words changed about 65,000 times during the call. Only a member that writes at random does that.
    /// - Those of a wait (see `futex_tokio::WaitAsync`).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a call that is dropped passes a notification that it received on to another waiter. The mutex is not locked
    /// afterwards. The first poll commits the copy of the guard.
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

    /// Waits while a condition is true. The condition is checked while the mutex is locked, and it may change the copy.
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
    /// Those of [`wait`](Self::wait) that don't depend on a runtime.
    pub fn blocking_wait<M, T>(&self, guard: Guard<M, T>) -> io::Result<Guard<M, T>>
    where
        M: Deref<Target = Mutex<T>> + Clone,
        T: Value,
    {
        self.block(guard, None)
    }

    /// Like [`blocking_wait`](Self::blocking_wait), but gives up at a deadline, even if it waits for the mutex at
    /// that time.
    ///
    /// # Errors
    ///
    /// `TimedOut` after the deadline. Then the mutex is unlocked, so lock it to check the condition a last time. Those of
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

    /// Like [`blocking_wait_while`](Self::blocking_wait_while), but gives up at a deadline.
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

    /// Wakes one waiter, if there is one. Call it after the change of the value was committed, or while you have the guard that will
    /// commit the change.
    ///
    /// # Errors
    ///
    /// - `Unsupported` in a fork of the process that opened the region.
    /// - `InvalidData` if the region is damaged. `BrokenPipe` if it was closed.
    /// - `ResourceBusy` if the word changed about 65,000 times during the call. Only a member that writes at random does that.
    pub fn notify_one(&self) -> io::Result<()> {
        drive::attempt(self.object.membership(), Notify::one(self.word()))
    }

    /// Wakes all waiters. Otherwise like [`notify_one`](Self::notify_one).
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
        let locked = drive::block(self.object.membership(), wait, deadline)?.ok_or_else(|| self.timed_out())?;
        Ok(Guard::new(mutex, locked))
    }

    #[cold]
    fn timed_out(&self) -> io::Error {
        let missed = format!("the wait for {} did not end", self.object);
        self.object.timed_out(missed, "which members are alive, and which one has the mutex")
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
                return Err(self.timed_out());
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
