//! Two words of shared memory: one that wakes this side, one that wakes the other.

use crate::hull::Hull;
use futex_tokio::{SharedMemory, Word};
use std::io;
use std::os::fd::AsFd as _;
use std::sync::atomic::Ordering;

/// Bytes between the words: they don't share a cache line, nor the one that the processor fetches with it.
const APART: usize = 128;
const LEN: usize = 4096;

/// The words of one side.
pub(super) struct Words {
    /// Wakes this side.
    pub(super) mine: Word,
    /// Wakes the other.
    theirs: Word,
    /// What `mine` was when it was last looked at.
    pub(super) seen: u32,
}

impl Words {
    /// This side's words, and the memory for the other process.
    pub(super) fn to_process() -> io::Result<(Self, Hull)> {
        let memory = SharedMemory::anonymous(LEN)?;
        let stdin = memory.as_fd().try_clone_to_owned()?;
        Ok((Self::new(&memory, 0)?, Hull { stdin, stdout: None, name: String::new() }))
    }

    /// The other process's words.
    pub(super) fn from_hull(hull: Hull) -> io::Result<Self> {
        Self::new(&SharedMemory::from_fd(hull.stdin)?, 1)
    }

    /// The words of two sides in one process.
    pub(super) fn pair() -> io::Result<[Self; 2]> {
        let memory = SharedMemory::anonymous(LEN)?;
        Ok([Self::new(&memory, 0)?, Self::new(&memory, 1)?])
    }

    fn new(memory: &SharedMemory, side: usize) -> io::Result<Self> {
        Ok(Self { mine: memory.word(APART * side)?, theirs: memory.word(APART * (1 - side))?, seen: 0 })
    }

    /// Changes the other side's word, then wakes it.
    #[inline]
    pub(super) fn signal(&self) {
        self.theirs.fetch_add(1, Ordering::Release);
        self.theirs.wake(1);
    }

    /// Whether the word has changed since it was last looked at.
    #[inline]
    pub(super) fn changed(&mut self) -> bool {
        let value = self.mine.load(Ordering::Acquire);
        std::mem::replace(&mut self.seen, value) != value
    }
}
