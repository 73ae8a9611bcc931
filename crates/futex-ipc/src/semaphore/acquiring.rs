//! Acquiring permits of a semaphore.

use super::Semaphore;
use super::permit::{OwnedSemaphorePermit, Permit, SemaphorePermit};
use crate::drive;
use crate::format::refuse;
use crate::steps::semaphore::{Acquire, MAX_PERMITS, TryAcquire};
use futex_sys::Deadline;
use std::io;
use std::sync::Arc;

impl Semaphore {
    /// Takes a permit.
    ///
    /// # Errors
    ///
    /// - `Unsupported` in a fork of the process that opened the region, and if the call has to wait outside a Tokio runtime.
    /// - `InvalidData` if the region is damaged. `BrokenPipe` if it was closed, or if the runtime is shutting down.
    /// - `ResourceBusy` if the words of the semaphore changed about 65,000 times during the call. Only a member that writes at random does
    ///   that.
    /// - Those of a wait (see `futex_tokio::WaitAsync`).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a call that is dropped has taken no permits, and passes a wake that it received on to the next waiter. It loses
    /// its place in the queue.
    #[cfg(feature = "tokio")]
    #[inline]
    pub async fn acquire(&self) -> io::Result<SemaphorePermit<'_>> {
        self.wait_for(1).await?;
        Ok(Permit::new(self, 1))
    }

    /// Takes `n` permits at once.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `n` is more than [`MAX_PERMITS`](Self::MAX_PERMITS). Those of [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    #[cfg(feature = "tokio")]
    #[inline]
    pub async fn acquire_many(&self, n: u32) -> io::Result<SemaphorePermit<'_>> {
        self.wait_for(n).await?;
        Ok(Permit::new(self, n))
    }

    /// Like [`acquire`](Self::acquire), but the permit owns a share of the semaphore, so that it can move into another task.
    ///
    /// # Errors
    ///
    /// Those of [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    #[cfg(feature = "tokio")]
    #[inline]
    pub async fn acquire_owned(self: Arc<Self>) -> io::Result<OwnedSemaphorePermit> {
        self.acquire_many_owned(1).await
    }

    /// Like [`acquire_many`](Self::acquire_many), but the permit owns a share of the semaphore.
    ///
    /// # Errors
    ///
    /// Those of [`acquire_many`](Self::acquire_many).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    #[cfg(feature = "tokio")]
    #[inline]
    pub async fn acquire_many_owned(self: Arc<Self>, n: u32) -> io::Result<OwnedSemaphorePermit> {
        self.wait_for(n).await?;
        Ok(Permit::new(self, n))
    }

    /// Takes a permit if one is available and no other call waits. Otherwise returns `None`.
    ///
    /// It can also return `None` although a permit is available, if a wait was cancelled or ended a moment ago and another call examines
    /// the semaphore.
    ///
    /// # Errors
    ///
    /// Those of [`blocking_acquire`](Self::blocking_acquire).
    #[inline]
    pub fn try_acquire(&self) -> io::Result<Option<SemaphorePermit<'_>>> {
        self.try_acquire_many(1)
    }

    /// Takes `n` permits if they are available and no other call waits. Otherwise returns `None`.
    ///
    /// # Errors
    ///
    /// Those of [`blocking_acquire_many`](Self::blocking_acquire_many).
    #[inline]
    pub fn try_acquire_many(&self, n: u32) -> io::Result<Option<SemaphorePermit<'_>>> {
        Ok(self.attempt(n)?.then(|| Permit::new(self, n)))
    }

    /// Like [`try_acquire`](Self::try_acquire), but the permit owns a share of the semaphore.
    ///
    /// # Errors
    ///
    /// Those of [`try_acquire`](Self::try_acquire).
    pub fn try_acquire_owned(self: Arc<Self>) -> io::Result<Option<OwnedSemaphorePermit>> {
        self.try_acquire_many_owned(1)
    }

    /// Like [`try_acquire_many`](Self::try_acquire_many), but the permit owns a share of the semaphore.
    ///
    /// # Errors
    ///
    /// Those of [`try_acquire_many`](Self::try_acquire_many).
    pub fn try_acquire_many_owned(self: Arc<Self>, n: u32) -> io::Result<Option<OwnedSemaphorePermit>> {
        Ok(self.attempt(n)?.then(|| Permit::new(self, n)))
    }

    /// Takes a permit, and blocks the thread until then.
    ///
    /// # Errors
    ///
    /// Those of [`acquire`](Self::acquire) that don't depend on a runtime.
    #[inline]
    pub fn blocking_acquire(&self) -> io::Result<SemaphorePermit<'_>> {
        self.blocking_acquire_many(1)
    }

    /// Like [`blocking_acquire`](Self::blocking_acquire), but gives up at a deadline.
    ///
    /// # Errors
    ///
    /// `TimedOut` after the deadline. Those of [`blocking_acquire`](Self::blocking_acquire).
    pub fn blocking_acquire_deadline(&self, deadline: impl Into<Deadline>) -> io::Result<SemaphorePermit<'_>> {
        self.block(1, Some(deadline.into()))
    }

    /// Takes `n` permits at once, and blocks the thread until then.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `n` is more than [`MAX_PERMITS`](Self::MAX_PERMITS). Those of [`blocking_acquire`](Self::blocking_acquire).
    #[inline]
    pub fn blocking_acquire_many(&self, n: u32) -> io::Result<SemaphorePermit<'_>> {
        self.block(n, None)
    }

    /// Like [`blocking_acquire_many`](Self::blocking_acquire_many), but gives up at a deadline.
    ///
    /// # Errors
    ///
    /// `TimedOut` after the deadline. Those of [`blocking_acquire_many`](Self::blocking_acquire_many).
    pub fn blocking_acquire_many_deadline(
        &self,
        n: u32,
        deadline: impl Into<Deadline>,
    ) -> io::Result<SemaphorePermit<'_>> {
        self.block(n, Some(deadline.into()))
    }

    #[cfg(feature = "tokio")]
    #[inline]
    async fn wait_for(&self, n: u32) -> io::Result<()> {
        self.check(n)?;
        drive::operate(self.object.membership(), || Acquire::new(self.steps, n)).await
    }

    #[inline]
    fn block(&self, n: u32, deadline: Option<Deadline>) -> io::Result<SemaphorePermit<'_>> {
        self.check(n)?;
        match drive::block(self.object.membership(), Acquire::new(self.steps, n), deadline)? {
            Some(()) => Ok(Permit::new(self, n)),
            None => Err(self.timed_out(n)),
        }
    }

    #[inline]
    fn attempt(&self, n: u32) -> io::Result<bool> {
        self.check(n)?;
        // The machine never sleeps. But if it loses too many races, `block` undoes what it has begun.
        let taken = drive::block(self.object.membership(), TryAcquire::new(self.steps, n), None)?;
        Ok(taken == Some(true))
    }

    #[inline]
    fn check(&self, n: u32) -> io::Result<()> {
        if n <= MAX_PERMITS { Ok(()) } else { Err(self.too_many(n)) }
    }

    #[cold]
    fn too_many(&self, n: u32) -> io::Error {
        refuse(format!("cannot take {n} permits of {}: it can have at most {MAX_PERMITS}", self.object))
    }

    #[cold]
    fn timed_out(&self, n: u32) -> io::Error {
        let permits = if n == 1 { "permit" } else { "permits" };
        let missed = format!("could not take {n} {permits} of {}", self.object);
        self.object.timed_out(missed, "which members have permits")
    }
}
