//! The event with manual reset.

use super::Event;
use crate::directory::Kind;
use crate::drive;
use crate::region::Region;
use crate::steps::event::{Reset, Set, Wait};
use futex_sys::Deadline;
use std::io;

/// An event in a [`Region`] with manual reset: it stays set until it is reset.
///
/// While it is set, no call waits. [`set`](Self::set) releases all waiters, even if [`reset`](Self::reset) follows at once. A new event
/// is not set.
///
/// For an event that releases one waiter per `set`, see [`AutoEvent`](super::AutoEvent).
///
/// # Memory ordering
///
/// A call that finds the event set sees what a member wrote before it set the event.
///
/// # When a member dies
///
/// An event has no owner, so it stays as it is. If a member dies after it has set the event, all waiters are released.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use futex_ipc::{ManualEvent, Region};
///
/// let region = Region::builder().anonymous()?;
/// let ready = ManualEvent::open_or_create(&region, "ready")?;
/// ready.set()?;
/// ready.blocking_wait()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ManualEvent {
    event: Event,
}

impl ManualEvent {
    /// Makes an event.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the region has an object of this name. `InvalidInput` for a name that is empty, longer than 64 bytes, or
    /// has a zero byte. `StorageFull` if the region has no room. `ResourceBusy` if another member is stopped while it adds an
    /// object.
    pub fn create(region: &Region, name: &str) -> io::Result<Self> {
        Event::create(region, Kind::ManualEvent, name).map(|event| Self { event })
    }

    /// Opens an event.
    ///
    /// # Errors
    ///
    /// `NotFound` if the region has no object of this name. `InvalidInput` if the object is of another kind, for example an
    /// [`AutoEvent`](super::AutoEvent).
    pub fn open(region: &Region, name: &str) -> io::Result<Self> {
        Event::open(region, Kind::ManualEvent, name).map(|event| Self { event })
    }

    /// Opens an event, or makes it if the region has no object of this name. All processes that do this at once get the same event.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create), except `AlreadyExists`, and those of [`open`](Self::open), except `NotFound`.
    pub fn open_or_create(region: &Region, name: &str) -> io::Result<Self> {
        Event::open_or_create(region, Kind::ManualEvent, name).map(|event| Self { event })
    }

    /// Sets the event, and releases all waiters. Returns true if the event was not set before.
    ///
    /// # Errors
    ///
    /// - `Unsupported` in a fork of the process that opened the region.
    /// - `InvalidData` if the region is damaged. `BrokenPipe` if it was closed.
    /// - `ResourceBusy` if the word of the event changed about 65,000 times during the call. Only a member that writes at random does that.
    pub fn set(&self) -> io::Result<bool> {
        drive::attempt(self.event.0.membership(), Set::new(self.event.word()))
    }

    /// Resets the event. Later calls wait until it is set again. Returns true if it was set.
    ///
    /// # Errors
    ///
    /// Those of [`set`](Self::set).
    pub fn reset(&self) -> io::Result<bool> {
        drive::attempt(self.event.0.membership(), Reset::new(self.event.word()))
    }

    /// Returns true if the event is set.
    ///
    /// # Errors
    ///
    /// Those of [`set`](Self::set), except `ResourceBusy`.
    pub fn is_set(&self) -> io::Result<bool> {
        self.event.is_set()
    }

    /// Waits until the event is set.
    ///
    /// # Errors
    ///
    /// Those of [`set`](Self::set). `Unsupported` if the call has to wait outside a Tokio runtime. `BrokenPipe` if the runtime is
    /// shutting down. Those of a wait (see `futex_tokio::WaitAsync`).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the call changes nothing. If a `set` and a `reset` come between the drop and the next call, that call
    /// waits for the next `set`.
    #[cfg(feature = "tokio")]
    pub async fn wait(&self) -> io::Result<()> {
        drive::operate(self.event.0.membership(), || Wait::new(self.event.word())).await
    }

    /// Blocks the thread until the event is set.
    ///
    /// # Errors
    ///
    /// Those of [`set`](Self::set), and those of a wait (see `futex_sys::futex::wait`).
    pub fn blocking_wait(&self) -> io::Result<()> {
        self.event.block(Wait::new(self.event.word()), None)
    }

    /// Like [`blocking_wait`](Self::blocking_wait), but gives up at a deadline.
    ///
    /// # Errors
    ///
    /// `TimedOut` after the deadline. Those of [`blocking_wait`](Self::blocking_wait).
    pub fn blocking_wait_deadline(&self, deadline: impl Into<Deadline>) -> io::Result<()> {
        self.event.block(Wait::new(self.event.word()), Some(deadline.into()))
    }
}
