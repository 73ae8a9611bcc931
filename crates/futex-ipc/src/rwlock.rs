//! The read-write lock.

pub(crate) mod guard;
mod locking;

use crate::copies::Copies;
use crate::directory::{Kind, Spec};
use crate::drive;
use crate::exclusive::Exclusive;
use crate::format::LINE;
use crate::object::Object;
use crate::region::Region;
use crate::steps::Role;
use crate::steps::record::{Attach, Records, STRIDE};
use crate::steps::rwlock::{self as machine, EndRead};
use crate::value::Value;
use std::fmt;
use std::io;
use std::marker::PhantomData;

/// A lock in a [`Region`] that has many readers or one writer, with a value that it guards.
///
/// A value of this type is a handle. Several handles may lead to the same lock, even in one process.
///
/// Readers do not change a common word: each member counts its readers in a separate cache line. So readers of several processes
/// do not slow each other down. But a writer loads the counts of all members, and the lock needs 128 bytes for each member that the
/// region may have, in addition to two copies of the value.
///
/// # What happens to the value
///
/// A guard has a **copy** of the value. The copy of a reader equals the value as long as the guard exists, because no writer commits
/// during that time. A writer [commits](crate::WriteGuard::commit) its copy. If its guard is dropped without a commit, the value stays
/// what it was before. See [`Mutex`](crate::Mutex#what-happens-to-the-value) for the reason.
///
/// # When a member dies
///
/// A reader that dies does not count any more, so a writer that waits for it goes on. If a writer dies, `predecessor_died` returns true
/// for the next readers and writers, and `predecessor` returns the dead writer, until a writer calls
/// [`settle`](crate::WriteGuard::settle). The value is that of the last commit.
///
/// # Misuse
///
/// If a task that has a guard begins to write, it waits for itself forever. The same happens if a task that has a read guard begins to
/// read again, and a writer has begun to wait in between. A guard that is leaked (`mem::forget`) keeps its lock until its member leaves
/// the region.
///
/// # Fairness
///
/// A writer first keeps new readers out, and then waits for the present ones. So it does not wait forever, even if readers come all the
/// time. A handle through which writers have unlocked 16 times while others waited yields to them, for up to 100 µs, before it locks for
/// writing again. So readers and other writers get their turn, even if writers come all the time.
///
/// # Examples
///
/// ```
/// use futex_ipc::{Region, RwLock};
///
/// # fn main() -> std::io::Result<()> {
/// let region = Region::builder().anonymous()?;
/// let limits = RwLock::open_or_create(&region, "limits", [10_u64, 20])?;
/// {
///     let first = limits.blocking_read()?;
///     let second = limits.blocking_read()?;
///     assert_eq!(first[0] + second[1], 30);
/// }
/// limits.blocking_update(|limits| limits[1] = 25)?;
/// assert_eq!(*limits.blocking_read()?, [10, 25]);
/// # Ok(())
/// # }
/// ```
pub struct RwLock<T> {
    object: Object,
    place: machine::RwLock,
    writers: Exclusive,
    value: PhantomData<fn() -> T>,
}

/// Index of the lock's word in the object. The next word is for the [predecessor](crate::steps::mutex).
pub(crate) const LOCK: u32 = 0;
/// The counter that a writer sleeps on while there are readers.
pub(crate) const EVENT: u32 = 2;
/// The two copies of the value. The records begin at the next multiple of [`LINE`] words.
const VALUE: u32 = 3;

impl<T: Value> RwLock<T> {
    const COPIES: Copies<T> = Copies::at(VALUE);
    const RECORDS: usize = (VALUE as usize + Copies::<T>::LEN).next_multiple_of(LINE as usize);

    fn spec<'a>(region: &Region, name: &'a str) -> io::Result<Spec<'a>> {
        let records = region.membership().layout().slots as usize * STRIDE as usize;
        let roles = &[(Role::Lock, LOCK), (Role::Counter, EVENT)];
        let spec = Spec::of::<T>(Kind::RwLock, name, Self::RECORDS + records, 0, roles)?;
        Ok(spec.with_records(Self::RECORDS as u32))
    }

    fn new(object: Object) -> io::Result<Self> {
        let place = machine::RwLock {
            word: object.place(LOCK),
            event: object.place(EVENT),
            // The number of words of the object has 32 bits, and the records lie within.
            records: Records(object.place(Self::RECORDS as u32)),
        };
        drive::attempt(object.membership(), Attach::new(place.records))?;
        Ok(Self { place, writers: Exclusive::new(place.word), object, value: PhantomData })
    }

    /// Makes a lock with a value.
    ///
    /// # Errors
    ///
    /// Those of [`Mutex::create`](crate::Mutex::create).
    pub fn create(region: &Region, name: &str, value: T) -> io::Result<Self> {
        Object::create(region, &Self::spec(region, name)?, |words| Self::COPIES.init(words, &value)).and_then(Self::new)
    }

    /// Opens a lock.
    ///
    /// # Errors
    ///
    /// `NotFound` if the region has no object of this name. `InvalidInput` if the object is not a read-write lock, or has values of
    /// another type.
    pub fn open(region: &Region, name: &str) -> io::Result<Self> {
        Object::open(region, &Self::spec(region, name)?).and_then(Self::new)
    }

    /// Opens a lock, or makes it with a value if the region has no object of this name. All processes that do this at once get the
    /// same lock.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create), except `AlreadyExists`, and those of [`open`](Self::open), except `NotFound`.
    pub fn open_or_create(region: &Region, name: &str, value: T) -> io::Result<Self> {
        Object::open_or_create(region, &Self::spec(region, name)?, |words| Self::COPIES.init(words, &value))
            .and_then(Self::new)
    }
}

impl<T> RwLock<T> {
    /// Unlocks what was locked for reading, from a drop.
    #[inline]
    fn end_read(&self) {
        drive::finish(self.object.membership(), EndRead::new(self.place));
    }
}

impl<T> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock").field("object", &self.object).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
