//! The event with automatic reset.

use super::Event;
use crate::directory::Kind;
use crate::drive;
use crate::region::Region;
use crate::steps::event::{Reset, SetOne, WaitOne};
use futex_sys::Deadline;
use std::io;

/// An event in a [`Region`] with automatic reset: one waiter takes each `set`.
///
/// [`set`](Self::set) releases one waiter, and the event is not set afterwards. If no call waits, the event stays set until the next
/// call takes it. An event does not count: if it is set already, another `set` has no further effect. To count, use a
/// [`Semaphore`](crate::Semaphore). A new event is not set.
///
/// For an event that releases all waiters, see [`ManualEvent`](super::ManualEvent).
///
/// # Memory ordering
///
/// A call that takes the event sees what a member wrote before it set the event.
///
/// # When a member dies
///
/// An event has no owner. If a member dies after it has set the event, one waiter takes the event. If a member dies after it has taken
/// the event, that `set` is lost. If work must survive its worker, keep the state of the work in a [`Mutex`](crate::Mutex).
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use futex_ipc::{AutoEvent, Region};
///
/// let region = Region::builder().anonymous()?;
/// let work = AutoEvent::open_or_create(&region, "work")?;
/// work.set()?;
/// work.blocking_wait()?;
/// assert!(!work.is_set()?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct AutoEvent {
    event: Event,
}

impl AutoEvent {
    /// Makes an event.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the region has an object of this name. `InvalidInput` for a name that is empty, longer than 64 bytes, or
    /// has a zero byte. `StorageFull` if the region has no room. `ResourceBusy` if another member is stopped while it adds an
    /// object.
    pub fn create(region: &Region, name: &str) -> io::Result<Self> {
        Event::create(region, Kind::AutoEvent, name).map(|event| Self { event })
    }

    /// Opens an event.
    ///
    /// # Errors
    ///
    /// `NotFound` if the region has no object of this name. `InvalidInput` if the object is of another kind, for example a
    /// [`ManualEvent`](super::ManualEvent).
    pub fn open(region: &Region, name: &str) -> io::Result<Self> {
        Event::open(region, Kind::AutoEvent, name).map(|event| Self { event })
    }

    /// Opens an event, or makes it if the region has no object of this name. All processes that do this at once get the same event.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create), except `AlreadyExists`, and those of [`open`](Self::open), except `NotFound`.
    pub fn open_or_create(region: &Region, name: &str) -> io::Result<Self> {
        Event::open_or_create(region, Kind::AutoEvent, name).map(|event| Self { event })
    }

    /// Sets the event, for one call that waits, or for the next call. Returns true if the event was not set before.
    ///
    /// # Errors
    ///
    /// - `Unsupported` in a fork of the process that opened the region.
    /// - `InvalidData` if the region is damaged. `BrokenPipe` if it was closed.
    /// - `ResourceBusy` if the word of the event changed about 65,000 times during the call. Only a member that writes at random does that.
    pub fn set(&self) -> io::Result<bool> {
        drive::attempt(self.event.0.membership(), SetOne::new(self.event.word()))
    }

    /// Takes the event if it is set, even if other calls wait for it. Returns true if it was set. Never waits.
    ///
    /// # Errors
    ///
    /// Those of [`set`](Self::set).
    pub fn try_wait(&self) -> io::Result<bool> {
        drive::attempt(self.event.0.membership(), Reset::new(self.event.word()))
    }

    /// Returns true if the event is set, and no call has taken it yet. This call does not take it.
    ///
    /// # Errors
    ///
    /// Those of [`set`](Self::set), except `ResourceBusy`.
    pub fn is_set(&self) -> io::Result<bool> {
        self.event.is_set()
    }

    /// Waits until the event is set, and takes it.
    ///
    /// # Errors
    ///
    /// Those of [`set`](Self::set). `Unsupported` if the call has to wait outside a Tokio runtime. `BrokenPipe` if the runtime is
    /// shutting down. Those of a wait (see `futex_tokio::WaitAsync`).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a call that is dropped has not taken the event, and passes a wake that it received on to the next waiter.
    #[cfg(feature = "tokio")]
    pub async fn wait(&self) -> io::Result<()> {
        drive::operate(self.event.0.membership(), || WaitOne::new(self.event.word())).await
    }

    /// Like [`try_wait`](Self::try_wait), but blocks the thread until the event is set.
    ///
    /// # Errors
    ///
    /// Those of [`set`](Self::set), and those of a wait (see `futex_sys::futex::wait`).
    pub fn blocking_wait(&self) -> io::Result<()> {
        self.event.block(WaitOne::new(self.event.word()), None)
    }

    /// Like [`blocking_wait`](Self::blocking_wait), but gives up at a deadline.
    ///
    /// # Errors
    ///
    /// `TimedOut` after the deadline. Those of [`blocking_wait`](Self::blocking_wait).
    pub fn blocking_wait_deadline(&self, deadline: impl Into<Deadline>) -> io::Result<()> {
        self.event.block(WaitOne::new(self.event.word()), Some(deadline.into()))
    }
}
