//! The ring for processors without io_uring types: all of its functions compile, and no ring can be opened.

use super::{Completion, WaitId, no_futexes};
use crate::word::Word;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// An io_uring for futex waits only. It does not support this processor, so [`new`](FutexRing::new) always fails.
#[derive(Debug)]
pub struct FutexRing {
    /// A private field of an empty type. If the type of the ring itself were empty, the compiler would warn users of
    /// unreachable code.
    never: Never,
}

#[derive(Clone, Copy, Debug)]
enum Never {}

#[expect(missing_docs, clippy::missing_errors_doc, reason = "documented in ring.rs; can't be called here")]
impl FutexRing {
    /// Always fails.
    ///
    /// # Errors
    ///
    /// Of kind `Unsupported`.
    pub fn new() -> io::Result<Self> {
        Err(no_futexes())
    }

    /// Always fails.
    ///
    /// # Errors
    ///
    /// Of kind `Unsupported`.
    pub fn new_interrupting() -> io::Result<Self> {
        Err(no_futexes())
    }

    pub fn register_eventfd(&self, _eventfd: BorrowedFd<'_>) -> io::Result<()> {
        match self.never {}
    }

    pub fn arm(&mut self, _tag: u32, _word: Word, _expected: u32, _mask: NonZeroU32) -> io::Result<WaitId> {
        match self.never {}
    }

    pub fn cancel(&mut self, _id: WaitId) -> io::Result<Completion> {
        match self.never {}
    }

    pub fn submit(&mut self) -> io::Result<()> {
        match self.never {}
    }

    pub fn wait(&mut self) -> io::Result<()> {
        match self.never {}
    }

    pub fn next_completion(&mut self) -> Option<Completion> {
        match self.never {}
    }

    #[must_use]
    pub fn has_completions(&mut self) -> bool {
        match self.never {}
    }

    #[must_use]
    pub fn pending(&self) -> usize {
        match self.never {}
    }

    #[must_use]
    pub fn unreaped(&self) -> usize {
        match self.never {}
    }

    #[must_use]
    pub fn is_lost(&self) -> bool {
        match self.never {}
    }

    #[must_use]
    pub fn has_unsubmitted(&self) -> bool {
        match self.never {}
    }

    pub fn close(&mut self, _each: impl FnMut(Completion)) {
        match self.never {}
    }
}

impl Drop for FutexRing {
    fn drop(&mut self) {
        match self.never {}
    }
}

impl AsRawFd for FutexRing {
    fn as_raw_fd(&self) -> RawFd {
        match self.never {}
    }
}

impl AsFd for FutexRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self.never {}
    }
}
