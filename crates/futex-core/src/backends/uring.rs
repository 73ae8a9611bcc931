//! `Uring`: the waits are entries of an io_uring, which signals an eventfd. No thread is parked.

use crate::queue::{Completion, Ending, Queue, READY, Ready, Usage};
use arrayvec::ArrayVec;
use futex_sys::__private::explain;
use futex_sys::uring::{self, FutexRing, WaitId};
use futex_sys::{EventFd, Word};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::process::{Resource, getrlimit};
use rustix::time::Timespec;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

/// Number of waits that a ring takes before the next ring is opened.
///
/// A cancel searches the waits of a ring, so it is fast only in a small ring. But each ring costs memory and time to open:
/// `docs/architecture.md` has the measurements, in the section "Shards of rings".
pub(crate) const ROOM: usize = 96;

/// A queue that is an io_uring.
pub(crate) struct Uring {
    ring: FutexRing,
    ready: Arc<ReadyRings>,
}

impl Uring {
    /// Opens a ring that signals `eventfd`, and that can be [watched](Queue::watch) by `ready`.
    pub(crate) fn open(interrupting: bool, eventfd: &EventFd, ready: Arc<ReadyRings>) -> io::Result<Self> {
        let ring = if interrupting { FutexRing::new_interrupting()? } else { FutexRing::new()? };
        ring.register_eventfd(eventfd.as_fd())?;
        Ok(Self { ring, ready })
    }

    /// Returns the maximum number of rings: a quarter of the process's current limit of descriptors. The engine uses the limit
    /// at the time when it is made.
    pub(crate) fn spread() -> usize {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        usize::try_from(limit / 4).unwrap_or(usize::MAX)
    }
}

/// An epoll that reports which rings have completions. The kernel makes a ring readable before it signals the eventfd.
pub(crate) struct ReadyRings {
    epoll: OwnedFd,
}

impl ReadyRings {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|errno| explain(errno, "cannot make an epoll for rings (see `ulimit -n`)"))?;
        Ok(Self { epoll })
    }
}

impl Ready for Arc<ReadyRings> {
    fn take(&self) -> ArrayVec<usize, READY> {
        let mut events = [epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; READY];
        // This call does not block, so a signal can't interrupt it.
        let count = epoll::wait(&self.epoll, &mut events, Some(&Timespec::default())).unwrap_or(0);
        // The fields of the kernel's struct are not aligned, so they are copied out.
        events[..count].iter().filter_map(|event| usize::try_from({ event.data }.u64()).ok()).collect()
    }
}

impl Queue<Word> for Uring {
    fn is_lost(&self) -> bool {
        self.ring.is_lost()
    }

    fn watch(&self, key: usize) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(&self.ready.epoll, &self.ring, EventData::new_u64(key as u64), flags)
            .map_err(|errno| explain(errno, "cannot add a ring to an epoll"))
    }

    fn arm(&mut self, slot: u32, word: Word, expected: u32, mask: NonZeroU32) -> io::Result<u32> {
        self.ring.arm(slot, word, expected, mask).map(u32::from).map_err(not_taken)
    }

    fn submit(&mut self) -> io::Result<bool> {
        self.ring.submit().map_err(not_taken)?;
        Ok(self.ring.has_completions())
    }

    fn cancel(&mut self, handle: u32) -> Option<Completion<Word>> {
        self.ring.cancel(WaitId::from(handle)).ok().map(translate)
    }

    fn reap(&mut self) -> Option<Completion<Word>> {
        self.ring.next_completion().map(translate)
    }

    fn unreaped(&self) -> usize {
        self.ring.unreaped()
    }

    fn close(&mut self, each: &mut dyn FnMut(Completion<Word>)) {
        self.ring.close(|completion| each(translate(completion)));
    }

    fn usage(&self) -> Usage {
        Usage { units: 1, handed_on: 0 }
    }
}

#[cold]
fn not_taken(error: io::Error) -> io::Error {
    explain(error, "cannot hand futex waits to an io_uring")
}

#[cold]
fn refused(error: io::Error) -> io::Error {
    explain(error, "cannot wait on a futex word")
}

#[inline]
fn translate(completion: uring::Completion) -> Completion<Word> {
    let uring::Completion { tag, word, mask, ending: ended, .. } = completion;
    Completion { slot: tag, word, mask, ending: ending(ended) }
}

#[inline]
fn ending(ending: uring::Ending) -> Ending {
    match ending {
        uring::Ending::Woken => Ending::Woken,
        uring::Ending::Mismatch => Ending::Mismatch,
        uring::Ending::Cancelled => Ending::Cancelled,
        uring::Ending::Failed(error) => Ending::Failed(refused(error)),
        // The only other ending is `Lost`: the wait may have been woken. A return without a cause is allowed, a lost wake is not.
        _ => Ending::Woken,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_may_have_been_woken_ends_as_woken() {
        assert!(matches!(ending(uring::Ending::Lost), Ending::Woken));
    }
}
