//! The system calls of a ring, and their injected failures in unit tests.

use super::FutexRing;
#[cfg(test)]
use crate::word::Word;
use io_uring::types::CancelBuilder;
#[cfg(test)]
use rustix::io::Errno;
use std::io;

/// Injected failures, for unit tests.
#[cfg(test)]
#[derive(Default)]
pub(super) struct Faults {
    /// Error with which `io_uring_enter` fails until this is `None` again.
    pub(super) enter: Option<Errno>,
    /// Error with which cancelling a wait fails until this is `None` again.
    pub(super) cancel: Option<Errno>,
    /// True if the kernel is to have dropped completions.
    pub(super) dropped: bool,
    /// Word of a wait that is woken during the next [`await_posting`](FutexRing::await_posting).
    pub(super) late: Option<Word>,
}

impl FutexRing {
    /// Makes the kernel post the completions that it kept back because the queue was full. This submits nothing, because a
    /// submission can fail for lack of memory.
    #[cold]
    pub(super) fn fetch_overflow(&self) -> io::Result<()> {
        const GETEVENTS: u32 = 1; // IORING_ENTER_GETEVENTS of <linux/io_uring.h>
        // SAFETY: No argument of the call is an address.
        unsafe { self.ring.submitter().enter::<()>(0, 0, GETEVENTS, None) }.map(drop)
    }

    /// Waits until no thread in the kernel uses a state of the queue from before this call. It prevents this race:
    ///
    /// 1. The queue is full, and the kernel has signalled the eventfd.
    /// 2. A thread in the kernel has one more completion, and finds that the queue is full.
    /// 3. The caller takes all completions of the queue, and finds no overflow flag.
    /// 4. The thread keeps its completion back and sets the overflow flag. Neither this thread nor a later one signals the
    ///    eventfd, because the queue has not grown (`io_eventfd_signal` of Linux 5.19 and later).
    ///
    /// The race needs a full queue, so the caller has taken as many completions as the queue holds. The kernel posts
    /// completions under a lock of the ring, and the system call here takes the same lock. So after this call, the flag of step
    /// 4 is set, or the thread of step 2 finds room in the queue.
    #[cold]
    pub(super) fn await_posting(&mut self) {
        self.taken = 0;
        #[cfg(test)]
        if let Some(word) = self.faults.late.take() {
            word.wake(1);
        }
        // The call always fails, because the ring is enabled already. It still takes the lock.
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

    /// `IORING_REGISTER_SYNC_CANCEL`. It fails with `ENOENT` if the wait was woken or has ended otherwise. The call needs no room
    /// in the queues and no memory.
    pub(super) fn kernel_cancel(&self, key: u32) -> io::Result<()> {
        #[cfg(test)]
        if let Some(errno) = self.faults.cancel {
            return Err(errno.into());
        }
        self.ring.submitter().register_sync_cancel(None, CancelBuilder::user_data(u64::from(key)))
    }

    /// Returns true if the kernel dropped completions. The kernel counts the completions for which it had no memory.
    #[inline]
    pub(super) fn has_lost(&mut self) -> bool {
        #[cfg(test)]
        if self.faults.dropped {
            return true;
        }
        self.lost.is_some() || self.ring.completion().overflow() > 0
    }
}
