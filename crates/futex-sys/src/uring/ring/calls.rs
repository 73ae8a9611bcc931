//! The calls of a ring into the kernel, and how they fail in its unit tests.

use super::FutexRing;
#[cfg(test)]
use crate::word::Word;
use io_uring::types::CancelBuilder;
#[cfg(test)]
use rustix::io::Errno;
use std::io;

/// Calls that fail, in the ring's unit tests.
#[cfg(test)]
#[derive(Default)]
pub(super) struct Faults {
    /// `io_uring_enter` fails with this error until it is `None` again.
    pub(super) enter: Option<Errno>,
    /// The cancelling of a wait fails with this error until it is `None` again.
    pub(super) cancel: Option<Errno>,
    /// The kernel dropped completions.
    pub(super) dropped: bool,
    /// One more wait is woken by the time that no thread is posting a completion any more.
    pub(super) late: Option<Word>,
}

impl FutexRing {
    /// Has the kernel post the completions that it kept back because the queue was full. It needs no memory, and submits
    /// nothing, which might.
    #[cold]
    pub(super) fn fetch_overflow(&self) -> io::Result<()> {
        const GETEVENTS: u32 = 1; // IORING_ENTER_GETEVENTS of <linux/io_uring.h>
        // SAFETY: The call has no argument that is an address.
        unsafe { self.ring.submitter().enter::<()>(0, 0, GETEVENTS, None) }.map(drop)
    }

    /// Returns once no thread is posting a completion by what it knew of the queue before this call.
    ///
    /// 1. The queue is full, and the eventfd was signalled for that.
    /// 2. A thread in the kernel, with one more completion, sees that the queue is full.
    /// 3. The caller takes all of the queue, and sees no overflow.
    /// 4. The thread keeps its completion back and sets the flag. It signals no eventfd, nor does any later one, because the
    ///    queue did not grow (`io_eventfd_signal` of Linux 5.19 and later).
    ///
    /// That takes a queue that was full, which nobody has emptied without taking as many completions as it holds. The kernel
    /// posts under the lock of the ring that this call takes too, so afterwards the flag is set, or a completion finds room.
    #[cold]
    pub(super) fn await_posting(&mut self) {
        self.taken = 0;
        #[cfg(test)]
        if let Some(word) = self.faults.late.take() {
            word.wake(1);
        }
        // It fails, since the ring is enabled.
        let _ = self.ring.submitter().register_enable_rings();
    }

    #[inline]
    pub(super) fn kernel_enter(&self, want: usize) -> io::Result<usize> {
        #[cfg(test)]
        if let Some(errno) = self.faults.enter {
            return Err(errno.into());
        }
        self.ring.submit_and_wait(want)
    }

    /// `IORING_REGISTER_SYNC_CANCEL`, whose result is that of the cancel: `ENOENT` if the wait was woken, or is gone. It
    /// needs no room in the queues and no memory.
    pub(super) fn kernel_cancel(&self, key: u32) -> io::Result<()> {
        #[cfg(test)]
        if let Some(errno) = self.faults.cancel {
            return Err(errno.into());
        }
        self.ring.submitter().register_sync_cancel(None, CancelBuilder::user_data(u64::from(key)))
    }

    /// True if completions were dropped: the kernel counts those that it had no memory to keep.
    #[inline]
    pub(super) fn has_lost(&mut self) -> bool {
        #[cfg(test)]
        if self.faults.dropped {
            return true;
        }
        self.lost.is_some() || self.ring.completion().overflow() > 0
    }
}
