//! The links over two words of shared memory: one that wakes this side, one that wakes the other.

use super::blocking::{Blocking, LATE};
use super::{AnyEnd, Hull, Link, bare_ring::BareRing, futex::Futex, spawn_blocking::SpawnBlocking};
use crate::executor::Executor;
use futex_tokio::{SharedMemory, Word};
use std::io;
use std::os::fd::AsFd as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Bytes between the words: they don't share a cache line, nor the one that the processor fetches with it.
const APART: usize = 128;
const LEN: usize = 4096;

/// The words of one side.
pub(crate) struct Words {
    /// Wakes this side.
    pub(crate) mine: Word,
    /// Wakes the other.
    theirs: Word,
    /// What `mine` was when it was last looked at.
    pub(crate) seen: u32,
}

impl Words {
    fn new(memory: &SharedMemory, side: usize) -> io::Result<Self> {
        Ok(Self { mine: memory.word(APART * side)?, theirs: memory.word(APART * (1 - side))?, seen: 0 })
    }

    /// Changes the other side's word, then wakes it.
    #[inline]
    pub(crate) fn signal(&self) {
        self.theirs.fetch_add(1, Ordering::Release);
        self.theirs.wake(1);
    }

    /// Whether the word has changed since it was last looked at.
    #[inline]
    pub(crate) fn changed(&mut self) -> bool {
        let value = self.mine.load(Ordering::Acquire);
        std::mem::replace(&mut self.seen, value) != value
    }
}

pub(super) fn to_process(link: Link) -> io::Result<(AnyEnd, Hull)> {
    let memory = SharedMemory::anonymous(LEN)?;
    let stdin = memory.as_fd().try_clone_to_owned()?;
    Ok((end(link, &memory, 0)?, Hull { stdin, stdout: None, name: String::new() }))
}

pub(super) fn from_hull(link: Link, hull: Hull) -> io::Result<AnyEnd> {
    end(link, &SharedMemory::from_fd(hull.stdin)?, 1)
}

pub(super) fn within(link: Link, at: [&Executor; 2]) -> io::Result<[AnyEnd; 2]> {
    let memory = SharedMemory::anonymous(LEN)?;
    let [here, there] = at;
    Ok([here.enter(|| end(link, &memory, 0))?, there.enter(|| end(link, &memory, 1))?])
}

fn end(link: Link, memory: &SharedMemory, side: usize) -> io::Result<AnyEnd> {
    let words = Words::new(memory, side)?;
    match link {
        Link::Ours(config) => Futex::new(words, config).map(AnyEnd::Ours),
        Link::Blocking => Ok(AnyEnd::Blocking(Blocking::new(words, Duration::ZERO))),
        Link::LateBlocking => Ok(AnyEnd::Blocking(Blocking::new(words, LATE))),
        Link::BareRing => Ok(AnyEnd::BareRing(Box::new(BareRing::new(words)?))),
        Link::SpawnBlocking => Ok(AnyEnd::SpawnBlocking(SpawnBlocking(words))),
        _ => Err(io::Error::other(format!("{link} has no words"))),
    }
}
