//! Permits of a semaphore.

use super::Semaphore;
use crate::drive;
use crate::steps::semaphore::Release;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Permits of a [`Semaphore`].
pub type SemaphorePermit<'a> = Permit<&'a Semaphore>;

/// A [`SemaphorePermit`] that owns a share of the semaphore.
pub type OwnedSemaphorePermit = Permit<Arc<Semaphore>>;

/// Permits of a [`Semaphore`]: see [`SemaphorePermit`] and [`OwnedSemaphorePermit`].
///
/// Dropping the value gives the permits back. A drop makes at most one wake, and never waits.
#[must_use = "a permit that is dropped at once is available again"]
pub struct Permit<S>
where
    S: Deref<Target = Semaphore>,
{
    semaphore: S,
    permits: u32,
}

impl<S> Permit<S>
where
    S: Deref<Target = Semaphore>,
{
    #[inline]
    pub(super) fn new(semaphore: S, permits: u32) -> Self {
        Self { semaphore, permits }
    }

    /// Returns the number of permits.
    pub fn num_permits(&self) -> u32 {
        self.permits
    }

    /// Removes the permits permanently. This reduces the [`capacity`](Semaphore::capacity) of the semaphore.
    pub fn forget(mut self) {
        let n = std::mem::take(&mut self.permits);
        if n > 0 {
            drive::finish(self.semaphore.object.membership(), Release::forget(self.semaphore.steps, n));
        }
    }

    /// Takes `n` permits out of this value. Returns `None` if it has fewer.
    pub fn split(&mut self, n: u32) -> Option<Self>
    where
        S: Clone,
    {
        self.permits = self.permits.checked_sub(n)?;
        Some(Self { semaphore: self.semaphore.clone(), permits: n })
    }

    /// Adds the permits of another value.
    ///
    /// # Panics
    ///
    /// If `other` belongs to another semaphore, or to another member of this process.
    #[track_caller]
    pub fn merge(&mut self, mut other: Self) {
        assert!(self.semaphore.is(&other.semaphore), "permits of two semaphores or members can't be merged");
        // The sum exceeds `u32::MAX` only if a member writes at random.
        self.permits = self.permits.saturating_add(std::mem::take(&mut other.permits));
    }
}

impl<S> Drop for Permit<S>
where
    S: Deref<Target = Semaphore>,
{
    #[inline]
    fn drop(&mut self) {
        if self.permits > 0 {
            let release = Release::new(self.semaphore.steps, self.permits);
            drive::finish(self.semaphore.object.membership(), release);
        }
    }
}

impl<S> fmt::Debug for Permit<S>
where
    S: Deref<Target = Semaphore>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SemaphorePermit").field("permits", &self.permits).finish_non_exhaustive()
    }
}
