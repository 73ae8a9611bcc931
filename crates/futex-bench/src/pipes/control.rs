//! How many messages are wanted: the producers rest between the consumer's turns.

use futex_tokio::{SharedMemory, Word};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::Ordering;

/// Shared memory whose first word counts the messages that each producer is to have sent.
pub(crate) struct Control {
    pub(super) memory: SharedMemory,
    pub(super) wanted: Word,
}

impl Control {
    pub(super) fn create(len: usize) -> io::Result<Self> {
        Self::of(SharedMemory::anonymous(len)?)
    }

    pub(super) fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        Self::of(SharedMemory::from_fd(fd)?)
    }

    fn of(memory: SharedMemory) -> io::Result<Self> {
        Ok(Self { wanted: memory.word(0)?, memory })
    }

    pub(super) fn fd(&self) -> io::Result<OwnedFd> {
        self.memory.as_fd().try_clone_to_owned()
    }

    /// Has each producer send so many more.
    pub(crate) fn want(&self, more: u32) {
        self.wanted.fetch_add(more, Ordering::Release);
        self.wanted.wake(u32::MAX);
    }

    /// Blocks until more than `sent` are wanted, and tells how many.
    pub(super) fn more_than(&self, sent: u32) -> io::Result<u32> {
        loop {
            let wanted = self.wanted.load(Ordering::Acquire);
            if wanted > sent {
                return Ok(wanted);
            }
            self.wanted.wait(wanted, None)?;
        }
    }

    /// Calls `send` for each message that is wanted, for ever.
    #[cfg(any(feature = "ipc-channel", feature = "iceoryx2"))]
    pub(super) fn send_each(&self, mut send: impl FnMut(u32) -> io::Result<()>) -> io::Result<()> {
        let mut sent = 0;
        loop {
            let wanted = self.more_than(sent)?;
            while sent < wanted {
                send(sent)?;
                sent += 1;
            }
        }
    }
}
