//! The ring.
#![expect(unsafe_code, reason = "submission entries hold raw addresses")]

use super::{Completion, Ending, no_futexes};
use crate::error::{explain, refuse};
use crate::{Origin, Word};
use io_uring::squeue::Flags;
use io_uring::{IoUring, Probe, opcode, squeue, types};
use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

/// Submission queue entries of a ring. The number of waits is not bound to it (measured: 100,000 waits on a ring of 128).
const SQ_ENTRIES: u32 = 64;
/// Completion queue entries. More completions than this are kept by the kernel (`IORING_FEAT_NODROP`).
const CQ_ENTRIES: u32 = 128;
/// Up to so many waits a ring's memory grows by quarters of it, then by doubling.
const FEW: usize = 96;
/// `FUTEX2_SIZE_U32` of <linux/futex.h>: a 32-bit word, shared. No other flag is set: the private flag would hide the
/// wait from other processes, and the NUMA flags from a plain `FUTEX_WAKE`.
const FUTEX2_SIZE_U32: u32 = 2;
/// What the completions of cancel requests carry. Identifiers of waits are 32 bits wide, so none is equal.
const CANCEL: u64 = u64::MAX;

/// An io_uring for futex waits only.
///
/// The ring owns the [`Word`] of every wait until its completion, so it never waits on freed memory, and the caller finds
/// a wait by its `id`: a small number of the caller's, like the key of a slab, since the ring's memory grows with the
/// largest.
///
/// Any thread may arm and cancel; a completion is posted by the thread that submitted the wait, in the kernel and
/// wherever that thread is.
///
/// A dropped ring [closes](FutexRing::close) itself and hands on the wakes that its waits had consumed.
///
/// # Examples
///
/// ```
/// use futex_sys::uring::{Ending, FutexRing};
/// use futex_sys::{Word, futex::MATCH_ANY};
/// use std::sync::{Arc, atomic::AtomicU32};
///
/// let Ok(mut ring) = FutexRing::new() else { return }; // no io_uring here
/// let word = Word::from(Arc::new(AtomicU32::new(0)));
///
/// ring.arm(0, word.clone(), 0, MATCH_ANY).unwrap();
/// ring.submit().unwrap();
/// assert_eq!(word.wake(1), 1);
///
/// ring.wait().unwrap();
/// let completion = ring.next_completion().unwrap();
/// assert!(matches!(completion.ending, Ending::Woken));
/// ```
pub struct FutexRing {
    ring: IoUring,
    /// The waits that have no completion yet, by identifier.
    waits: Vec<Option<Armed>>,
    pending: usize,
    /// Entries that the kernel has not been handed.
    unsubmitted: usize,
    /// Completions were lost, so all waits were cancelled. Nothing is armed any more.
    lost: bool,
    origin: Origin,
}

struct Armed {
    word: Word,
    mask: NonZeroU32,
}

impl FutexRing {
    /// Opens a ring and checks that the kernel has the operations.
    ///
    /// # Errors
    ///
    /// `EPERM` where seccomp or `kernel.io_uring_disabled` forbids io_uring, `ENOSYS` where there is none, `ENOMEM` where
    /// `RLIMIT_MEMLOCK` is used up, `EMFILE`, and kind `Unsupported` before Linux 6.7.
    pub fn new() -> io::Result<Self> {
        // Default flags but for these: with DEFER_TASKRUN the ring is never readable for a poller in another thread, with
        // COOP_TASKRUN a completion waits for the next tick of a computing thread, with SINGLE_ISSUER only one thread
        // may arm. (All measured on 6.18.)
        let ring =
            IoUring::builder().setup_submit_all().setup_cqsize(CQ_ENTRIES).build(SQ_ENTRIES).map_err(|error| {
                match error.kind() {
                    io::ErrorKind::InvalidInput => no_futexes(), // SUBMIT_ALL is of Linux 5.18
                    _ => explain(error, "cannot open an io_uring"),
                }
            })?;

        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe).map_err(|error| explain(error, "cannot probe io_uring"))?;
        let supported = probe.is_supported(opcode::FutexWait::CODE) && probe.is_supported(opcode::AsyncCancel::CODE);
        if !supported || !ring.params().is_feature_nodrop() {
            return Err(no_futexes());
        }
        Ok(Self { ring, waits: Vec::new(), pending: 0, unsubmitted: 0, lost: false, origin: Origin::here() })
    }

    /// Has `eventfd` signalled for every completion from now on. Several rings may share one.
    ///
    /// # Errors
    ///
    /// `EBUSY` where the ring has one already, `EINVAL` where the descriptor is not an eventfd.
    pub fn register_eventfd(&self, eventfd: BorrowedFd<'_>) -> io::Result<()> {
        self.check_origin()?;
        self.ring
            .submitter()
            .register_eventfd(eventfd.as_raw_fd())
            .map_err(|error| explain(error, "cannot register an eventfd with an io_uring"))
    }

    /// Queues a wait on `word` while it is `expected`, for wakes whose mask shares a bit with `mask`. The kernel sees it
    /// with the next [`submit`](FutexRing::submit).
    ///
    /// # Errors
    ///
    /// `InvalidInput` where a wait with this `id` is pending. Those of [`submit`](FutexRing::submit) where the queue was
    /// full. The wait is not queued then.
    #[inline]
    pub fn arm(&mut self, id: u32, word: Word, expected: u32, mask: NonZeroU32) -> io::Result<()> {
        self.check()?;
        let index = id as usize;
        if self.waits.len() <= index {
            if index < FEW && self.waits.capacity() <= index {
                self.waits.reserve_exact(FEW / 4); // many rings with few waits each are the rule
            }
            self.waits.resize_with(index + 1, || None);
        }
        if self.waits[index].is_some() {
            return Err(refuse(format!("a wait with the identifier {id} is pending on this ring: take another")));
        }
        let entry = opcode::FutexWait::new(
            word.as_ptr(),
            u64::from(expected),
            u64::from(mask.get()), // zero-extended: a sign-extended mask gives EINVAL
            FUTEX2_SIZE_U32,
        )
        .build()
        .user_data(u64::from(id));
        // SAFETY: The entry's one address is that of `word`, which the ring keeps until the wait's completion.
        unsafe { self.push(&entry)? };
        self.waits[index] = Some(Armed { word, mask });
        self.pending += 1;
        Ok(())
    }

    /// Queues the cancelling of a wait. Its own completion tells who won: [`Ending::Woken`] where a wake had, and
    /// [`Ending::Cancelled`] where not. It may come later than [`submit`](FutexRing::submit) returns, when the thread that
    /// submitted the wait next enters or leaves the kernel.
    ///
    /// The kernel searches the ring's waits one by one, the newest first, so cancelling is slow on a ring with many.
    ///
    /// # Errors
    ///
    /// Those of [`submit`](FutexRing::submit) where the queue was full.
    pub fn cancel(&mut self, id: u32) -> io::Result<()> {
        self.check_origin()?;
        let entry = opcode::AsyncCancel::new(u64::from(id)).build().user_data(CANCEL).flags(Flags::SKIP_SUCCESS);
        // SAFETY: The entry has no address.
        unsafe { self.push(&entry) }
    }

    /// Hands all that is queued to the kernel. A wait whose word differs has its completion when this returns.
    ///
    /// # Errors
    ///
    /// `EAGAIN` or `ENOMEM` where the kernel has no memory. What was not taken stays queued, for the next call.
    #[inline]
    pub fn submit(&mut self) -> io::Result<()> {
        self.check()?; // what is queued may be a wait that was ended, with its word gone
        loop {
            match self.ring.submit() {
                Ok(submitted) => {
                    self.unsubmitted = self.unsubmitted.saturating_sub(submitted);
                    if self.unsubmitted == 0 {
                        return Ok(());
                    }
                    if submitted == 0 {
                        return Err(explain(rustix::io::Errno::AGAIN, "the kernel took no entry of an io_uring"));
                    }
                }
                Err(error) => self.absorb(error)?,
            }
        }
    }

    /// Blocks until a completion waits, if any is due.
    ///
    /// Where waits were cancelled it may return early, with nothing for [`next_completion`](FutexRing::next_completion)
    /// yet: the kernel's answer to a cancel that came too late ends it as well.
    ///
    /// # Errors
    ///
    /// Those of [`submit`](FutexRing::submit).
    pub fn wait(&mut self) -> io::Result<()> {
        self.check_origin()?;
        while self.pending > 0 && !self.has_lost() && self.ring.completion().is_empty() {
            match self.ring.submit_and_wait(1) {
                Ok(submitted) => self.unsubmitted = self.unsubmitted.saturating_sub(submitted),
                Err(error) => self.absorb(error)?,
            }
        }
        Ok(())
    }

    /// The next completion that waits; `None` where none does. Completions that the kernel kept back because the queue was
    /// full are fetched.
    pub fn next_completion(&mut self) -> Option<Completion> {
        if !self.origin.is_here() {
            return None;
        }
        loop {
            let mut queue = self.ring.completion();
            let Some(entry) = queue.next() else {
                let has_lost = self.lost || queue.overflow() > 0;
                drop(queue);
                // The kernel keeps what overflows until an enter asks for it.
                if self.ring.submission().cq_overflow() && self.submit().is_ok() {
                    continue;
                }
                if !has_lost {
                    return None;
                }
                if self.lost {
                    return self.next_lost();
                }
                self.give_up();
                continue;
            };
            drop(queue);
            // The result of a cancel request: the wait's own completion tells the same.
            let Ok(id) = u32::try_from(entry.user_data()) else { continue };
            let Some(armed) = self.waits.get_mut(id as usize).and_then(Option::take) else {
                debug_assert!(self.lost, "a completion for the wait {id}, which is not pending");
                continue;
            };
            self.pending -= 1;
            return Some(Completion { id, word: armed.word, mask: armed.mask, ending: ending(entry.result()) });
        }
    }

    /// Whether completions wait for [`next_completion`](FutexRing::next_completion).
    #[must_use]
    #[inline]
    pub fn has_completions(&mut self) -> bool {
        let queue = self.ring.completion();
        !queue.is_empty() || queue.overflow() > 0 || self.lost
    }

    /// How many waits have no completion yet.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Whether the kernel lost completions, so that the ring takes no more waits.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Whether something is queued that the kernel has not been handed yet.
    #[must_use]
    #[inline]
    pub fn has_unsubmitted(&self) -> bool {
        self.unsubmitted > 0 && !self.lost
    }

    /// Cancels all waits and gives each one's completion to `each`.
    ///
    /// It blocks until the last one is there, which takes as long as the threads that submitted the waits need to enter or
    /// leave the kernel (measured: less than 0.1 ms). A ring that went without it would leave waiters in the kernel that
    /// swallow wakes (measured: 14 of 50).
    pub fn close(&mut self, mut each: impl FnMut(Completion)) {
        if !self.origin.is_here() {
            return; // The ring belongs to the process that made it, which goes on with it.
        }
        while self.pending > 0 {
            // What is queued has to be in the kernel before it can be cancelled. An error here is want of memory, and the
            // next turn of the loop tries again.
            let _ = self.submit();
            // `ENOENT`: nothing left to cancel, the completions are on their way.
            let _ = self.ring.submitter().register_sync_cancel(None, types::CancelBuilder::any());
            while let Some(completion) = self.next_completion() {
                each(completion);
            }
            match self.wait().map_err(|error| error.kind()) {
                Ok(()) => {}
                Err(io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory | io::ErrorKind::ResourceBusy) => {
                    std::thread::yield_now();
                }
                // A sandbox was closed behind the ring, or its descriptor closed by force: there is no way to the kernel
                // any more, which ends the waits by itself once the ring is gone.
                Err(_) => self.lost = true,
            }
        }
    }

    /// # Safety
    ///
    /// The addresses in `entry` are valid until its completion.
    unsafe fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: The caller's promise.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.submit()?; // it takes all, or fails
        }
        self.unsubmitted += 1;
        Ok(())
    }

    /// Absorbs the errors of `io_uring_enter` that are none.
    fn absorb(&mut self, error: io::Error) -> io::Result<()> {
        match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::INTR) => Ok(()),
            // The completion queue dropped entries, io_uring_enter(2). `has_lost` tells.
            Some(rustix::io::Errno::BADR) => Ok(()),
            _ => Err(explain(error, "cannot hand futex waits to an io_uring")),
        }
    }

    /// Whether completions were lost: the kernel counts those that it had no memory to keep.
    fn has_lost(&mut self) -> bool {
        self.lost || self.ring.completion().overflow() > 0
    }

    /// Cancels all waits of a ring that lost completions, since it is not known any more which of them are armed.
    fn give_up(&mut self) {
        // As in `close`. What stays queued here is never handed over.
        let _ = self.submit();
        let _ = self.ring.submitter().register_sync_cancel(None, types::CancelBuilder::any());
        self.lost = true;
    }

    /// Ends a wait of a ring that lost completions and has no others.
    fn next_lost(&mut self) -> Option<Completion> {
        let (index, armed) =
            self.waits.iter_mut().enumerate().find_map(|(index, armed)| Some((index, armed.take()?)))?;
        self.pending -= 1;
        Some(Completion {
            id: u32::try_from(index).unwrap_or(u32::MAX),
            word: armed.word,
            mask: armed.mask,
            ending: Ending::Lost,
        })
    }

    /// Whether the ring takes calls.
    #[inline]
    fn check(&self) -> io::Result<()> {
        self.check_origin()?;
        if self.lost { Err(gave_up()) } else { Ok(()) }
    }

    #[inline]
    fn check_origin(&self) -> io::Result<()> {
        if self.origin.is_here() { Ok(()) } else { Err(forked()) }
    }
}

#[cold]
fn gave_up() -> io::Error {
    io::Error::other("this io_uring lost completions and takes no more waits: open another one")
}

#[cold]
fn forked() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "this io_uring belongs to the process that this one was forked from: open another one here",
    )
}

/// What the kernel's result for a futex wait means.
fn ending(result: i32) -> Ending {
    if result >= 0 {
        return Ending::Woken;
    }
    match rustix::io::Errno::from_raw_os_error(-result) {
        rustix::io::Errno::AGAIN => Ending::Mismatch,
        rustix::io::Errno::CANCELED => Ending::Cancelled,
        errno => Ending::Failed(explain(errno, "the kernel can't wait on the futex word")),
    }
}

impl Drop for FutexRing {
    fn drop(&mut self) {
        self.close(|completion| {
            if matches!(completion.ending, Ending::Woken | Ending::Lost) {
                completion.word.wake_masked(1, completion.mask);
            }
        });
    }
}

impl AsFd for FutexRing {
    /// Readable while completions wait.
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: The ring owns the descriptor and closes it when dropped, which is after the borrow.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }
    }
}

impl fmt::Debug for FutexRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FutexRing").field("fd", &self.ring.as_raw_fd()).field("pending", &self.pending).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::futex::MATCH_ANY;
    use std::sync::{Arc, atomic::AtomicU32};

    #[test]
    fn a_ring_that_lost_completions_ends_every_wait_and_takes_no_more() {
        let Ok(mut ring) = FutexRing::new() else { return eprintln!("SKIPPED: no futexes in this io_uring") };
        let word = Word::from(Arc::new(AtomicU32::new(0)));
        for id in 0..3 {
            ring.arm(id, word.clone(), 0, MATCH_ANY).unwrap();
        }
        ring.submit().unwrap();
        ring.arm(3, word.clone(), 0, MATCH_ANY).unwrap();

        ring.give_up(); // the kernel's counter can't be raised from here
        assert_eq!(word.wake(u32::MAX), 0);
        let mut ended: Vec<_> = std::iter::from_fn(|| ring.next_completion()).collect();
        ended.sort_by_key(|completion| completion.id);
        assert_eq!(ended.iter().map(|completion| completion.id).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(ended.iter().all(|completion| matches!(completion.ending, Ending::Cancelled | Ending::Lost)));

        let refusals = [ring.arm(9, word.clone(), 0, MATCH_ANY), ring.submit()];
        for refusal in refusals {
            assert_eq!(
                refusal.unwrap_err().to_string(),
                "this io_uring lost completions and takes no more waits: open another one"
            );
        }
    }
}
