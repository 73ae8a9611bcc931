//! The semaphore.

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use crate::directory::{Kind, Spec};
use crate::drive;
use crate::format::refuse;
use crate::object::Object;
use crate::region::Region;
use crate::steps::record::{Attach, Records, STRIDE, Sum};
use crate::steps::semaphore::{Acquire, Grow, MAX_PERMITS, Release, Semaphore as Steps, TryAcquire, permits};
use crate::steps::{Role, Words};
use futex_sys::Deadline;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// A semaphore in a [`Region`]: a number of permits that tasks and threads of all members take and give back.
///
/// A value of this type is a handle. Several handles may lead to the same semaphore, even in one process.
///
/// # When a holder dies
///
/// When a member dies, its permits return, each exactly once: those that it had, and those that it was about to take or to give back.
/// Permits that were leaked (`mem::forget`) return when their member leaves or dies.
///
/// # Fairness
///
/// The request at the front of the queue is served next, no matter how many permits it needs. Later requests for fewer permits do not
/// overtake it. The other requests move to the front in the order in which they came, but a new request that comes at the right time
/// may get to the front before them. A call that gives up loses its place. If the process at the front is stopped (`SIGSTOP`), the
/// requests behind it wait until it continues.
///
/// # Misuse
///
/// If a task requests permits while it has others, it may wait for itself, or for a task that waits for it. Take all at once with
/// [`acquire_many`](Self::acquire_many). A request for more permits than the capacity waits until enough are
/// [added](Self::add_permits), and all later requests wait behind it.
///
/// # Examples
///
/// At most three processes use the device at a time:
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use futex_ipc::{Region, Semaphore};
///
/// let region = Region::builder().anonymous()?;
/// let devices = Semaphore::open_or_create(&region, "devices", 3)?;
/// let permit = devices.blocking_acquire()?;
/// // Use a device.
/// drop(permit);
/// # Ok(())
/// # }
/// ```
pub struct Semaphore {
    object: Object,
    steps: Steps,
}

pub(crate) const STATE: u32 = 0;
/// On another cache line than the state, because only calls that wait need it.
pub(crate) const EVENT: u32 = 16;
pub(crate) const CAPACITY: u32 = 17;
/// The next word is for the [predecessor](crate::steps::mutex).
pub(crate) const TURNSTILE: u32 = 18;
const RECORDS: u32 = 32;

impl Semaphore {
    /// Maximum number of permits.
    pub const MAX_PERMITS: u32 = MAX_PERMITS;

    fn spec<'a>(region: &Region, name: &'a str, capacity: u32) -> io::Result<Spec<'a>> {
        let len = RECORDS + region.membership().layout().slots * STRIDE;
        let roles = &[(Role::Counter, EVENT), (Role::Lock, TURNSTILE)];
        let spec = Spec::of::<()>(Kind::Semaphore, name, len as usize, capacity.into(), roles)?;
        Ok(spec.with_records(RECORDS))
    }

    /// The specification of a new semaphore.
    fn spec_of_new<'a>(region: &Region, name: &'a str, capacity: u32) -> io::Result<Spec<'a>> {
        if !(1..=MAX_PERMITS).contains(&capacity) {
            return Err(refuse(format!(
                "the semaphore {name:?} can't have {capacity} permits: ask for 1 to {MAX_PERMITS}"
            )));
        }
        Self::spec(region, name, capacity)
    }

    fn new(object: Object) -> io::Result<Self> {
        let membership = object.membership();
        if !(1..=u64::from(MAX_PERMITS)).contains(&object.parameter()) {
            return Err(membership.damaged(format!("a semaphore was made with {} permits", object.parameter())));
        }
        let records = Records(object.place(RECORDS));
        drive::attempt(membership, Attach::new(records))?;
        let steps = Steps {
            state: object.place(STATE),
            event: object.place(EVENT),
            turnstile: object.place(TURNSTILE),
            records,
            capacity: object.place(CAPACITY),
        };
        Ok(Self { object, steps })
    }

    /// Makes a semaphore with a number of permits.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the region has an object of this name. `InvalidInput` for a number of permits that is 0 or more than
    /// [`MAX_PERMITS`](Self::MAX_PERMITS), and for a name that is empty, longer than 64 bytes, or has a zero byte. `StorageFull` if
    /// the region has no room: a semaphore needs 256 bytes, and 128 per slot of the region. `ResourceBusy` if another member is
    /// stopped while it adds an object.
    pub fn create(region: &Region, name: &str, permits: u32) -> io::Result<Self> {
        let spec = Self::spec_of_new(region, name, permits)?;
        Self::new(Object::create(region, &spec, |words| init(words, permits))?)
    }

    /// Opens a semaphore.
    ///
    /// # Errors
    ///
    /// `NotFound` if the region has no object of this name. `InvalidInput` if the object is not a semaphore.
    pub fn open(region: &Region, name: &str) -> io::Result<Self> {
        Self::new(Object::open(region, &Self::spec(region, name, 0)?)?)
    }

    /// Opens a semaphore, or makes it with a number of permits if the region has no object of this name. All processes that do this
    /// at once get the same semaphore.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the semaphore was made with another number of permits. Those of [`create`](Self::create), except
    /// `AlreadyExists`, and those of [`open`](Self::open), except `NotFound`.
    pub fn open_or_create(region: &Region, name: &str, permits: u32) -> io::Result<Self> {
        let spec = Self::spec_of_new(region, name, permits)?;
        let object = Object::open_or_create(region, &spec, |words| init(words, permits))?;
        let there = object.parameter();
        if there != u64::from(permits) {
            return Err(refuse(format!(
                "the semaphore {name:?} in {} was made with {there} permits, and this program opens it with {permits}: \
                 use the same number everywhere, or `open`",
                region.membership().what()
            )));
        }
        Self::new(object)
    }

    /// Returns the number of permits, available or not: those with which the semaphore was made, plus those that were
    /// [added](Self::add_permits), minus those that were [forgotten](Permit::forget).
    ///
    /// # Errors
    ///
    /// Those of [`blocking_acquire`](Self::blocking_acquire), except `ResourceBusy`.
    pub fn capacity(&self) -> io::Result<u32> {
        let membership = self.object.membership();
        membership.check()?;
        Ok(permits(membership.load(self.steps.capacity, SeqCst)))
    }

    /// Returns the number of permits that no living member has.
    ///
    /// The number may have changed when the call returns. While other calls take permits or give them back, the result may be lower
    /// than the number was at any time. The call loads up to two words for each member that the region may have.
    ///
    /// # Errors
    ///
    /// Those of [`blocking_acquire`](Self::blocking_acquire).
    pub fn available_permits(&self) -> io::Result<u32> {
        // In the order of a call that waits.
        let held = drive::attempt(self.object.membership(), Sum::new(self.steps.records))?;
        Ok(self.capacity()?.saturating_sub(u32::try_from(held).unwrap_or(u32::MAX)))
    }

    /// Adds `n` permits permanently.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there would be more than [`MAX_PERMITS`](Self::MAX_PERMITS). Those of
    /// [`blocking_acquire`](Self::blocking_acquire).
    pub fn add_permits(&self, n: u32) -> io::Result<()> {
        let membership = self.object.membership();
        if drive::attempt(membership, Grow::new(self.steps, n))? {
            return Ok(());
        }
        let what = membership.what();
        Err(refuse(format!("cannot add {n} permits to a semaphore in {what}: it can have at most {MAX_PERMITS}")))
    }

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
        Ok(Permit { semaphore: self, permits: 1 })
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
        Ok(Permit { semaphore: self, permits: n })
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
        Ok(Permit { semaphore: self, permits: n })
    }

    /// Takes a permit if one is available and no other call waits. Otherwise returns `None`.
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
        Ok(self.attempt(n)?.then(|| Permit { semaphore: self, permits: n }))
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
        Ok(self.attempt(n)?.then(|| Permit { semaphore: self, permits: n }))
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
            Some(()) => Ok(Permit { semaphore: self, permits: n }),
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
        let what = self.object.membership().what();
        refuse(format!("cannot take {n} permits of a semaphore in {what}: it can have at most {MAX_PERMITS}"))
    }

    #[cold]
    fn timed_out(&self, n: u32) -> io::Error {
        let what = if n == 1 { "a permit of the semaphore".into() } else { format!("{n} permits of the semaphore") };
        drive::timed_out(&what, self.object.membership())
    }

    /// True if both handles lead to the same semaphore, and belong to the same member.
    fn is(&self, other: &Self) -> bool {
        self.object.is_of_the_member_of(&other.object) && self.steps == other.steps
    }
}

/// Writes the words of a new semaphore.
fn init(words: &[AtomicU64], permits: u32) {
    for place in [STATE, CAPACITY] {
        words[place as usize].store(permits.into(), Relaxed);
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("object", &self.object).finish_non_exhaustive()
    }
}

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
    /// Number of permits.
    pub fn num_permits(&self) -> usize {
        self.permits as usize
    }

    /// Removes the permits permanently. This reduces the [`capacity`](Semaphore::capacity) of the semaphore.
    pub fn forget(mut self) {
        let n = std::mem::take(&mut self.permits);
        if n > 0 {
            drive::finish(self.semaphore.object.membership(), Release::forget(self.semaphore.steps, n));
        }
    }

    /// Takes `n` permits out of this value. Returns `None` if it has fewer.
    pub fn split(&mut self, n: usize) -> Option<Self>
    where
        S: Clone,
    {
        let n = u32::try_from(n).ok()?;
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
