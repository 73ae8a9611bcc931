//! Two words of shared memory: one that wakes this side, one that wakes the other. And a bare ring to wait with.

use anyhow::Result;
use futex_sys::EventFd;
use futex_sys::futex::MATCH_ANY;
use futex_sys::uring::FutexRing;
use futex_tokio::{SharedMemory, Word};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::Ordering;

/// Bytes between the words: they share neither a cache line nor the pair of lines that the processor fetches together.
const APART: usize = 128;

/// The words of one side.
pub(crate) struct Words {
    pub(super) mine: Word,
    theirs: Word,
    /// The latest value of `mine` that this side has seen.
    pub(super) seen: u32,
}

impl Words {
    pub(super) fn new(memory: &SharedMemory, side: usize) -> Result<Self> {
        Ok(Self { mine: memory.word(APART * side)?, theirs: memory.word(APART * (1 - side))?, seen: 0 })
    }

    /// Changes the other side's word, then wakes it.
    #[inline]
    pub(super) fn signal(&self) {
        self.theirs.fetch_add(1, Ordering::Release);
        self.theirs.wake(1);
    }

    /// Loads the word. Returns true if it has changed since the last load.
    #[inline]
    pub(super) fn changed(&mut self) -> bool {
        let value = self.mine.load(Ordering::Acquire);
        std::mem::replace(&mut self.seen, value) != value
    }
}

/// A ring, its eventfd in an epoll, and nothing else.
pub(crate) struct BareRing {
    ring: FutexRing,
    epoll: OwnedFd,
    /// It stays open, since an epoll forgets a descriptor that is closed.
    _eventfd: EventFd,
}

impl BareRing {
    pub(super) fn new() -> Result<Self> {
        let (ring, eventfd) = (FutexRing::new()?, EventFd::new()?);
        ring.register_eventfd(eventfd.as_fd())?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &eventfd, EventData::new_u64(0), EventFlags::IN | EventFlags::ET)?;
        Ok(Self { ring, epoll, _eventfd: eventfd })
    }

    /// Waits for a wake of the word, unless it has changed.
    pub(super) fn wait(&mut self, words: &Words) -> Result<()> {
        self.ring.arm(0, words.mine.clone(), words.seen, MATCH_ANY)?;
        self.ring.submit()?;
        while self.ring.next_completion().is_none() {
            let mut events = [Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }];
            match epoll::wait(&self.epoll, &mut events, None) {
                // The kernel interrupts the call so that this thread posts the completion.
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}
