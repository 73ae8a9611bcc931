//! Memory outside of the region: the order to stop, and figures.

use crate::children;
use futex_sys::__private::words64;
use futex_sys::SharedMemory;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

/// The processes that should stop.
#[derive(Clone, Copy)]
pub(crate) enum Stop {
    Writer,
    Victims,
}

/// Figures over all victims.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Figure {
    Joins = 2,
    JoinsRefused,
    Opened,
    NotOpened,
    /// Operations that succeeded, that gave an error, and that were given up.
    Succeeded,
    Failed,
    GivenUp,
    /// Turns of the watchdog tasks.
    Ticks,
    /// Maximum number of bytes that a victim had allocated.
    Bytes,
}

impl Figure {
    pub(crate) const ALL: [Self; 9] = [
        Self::Joins,
        Self::JoinsRefused,
        Self::Opened,
        Self::NotOpened,
        Self::Succeeded,
        Self::Failed,
        Self::GivenUp,
        Self::Ticks,
        Self::Bytes,
    ];
}

/// See the [module](self).
pub(crate) struct Control(SharedMemory);

impl Control {
    pub(crate) fn new() -> Self {
        Self(SharedMemory::anonymous(4096).expect("memory"))
    }

    pub(crate) fn of_parent() -> Self {
        Self(SharedMemory::from_fd(children::file(1).into()).expect("memory"))
    }

    pub(crate) fn memory(&self) -> &SharedMemory {
        &self.0
    }

    pub(crate) fn figure(&self, figure: Figure) -> &AtomicU64 {
        &words64(&self.0)[figure as usize]
    }

    pub(crate) fn count(&self, figure: Figure) {
        self.figure(figure).fetch_add(1, SeqCst);
    }

    pub(crate) fn stop(&self, stop: Stop) {
        words64(&self.0)[stop as usize].store(1, SeqCst);
    }

    pub(crate) fn is_over(&self, stop: Stop) -> bool {
        words64(&self.0)[stop as usize].load(SeqCst) != 0
    }

    /// Counts the outcome of an operation. An error must be one that the documentation has.
    pub(crate) fn outcome<T>(&self, result: io::Result<T>, good: Figure, bad: Figure) -> Option<T> {
        use io::ErrorKind::{
            AlreadyExists, BrokenPipe, InvalidData, InvalidInput, NotFound, QuotaExceeded, ResourceBusy, StorageFull,
            TimedOut, WouldBlock,
        };
        match result {
            Ok(value) => {
                self.count(good);
                Some(value)
            }
            Err(error) => {
                let known = [
                    AlreadyExists,
                    BrokenPipe,
                    InvalidData,
                    InvalidInput,
                    NotFound,
                    QuotaExceeded,
                    ResourceBusy,
                    StorageFull,
                    TimedOut,
                    WouldBlock,
                ];
                assert!(known.contains(&error.kind()), "an error of another kind: {error:?}");
                self.count(if error.kind() == TimedOut { Figure::GivenUp } else { bad });
                None
            }
        }
    }
}
