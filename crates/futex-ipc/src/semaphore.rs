//! The semaphore.

mod acquiring;
pub(crate) mod permit;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use crate::directory::{Kind, Spec};
use crate::drive;
use crate::format::refuse;
use crate::object::Object;
use crate::region::Region;
use crate::steps::record::{Attach, Records, STRIDE, Sum};
use crate::steps::semaphore::{Grow, MAX_PERMITS, Semaphore as Steps, permits};
use crate::steps::{Role, Words};
use std::fmt;
use std::io;
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
    /// [added](Self::add_permits), minus those that were [forgotten](crate::Permit::forget).
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
        // The records are loaded before the capacity, as in a call that waits.
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
        Err(refuse(format!("cannot add {n} permits to {}: it can have at most {MAX_PERMITS}", self.object)))
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
