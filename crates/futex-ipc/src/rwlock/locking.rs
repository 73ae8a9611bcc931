//! Locking a read-write lock.

use super::RwLock;
use super::guard::{
    OwnedRwLockReadGuard, OwnedRwLockWriteGuard, ReadGuard, RwLockReadGuard, RwLockWriteGuard, WriteGuard,
};
use crate::drive;
use crate::steps::mutex::Locked;
use crate::steps::rwlock::{Read, TryRead, TryWrite, Write};
use crate::value::Value;
use futex_sys::Deadline;
use std::io;
use std::sync::Arc;

impl<T: Value> RwLock<T> {
    /// Locks for reading.
    ///
    /// # Errors
    ///
    /// - `Unsupported` in a fork of the process that opened the region, and if the call has to wait outside a Tokio runtime.
    /// - `InvalidData` if the region is damaged. `BrokenPipe` if it was closed, or if the runtime is shutting down.
    /// - `ResourceBusy` if the word of the lock changed about 65,000 times during the call. Only a member that writes at random does that.
    /// - Those of a wait (see `futex_tokio::WaitAsync`).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a call that is dropped has not locked, and passes a wake that it received on to the next waiter. It loses its place
    /// in the queue.
    #[cfg(feature = "tokio")]
    pub async fn read(&self) -> io::Result<RwLockReadGuard<'_, T>> {
        let locked = drive::operate(self.object.membership(), || Read::new(self.place)).await?;
        Ok(ReadGuard::new(self, locked))
    }

    /// Like [`read`](Self::read), but the guard owns a share of the lock, so that it can move into another task.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// As [`read`](Self::read).
    #[cfg(feature = "tokio")]
    pub async fn read_owned(self: Arc<Self>) -> io::Result<OwnedRwLockReadGuard<T>> {
        let locked = drive::operate(self.object.membership(), || Read::new(self.place)).await?;
        Ok(ReadGuard::new(self, locked))
    }

    /// Locks for reading, and blocks the thread until then.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read) that don't depend on a runtime.
    #[inline]
    pub fn blocking_read(&self) -> io::Result<RwLockReadGuard<'_, T>> {
        self.block_to_read(None).map(|locked| ReadGuard::new(self, locked))
    }

    /// Like [`blocking_read`](Self::blocking_read), but the guard owns a share of the lock.
    ///
    /// # Errors
    ///
    /// Those of [`blocking_read`](Self::blocking_read).
    pub fn blocking_read_owned(self: Arc<Self>) -> io::Result<OwnedRwLockReadGuard<T>> {
        let locked = self.block_to_read(None)?;
        Ok(ReadGuard::new(self, locked))
    }

    /// Like [`blocking_read`](Self::blocking_read), but gives up at a deadline.
    ///
    /// # Errors
    ///
    /// `TimedOut` after the deadline. Those of [`blocking_read`](Self::blocking_read).
    pub fn blocking_read_deadline(&self, deadline: impl Into<Deadline>) -> io::Result<RwLockReadGuard<'_, T>> {
        self.block_to_read(Some(deadline.into())).map(|locked| ReadGuard::new(self, locked))
    }

    /// Locks for reading if no living member has locked for writing, or waits for the readers to do so. Otherwise returns `None`.
    ///
    /// # Errors
    ///
    /// Those of [`blocking_read`](Self::blocking_read).
    #[inline]
    pub fn try_read(&self) -> io::Result<Option<RwLockReadGuard<'_, T>>> {
        let locked = drive::attempt(self.object.membership(), TryRead::new(self.place))?;
        Ok(locked.map(|locked| ReadGuard::new(self, locked)))
    }

    /// Locks for writing.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a call that is dropped has not locked. The calls that waited behind it go on, and a wake that it received is passed
    /// on to the next waiter. It loses its place in the queue.
    #[cfg(feature = "tokio")]
    pub async fn write(&self) -> io::Result<RwLockWriteGuard<'_, T>> {
        if self.writers.is_greedy() {
            self.writers.yield_to_others(self.object.membership()).await;
        }
        let locked = drive::operate(self.object.membership(), || Write::new(self.place)).await?;
        Ok(WriteGuard::new(self, locked))
    }

    /// Like [`write`](Self::write), but the guard owns a share of the lock, so that it can move into another task.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// As [`write`](Self::write).
    #[cfg(feature = "tokio")]
    pub async fn write_owned(self: Arc<Self>) -> io::Result<OwnedRwLockWriteGuard<T>> {
        if self.writers.is_greedy() {
            self.writers.yield_to_others(self.object.membership()).await;
        }
        let locked = drive::operate(self.object.membership(), || Write::new(self.place)).await?;
        Ok(WriteGuard::new(self, locked))
    }

    /// Locks for writing, and blocks the thread until then.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read) that don't depend on a runtime.
    #[inline]
    pub fn blocking_write(&self) -> io::Result<RwLockWriteGuard<'_, T>> {
        self.block_to_write(None).map(|locked| WriteGuard::new(self, locked))
    }

    /// Like [`blocking_write`](Self::blocking_write), but the guard owns a share of the lock.
    ///
    /// # Errors
    ///
    /// Those of [`blocking_write`](Self::blocking_write).
    pub fn blocking_write_owned(self: Arc<Self>) -> io::Result<OwnedRwLockWriteGuard<T>> {
        let locked = self.block_to_write(None)?;
        Ok(WriteGuard::new(self, locked))
    }

    /// Like [`blocking_write`](Self::blocking_write), but gives up at a deadline.
    ///
    /// # Errors
    ///
    /// `TimedOut` after the deadline. Those of [`blocking_write`](Self::blocking_write).
    pub fn blocking_write_deadline(&self, deadline: impl Into<Deadline>) -> io::Result<RwLockWriteGuard<'_, T>> {
        self.block_to_write(Some(deadline.into())).map(|locked| WriteGuard::new(self, locked))
    }

    /// Locks for writing if no living member has the lock, for reading or for writing. Otherwise returns `None`.
    ///
    /// # Errors
    ///
    /// Those of [`blocking_write`](Self::blocking_write).
    #[inline]
    pub fn try_write(&self) -> io::Result<Option<RwLockWriteGuard<'_, T>>> {
        let locked = drive::attempt(self.object.membership(), TryWrite::new(self.place))?;
        Ok(locked.map(|locked| WriteGuard::new(self, locked)))
    }

    /// Locks for writing, changes the value with a closure, and commits.
    ///
    /// If the closure panics, the value stays as it was. The call does not report that a writer died, and does not
    /// [settle](crate::WriteGuard::settle) that.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// As [`write`](Self::write).
    #[cfg(feature = "tokio")]
    pub async fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> io::Result<R> {
        let mut guard = self.write().await?;
        let result = change(&mut guard);
        guard.commit();
        Ok(result)
    }

    /// Like [`update`](Self::update), but blocks the thread.
    ///
    /// # Errors
    ///
    /// Those of [`blocking_write`](Self::blocking_write).
    pub fn blocking_update<R>(&self, change: impl FnOnce(&mut T) -> R) -> io::Result<R> {
        let mut guard = self.blocking_write()?;
        let result = change(&mut guard);
        guard.commit();
        Ok(result)
    }

    #[inline]
    fn block_to_read(&self, deadline: Option<Deadline>) -> io::Result<Locked> {
        let locked = drive::block(self.object.membership(), Read::new(self.place), deadline)?;
        locked.ok_or_else(|| self.timed_out("read"))
    }

    #[inline]
    fn block_to_write(&self, deadline: Option<Deadline>) -> io::Result<Locked> {
        let membership = self.object.membership();
        self.writers.blocking_yield(membership);
        drive::block(membership, Write::new(self.place), deadline)?.ok_or_else(|| self.timed_out("write"))
    }

    #[cold]
    fn timed_out(&self, verb: &str) -> io::Error {
        let missed = format!("could not lock {} to {verb}", self.object);
        self.object.timed_out(missed, "which members have it")
    }
}
