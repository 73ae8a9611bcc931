//! The cell that is initialised once.

use crate::directory::{Kind, Spec};
use crate::drive;
use crate::object::Object;
use crate::region::Region;
use crate::steps::mutex::{Locked, Unlock};
use crate::steps::once::{Finish, Get, Once, TryGet, Turn};
use crate::steps::{Role, Words};
use crate::value::{self, Value, words_of};
use futex_sys::__private::fail;
use futex_sys::Deadline;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::atomic::Ordering::Acquire;

/// A value in a [`Region`] that is written once, by the first task or thread that needs it.
///
/// A value of this type is a handle. Several handles may lead to the same cell, even in one process.
///
/// One task or thread of all processes initialises the cell, and others that need the value wait for it. Each one gets a copy of the
/// value. If the cell is initialised, getting the value takes no lock and no system call.
///
/// # When an initialiser fails
///
/// If an initialiser fails, panics or is cancelled, or if its process dies, one of the waiters initialises the cell. The work of a dead
/// initialiser outside of the region may be half done, so an initialiser must be a function that can run again.
///
/// # Misuse
///
/// If an initialiser calls [`get_or_init`](Self::get_or_init) on its own cell, it waits for itself forever.
///
/// # Examples
///
/// ```
/// use futex_ipc::{OnceCell, Region};
///
/// # fn main() -> std::io::Result<()> {
/// let region = Region::builder().anonymous()?;
/// let port = OnceCell::<u16>::open_or_create(&region, "port")?;
/// assert_eq!(port.get()?, None);
/// assert_eq!(port.blocking_get_or_init(|| 8080)?, 8080);
/// assert_eq!(port.blocking_get_or_init(|| unreachable!("it has a value"))?, 8080);
/// assert_eq!(port.get()?, Some(8080));
/// # Ok(())
/// # }
/// ```
pub struct OnceCell<T> {
    object: Object,
    place: Once,
    value: PhantomData<fn() -> T>,
}

/// Index of the lock's word in the object. The next word is for the [predecessor](crate::steps::mutex).
pub(crate) const LOCK: u32 = 0;
/// Index of the word that is 1 when the cell has its value.
pub(crate) const DONE: u32 = 2;
const VALUE: usize = 3;

impl<T: Value> OnceCell<T> {
    fn spec(name: &str) -> io::Result<Spec<'_>> {
        Spec::of::<T>(Kind::OnceCell, name, VALUE + words_of::<T>(), 0, &[(Role::Lock, LOCK)])
    }

    fn new(object: Object) -> Self {
        let place = Once { word: object.place(LOCK), done: object.place(DONE) };
        Self { object, place, value: PhantomData }
    }

    /// Makes a cell without a value.
    ///
    /// # Errors
    ///
    /// Those of [`Mutex::create`](crate::Mutex::create).
    pub fn create(region: &Region, name: &str) -> io::Result<Self> {
        Object::create(region, &Self::spec(name)?, |_| ()).map(Self::new)
    }

    /// Opens a cell.
    ///
    /// # Errors
    ///
    /// `NotFound` if the region has no object of this name. `InvalidInput` if the object is not a once cell, or has a value of another
    /// type.
    pub fn open(region: &Region, name: &str) -> io::Result<Self> {
        Object::open(region, &Self::spec(name)?).map(Self::new)
    }

    /// Opens a cell, or makes it without a value if the region has no object of this name. All processes that do this at once get the
    /// same cell.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create), except `AlreadyExists`, and those of [`open`](Self::open), except `NotFound`.
    pub fn open_or_create(region: &Region, name: &str) -> io::Result<Self> {
        Object::open_or_create(region, &Self::spec(name)?, |_| ()).map(Self::new)
    }

    /// Returns the value, or `None` if the cell is not initialised yet.
    ///
    /// # Errors
    ///
    /// `Unsupported` in a fork of the process that opened the region. `InvalidData` if the region is damaged. `BrokenPipe` if it was
    /// closed.
    pub fn get(&self) -> io::Result<Option<T>> {
        let membership = self.object.membership();
        membership.check()?;
        // Ordering: Acquire. The partner is the store of `Finish`.
        Ok((membership.load(self.place.done, Acquire) == 1).then(|| self.load()))
    }

    /// Sets the value, unless the cell has one, or another task or thread is initialising it. Never waits.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the cell has a value. `WouldBlock` if it is being initialised. Those of [`get`](Self::get).
    pub fn set(&self, value: T) -> io::Result<()> {
        match self.try_turn()? {
            Some(Err(initialiser)) => initialiser.finish(value).map(drop),
            Some(Ok(_)) => Err(self.refuse(io::ErrorKind::AlreadyExists, "has a value already: get it")),
            None => Err(self.refuse(io::ErrorKind::WouldBlock, "is being initialised: wait with get_or_init")),
        }
    }

    /// Returns the value. If the cell has none, `init` makes it.
    ///
    /// If another task or thread is initialising the cell, this call waits, and calls `init` only if the other one fails.
    ///
    /// # Errors
    ///
    /// - `Unsupported` in a fork of the process that opened the region, and if the call has to wait outside a Tokio runtime.
    /// - `InvalidData` if the region is damaged. `BrokenPipe` if it was closed, or if the runtime is shutting down.
    /// - `ResourceBusy` if the word of the cell changed about 65,000 times during the call. Only a member that writes at random does that.
    /// - Those of a wait (see `futex_tokio::WaitAsync`).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a call that is dropped has no effect on the cell, and another call can initialise it. `init` may have run in part.
    #[cfg(feature = "tokio")]
    pub async fn get_or_init<F, Fut>(&self, init: F) -> io::Result<T>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = T>,
    {
        match self.turn().await? {
            Ok(value) => Ok(value),
            Err(initialiser) => initialiser.finish(init().await),
        }
    }

    /// Like [`get_or_init`](Self::get_or_init), but `init` may fail. Then the cell has no value, and one of the waiters initialises it.
    ///
    /// # Errors
    ///
    /// That of `init`. Those of [`get_or_init`](Self::get_or_init).
    ///
    /// # Cancel safety
    ///
    /// As [`get_or_init`](Self::get_or_init).
    #[cfg(feature = "tokio")]
    pub async fn get_or_try_init<E, F, Fut>(&self, init: F) -> Result<T, E>
    where
        E: From<io::Error>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        match self.turn().await? {
            Ok(value) => Ok(value),
            Err(initialiser) => Ok(initialiser.finish(init().await?)?),
        }
    }

    /// Like [`get_or_init`](Self::get_or_init), but blocks the thread while another task or thread initialises the cell.
    ///
    /// # Errors
    ///
    /// Those of [`get_or_init`](Self::get_or_init) that don't depend on a runtime.
    pub fn blocking_get_or_init(&self, init: impl FnOnce() -> T) -> io::Result<T> {
        match self.block(None)? {
            Ok(value) => Ok(value),
            Err(initialiser) => initialiser.finish(init()),
        }
    }

    /// Like [`blocking_get_or_init`](Self::blocking_get_or_init), but gives up at a deadline if another task or thread still initialises
    /// the cell. The deadline does not limit `init`.
    ///
    /// # Errors
    ///
    /// `TimedOut` after the deadline. Those of [`blocking_get_or_init`](Self::blocking_get_or_init).
    pub fn blocking_get_or_init_deadline(
        &self,
        init: impl FnOnce() -> T,
        deadline: impl Into<Deadline>,
    ) -> io::Result<T> {
        match self.block(Some(deadline.into()))? {
            Ok(value) => Ok(value),
            Err(initialiser) => initialiser.finish(init()),
        }
    }

    /// Like [`get_or_try_init`](Self::get_or_try_init), but blocks the thread while another task or thread initialises the cell.
    ///
    /// # Errors
    ///
    /// That of `init`. Those of [`blocking_get_or_init`](Self::blocking_get_or_init).
    pub fn blocking_get_or_try_init<E: From<io::Error>>(&self, init: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        match self.block(None)? {
            Ok(value) => Ok(value),
            Err(initialiser) => Ok(initialiser.finish(init()?)?),
        }
    }

    /// Returns the value. If the cell has none, `init` makes it. If another task or thread is initialising it, returns `None`.
    ///
    /// # Errors
    ///
    /// Those of [`blocking_get_or_init`](Self::blocking_get_or_init).
    pub fn try_get_or_init(&self, init: impl FnOnce() -> T) -> io::Result<Option<T>> {
        match self.try_turn()? {
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(initialiser)) => initialiser.finish(init()).map(Some),
            None => Ok(None),
        }
    }

    #[cfg(feature = "tokio")]
    async fn turn(&self) -> io::Result<Result<T, Initialiser<'_, T>>> {
        drive::operate(self.object.membership(), || Get::new(self.place)).await.map(|turn| self.got(turn))
    }

    fn block(&self, deadline: Option<Deadline>) -> io::Result<Result<T, Initialiser<'_, T>>> {
        let get = Get::new(self.place);
        let turn = drive::block(self.object.membership(), get, deadline)?.ok_or_else(|| self.timed_out())?;
        Ok(self.got(turn))
    }

    #[cold]
    fn timed_out(&self) -> io::Error {
        let missed = format!("{} did not get its value", self.object);
        self.object.timed_out(missed, "which member initialises it")
    }

    fn try_turn(&self) -> io::Result<Option<Result<T, Initialiser<'_, T>>>> {
        let turn = drive::attempt(self.object.membership(), TryGet::new(self.place))?;
        Ok(turn.map(|turn| self.got(turn)))
    }

    /// The value, or the duty to make it.
    #[inline]
    fn got(&self, turn: Turn) -> Result<T, Initialiser<'_, T>> {
        match turn {
            Turn::Ready => Ok(self.load()),
            Turn::Initialise(locked) => Err(Initialiser { cell: self, locked: Some(locked) }),
        }
    }

    fn load(&self) -> T {
        value::load(self.object.words(VALUE, words_of::<T>()))
    }

    fn refuse(&self, kind: io::ErrorKind, what: &str) -> io::Error {
        fail(kind, format!("{} {what}", self.object))
    }
}

impl<T> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceCell").field("object", &self.object).finish_non_exhaustive()
    }
}

/// The duty to initialise a cell. Dropping it passes the duty on to another task or thread.
struct Initialiser<'a, T> {
    cell: &'a OnceCell<T>,
    /// `None` once the cell is initialised.
    locked: Option<Locked>,
}

impl<T: Value> Initialiser<'_, T> {
    fn finish(mut self, value: T) -> io::Result<T> {
        let OnceCell { object, place, .. } = self.cell;
        // The region may have been closed, or the process forked, while the value was made.
        object.membership().check()?;
        if let Some(locked) = self.locked.take() {
            value::store(object.words(VALUE, words_of::<T>()), &value);
            drive::finish(object.membership(), Finish::new(*place, locked));
        }
        Ok(value)
    }
}

impl<T> Drop for Initialiser<'_, T> {
    fn drop(&mut self) {
        if let Some(locked) = self.locked {
            drive::finish(self.cell.object.membership(), Unlock::new(self.cell.place.word, locked, true));
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
