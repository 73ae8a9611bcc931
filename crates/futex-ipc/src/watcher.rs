//! The watcher: a thread that notices the death of other members, for all regions of this process.
//!
//! When the process of a member ends, the kernel reports an [event](inotify) of the region's file, and drops the lock of its slot. Then
//! one of the other members [sweeps](ladder). Without inotify, for example without `/proc`, the watcher examines the table regularly.
//!
//! The thread ends a second after the last member of this process has left.

mod inotify;
mod ladder;
mod thread;
mod watched;

use self::thread::{Entry, Thread};
use crate::membership::Membership;
use futex_sys::__private::Origin;
use std::io;
use std::sync::Arc;

/// A watch of the other members, until this value is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    origin: Origin,
    thread: Arc<Thread>,
    entry: Arc<Entry>,
}

/// Starts the watcher for a member. The caller opens the file of the region afterwards.
///
/// The kernel closes the files of a process that ends from the highest number down, and takes milliseconds to close an instance of
/// inotify on a busy machine. The others notice the death when the file of the region is closed. So the file of the region needs a
/// higher number. It usually has one if it is opened later.
///
/// # Errors
///
/// Those of [`watch`].
pub(crate) fn prepare() -> io::Result<()> {
    thread::prepare()
}

/// Begins to watch the members of a region for `membership`.
///
/// # Errors
///
/// Those of the start of a thread.
pub(crate) fn watch(membership: &Arc<Membership>) -> io::Result<Watch> {
    let (thread, entry) = thread::add(membership)?;
    Ok(Watch { origin: Origin::here(), thread, entry })
}

#[cfg(test)]
impl Watch {
    /// Keeps the watcher from its work until the result is dropped.
    pub(crate) fn keep_busy(&self) -> impl Drop + '_ {
        self.entry.keep_busy()
    }

    /// The next action of the watcher after the last event.
    pub(crate) fn state(&self) -> String {
        self.entry.state()
    }

    /// Takes the events away, as if there were no inotify.
    pub(crate) fn take_events(&self) {
        self.thread.take_events(&self.entry);
    }

    /// Ends the scans and checks after the last event. Returns false if some of them are due soon.
    pub(crate) fn rest(&self) -> bool {
        self.entry.rest()
    }
}

/// When the drop returns, the watcher does not use the region any more.
impl Drop for Watch {
    fn drop(&mut self) {
        // A fork has neither the thread nor the mapping. Another thread of the parent may have held the lock when the process forked.
        if self.origin.is_here() {
            self.thread.remove(&self.entry);
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
