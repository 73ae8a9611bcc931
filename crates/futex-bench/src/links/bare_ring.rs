//! What the kernel's part of the library costs: an io_uring, its eventfd in an epoll, and a thread, with nothing else.

use super::end::End;
use super::words::Words;
use futex_sys::EventFd;
use futex_sys::futex::MATCH_ANY;
use futex_sys::uring::FutexRing;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

pub(crate) struct BareRing {
    words: Words,
    ring: FutexRing,
    epoll: OwnedFd,
    /// An epoll forgets a descriptor that is closed.
    _eventfd: EventFd,
}

impl BareRing {
    pub(super) fn new(words: Words) -> io::Result<Self> {
        let (ring, eventfd) = (FutexRing::new()?, EventFd::new()?);
        ring.register_eventfd(eventfd.as_fd())?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &eventfd, EventData::new_u64(0), EventFlags::IN | EventFlags::ET)?;
        Ok(Self { words, ring, epoll, _eventfd: eventfd })
    }

    fn sleep(&self) -> io::Result<()> {
        let mut events = [Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }];
        match epoll::wait(&self.epoll, &mut events, None) {
            // The kernel calls the thread back to post the completion.
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl End for BareRing {
    async fn signal(&mut self) -> io::Result<()> {
        self.words.signal();
        Ok(())
    }

    async fn wait(&mut self) -> io::Result<()> {
        while !self.words.changed() {
            self.ring.arm(0, self.words.mine.clone(), self.words.seen, MATCH_ANY)?;
            self.ring.submit()?;
            while self.ring.next_completion().is_none() {
                self.sleep()?;
            }
        }
        Ok(())
    }
}
