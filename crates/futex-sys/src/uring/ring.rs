//! The ring.
#![expect(unsafe_code, reason = "submission entries hold raw addresses")]

mod calls;

#[cfg(test)]
use self::calls::Faults;
use super::{Completion, Ending, WaitId, no_futexes};
use crate::error::{explain, fail, refuse};
use crate::futex::MATCH_ANY;
use crate::origin::Origin;
use crate::word::Word;
use io_uring::{IoUring, opcode};
use rustix::io::Errno;
use slab::Slab;
use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU32;

/// Submission queue entries of a ring. The number of waits is not bound to it (measured: 100,000 waits on a ring of 128).
const SQ_ENTRIES: u32 = 64;
/// Completion queue entries. More completions than this are kept by the kernel (`IORING_FEAT_NODROP`).
const CQ_ENTRIES: u32 = 128;
/// Up to this number of waits a ring's memory grows by quarters of it, then by doubling.
const FEW: usize = 96;
/// `FUTEX2_SIZE_U32` of <linux/futex.h>: a 32-bit word, shared. No other flag is set: the private flag would hide the
/// wait from other processes, and the NUMA flags from a plain `FUTEX_WAKE`.
const FUTEX2_SIZE_U32: u32 = 2;

/// An io_uring for futex waits only.
///
/// The ring owns the [`Word`] of every wait until the wait has ended, so it never waits on freed memory. It chooses the
/// identifiers of its waits, and a wait carries a `tag` of the caller's, which its [`Completion`] gives back.
///
/// Any thread may arm and cancel. A completion is posted by the thread that submitted the wait: at once if that thread
/// sleeps in an interruptible system call, otherwise when it next enters the kernel, and at the latest at the next tick
/// of the clock if it computes (`IORING_SETUP_COOP_TASKRUN`; [`new_interrupting`](FutexRing::new_interrupting) opens a
/// ring without it). [`cancel`](FutexRing::cancel) and [`close`](FutexRing::close) do not wait for that thread.
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
/// ring.arm(7, word.clone(), 0, MATCH_ANY).unwrap();
/// ring.submit().unwrap();
/// assert_eq!(word.wake(1), 1);
///
/// ring.wait().unwrap();
/// let completion = ring.next_completion().unwrap();
/// assert!(matches!(completion.ending, Ending::Woken));
/// assert_eq!(completion.tag, Some(7));
/// ```
pub struct FutexRing {
    ring: IoUring,
    /// The waits whose completion was not taken yet. The key is the identifier, and the `user_data` of the entry.
    waits: Slab<Wait>,
    /// Number of waits that ended for the caller before their completion was taken: those without a word, and `withdrawn`.
    ended: usize,
    /// Those of them whose completion gives the word back: waits that were cancelled before they were submitted, or while the
    /// kernel refused to cancel them.
    withdrawn: Vec<Withdrawn>,
    /// Entries that the kernel has not been handed, in order.
    queued: Vec<u32>,
    /// Number of completions that were taken since [`await_posting`](FutexRing::await_posting).
    taken: u32,
    /// `Some` after the kernel dropped completions: the waits that are still to end as [`Ending::Lost`]. No more are armed.
    lost: Option<Vec<u32>>,
    origin: Origin,
    #[cfg(test)]
    faults: Faults,
}

/// A wait that ended for the caller, and that the kernel may still get, or have.
#[derive(Clone, Copy)]
struct Withdrawn {
    key: u32,
    /// True if the kernel has cancelled it since.
    cancelled: bool,
}

struct Wait {
    /// `None` if the wait's completion only frees the identifier.
    word: Option<Word>,
    mask: NonZeroU32,
    tag: u32,
}

impl FutexRing {
    /// Opens a ring, and checks with a real wait and a real cancel that the kernel lets this process use it.
    ///
    /// Completions do not interrupt the thread that armed the wait (`IORING_SETUP_COOP_TASKRUN`).
    ///
    /// # Errors
    ///
    /// `EPERM` if seccomp or `kernel.io_uring_disabled` forbids io_uring, `ENOSYS` if there is none, `ENOMEM` if
    /// `RLIMIT_MEMLOCK` is used up (see `ulimit -l`), `EMFILE`, `EACCES` if a sandbox forbids the operation (Linux 7.0),
    /// and kind `Unsupported` before Linux 6.7.
    pub fn new() -> io::Result<Self> {
        // With DEFER_TASKRUN the ring is never readable for a poller in another thread, and with SINGLE_ISSUER only one
        // thread may arm. (Both measured on 6.18.)
        Self::open(IoUring::builder().setup_coop_taskrun())
    }

    /// Opens a ring whose completions interrupt the thread that armed the wait, also while it computes.
    ///
    /// It costs an inter-processor interrupt per completion for a thread that runs (measured: 40 % of all processor time
    /// of a pipe under load, on a virtual machine with two processors and Linux 6.18).
    ///
    /// # Errors
    ///
    /// Those of [`new`](FutexRing::new).
    pub fn new_interrupting() -> io::Result<Self> {
        Self::open(&mut IoUring::builder())
    }

    fn open(builder: &mut io_uring::Builder) -> io::Result<Self> {
        let ring = builder.setup_submit_all().setup_cqsize(CQ_ENTRIES).build(SQ_ENTRIES).map_err(|error| {
            let hint = match error.kind() {
                io::ErrorKind::InvalidInput => return no_futexes(), // SUBMIT_ALL is of Linux 5.18
                io::ErrorKind::OutOfMemory => {
                    ", whose memory counts against the user's limit of locked memory (see `ulimit -l`)"
                }
                io::ErrorKind::PermissionDenied => {
                    ", which the sandbox (seccomp) or the system (kernel.io_uring_disabled) forbids"
                }
                _ if is(&error, Errno::MFILE) => ", because the process has no descriptor left (see `ulimit -n`)",
                _ => "",
            };
            explain(error, format!("cannot open an io_uring{hint}"))
        })?;
        if !ring.params().is_feature_nodrop() {
            return Err(no_futexes());
        }
        let mut ring = Self {
            ring,
            waits: Slab::new(),
            ended: 0,
            withdrawn: Vec::new(),
            queued: Vec::new(),
            taken: 0,
            lost: None,
            origin: Origin::here(),
            #[cfg(test)]
            faults: Faults::default(),
        };
        ring.try_out()?;
        Ok(ring)
    }

    /// Waits on a word that differs, and cancels a wait. A kernel or a sandbox that lets the ring be made may still refuse
    /// its operations.
    fn try_out(&mut self) -> io::Result<()> {
        static WORD: AtomicU32 = AtomicU32::new(0);
        self.arm(0, Word::from(&WORD), 1, MATCH_ANY)?;
        self.submit()?;
        match self.next_completion().map(|completion| completion.ending) {
            Some(Ending::Mismatch) => {}
            Some(Ending::Failed(error)) if error.kind() == io::ErrorKind::InvalidInput => return Err(no_futexes()),
            Some(Ending::Failed(error)) => return Err(explain(error, "an io_uring can't wait on a futex word here")),
            _ => return Err(no_futexes()),
        }
        let id = self.arm(0, Word::from(&WORD), 0, MATCH_ANY)?;
        self.submit()?;
        self.kernel_cancel(id.0).map_err(|error| explain(error, "cannot cancel a futex wait of an io_uring"))?;
        self.wait()?;
        match self.next_completion().map(|completion| completion.ending) {
            Some(Ending::Cancelled) => Ok(()),
            _ => Err(no_futexes()),
        }
    }

    /// Has `eventfd` signalled for every completion from now on. Several rings may share one.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the ring has one already, `EINVAL` if the descriptor is not an eventfd.
    pub fn register_eventfd(&self, eventfd: BorrowedFd<'_>) -> io::Result<()> {
        self.check_origin()?;
        self.ring
            .submitter()
            .register_eventfd(eventfd.as_raw_fd())
            .map_err(|error| explain(error, "cannot register an eventfd with an io_uring"))
    }

    /// Queues a wait on `word` while it is `expected`, for wakes whose mask shares a bit with `mask`. The kernel gets it
    /// with the next [`submit`](FutexRing::submit).
    ///
    /// `tag` is a number of the caller's, which the wait's completion carries.
    ///
    /// # Errors
    ///
    /// Those of [`submit`](FutexRing::submit), if the queue was full. The wait is not queued then.
    #[inline]
    pub fn arm(&mut self, tag: u32, word: Word, expected: u32, mask: NonZeroU32) -> io::Result<WaitId> {
        self.check()?;
        let id = self.waits.vacant_key() as u32; // 2^32 waits do not fit in memory
        let entry = opcode::FutexWait::new(
            word.as_ptr(),
            u64::from(expected),
            u64::from(mask.get()), // zero-extended: a sign-extended mask gives EINVAL
            FUTEX2_SIZE_U32,
        )
        .build()
        .user_data(u64::from(id));
        // SAFETY: The entry's one address is that of `word`. The ring keeps the word until the kernel has answered that the
        // wait is over, or was never handed over (see `Wait::word` and `withdrawn`).
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            self.submit()?; // it takes all, or fails
        }
        self.queued.push(id);
        if self.waits.len() < FEW && self.waits.capacity() == self.waits.len() {
            self.waits.reserve_exact(FEW / 4); // most rings have few waits
        }
        self.waits.insert(Wait { word: Some(word), mask, tag });
        Ok(WaitId(id))
    }

    /// Hands all that is queued to the kernel. A wait whose word differs has its completion when this returns.
    ///
    /// # Errors
    ///
    /// `EAGAIN` or `ENOMEM` if the kernel has no memory. What was not taken stays queued for the next call; a caller that
    /// gives up [cancels](FutexRing::cancel) it.
    #[inline]
    pub fn submit(&mut self) -> io::Result<()> {
        self.check()?;
        while !self.queued.is_empty() {
            self.enter(0)?;
        }
        Ok(())
    }

    /// Ends a wait at once, and returns its completion: [`Ending::Woken`] if a wake was faster (or, rarely, may have been:
    /// the kernel had ended the wait by itself), and [`Ending::Cancelled`] if not. The wait's word is free then.
    ///
    /// It does not depend on the thread that armed the wait, which may compute or sleep (measured: 16 µs while that
    /// thread slept in `vfork`). The kernel searches the ring's waits one by one, the newest first, so cancelling is slow
    /// on a ring with many.
    ///
    /// In two cases the kernel gets the wait later, or keeps it:
    ///
    /// - The wait was not submitted yet. The kernel gets it with the next [`submit`](FutexRing::submit), which cancels it there.
    /// - The kernel refuses to cancel it, because a sandbox was closed behind the ring. The wait stays in the kernel
    ///   until a wake finds it, or a later call cancels it.
    ///
    /// Such a wait has another completion, without a tag. It says whether a wake found the wait, and gives the word back.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if no wait has this identifier, because its completion was taken or it was cancelled before.
    /// `Unsupported` in a fork of the process that made the ring.
    pub fn cancel(&mut self, id: WaitId) -> io::Result<Completion> {
        self.check_origin()?;
        let key = id.0;
        if self.waits.get(key as usize).is_none_or(|wait| wait.word.is_none()) || self.is_withdrawn(key) {
            return Err(ended(id));
        }
        // A wait that the kernel may still get, or have, is not gone: its completion gives the word back.
        let (ending, is_gone) = if self.queued.contains(&key) {
            (Ending::Cancelled, false)
        } else {
            match self.kernel_cancel(key) {
                Ok(()) => (Ending::Cancelled, true),
                Err(error) if is(&error, Errno::NOENT) => (Ending::Woken, true),
                Err(_) => (Ending::Cancelled, false), // if a wake finds it all the same, its completion tells
            }
        };
        let wait = &mut self.waits[key as usize];
        let (tag, mask) = (Some(wait.tag), wait.mask);
        self.ended += 1;
        let word = if is_gone {
            wait.word.take()
        } else {
            self.withdrawn.push(Withdrawn { key, cancelled: false });
            wait.word.clone()
        };
        let Some(word) = word else { return Err(ended(id)) }; // not reached: a wait that is pending has its word
        Ok(Completion { id, tag, word, mask, ending })
    }

    /// Blocks the thread until [`next_completion`](FutexRing::next_completion) has one, if any wait is pending.
    ///
    /// After a cancel it may return early, without a completion.
    ///
    /// # Errors
    ///
    /// Those of [`submit`](FutexRing::submit).
    pub fn wait(&mut self) -> io::Result<()> {
        self.check_origin()?;
        while self.pending() > 0 && !self.has_completions() {
            self.enter(1)?;
        }
        Ok(())
    }

    /// Takes the next completion, without blocking. `None` if there is none yet. Completions that the kernel kept back because
    /// the queue was full are fetched.
    pub fn next_completion(&mut self) -> Option<Completion> {
        if !self.origin.is_here() {
            return None;
        }
        loop {
            let mut queue = self.ring.completion();
            let Some(entry) = queue.next() else {
                drop(queue);
                if self.taken >= CQ_ENTRIES {
                    self.await_posting();
                    continue;
                }
                if self.ring.submission().cq_overflow() && self.fetch_overflow().is_ok() {
                    continue;
                }
                return if self.has_lost() { self.next_lost() } else { None };
            };
            drop(queue);
            self.taken += 1;
            if let Some(completion) = self.complete(entry.user_data(), entry.result()) {
                return Some(completion);
            }
        }
    }

    /// Takes the kernel's answer for a wait. `None` if it only frees the identifier.
    #[inline]
    fn complete(&mut self, user_data: u64, result: i32) -> Option<Completion> {
        let key = user_data as usize;
        let Some(Wait { word, mask, tag }) = self.waits.try_remove(key) else {
            debug_assert!(self.lost.is_some(), "a completion for the wait {user_data}, which is not pending");
            return None;
        };
        let is_withdrawn = self.is_withdrawn(key as u32);
        if is_withdrawn {
            self.withdrawn.retain(|withdrawn| withdrawn.key as usize != key);
        }
        self.ended -= usize::from(is_withdrawn || word.is_none());
        let tag = (!is_withdrawn).then_some(tag);
        Some(Completion { id: WaitId(key as u32), tag, word: word?, mask, ending: ending(result) })
    }

    /// Returns true if there are completions for [`next_completion`](FutexRing::next_completion).
    #[must_use]
    #[inline]
    pub fn has_completions(&mut self) -> bool {
        !self.ring.completion().is_empty() || self.has_lost()
    }

    /// Number of waits that have not ended.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.waits.len() - self.ended
    }

    /// Number of waits that have ended, and whose identifier the kernel has not given back yet. 0 after the kernel dropped
    /// completions, since nothing is sure to come.
    #[must_use]
    #[inline]
    pub fn unreaped(&self) -> usize {
        if self.is_lost() { 0 } else { self.ended }
    }

    /// Returns true after the kernel dropped completions: the ring takes no more waits.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// Returns true if something is queued that was not handed to the kernel yet.
    #[must_use]
    #[inline]
    pub fn has_unsubmitted(&self) -> bool {
        !self.queued.is_empty()
    }

    /// Ends all waits, and gives each one's completion to `each`.
    ///
    /// It does not wait for the threads that armed them. A ring that is dropped closes itself and hands on the wakes that its
    /// waits had consumed; without that, waiters would stay in the kernel and swallow wakes (measured: 14 of 50).
    pub fn close(&mut self, mut each: impl FnMut(Completion)) {
        if !self.origin.is_here() {
            return; // The ring belongs to the process that made it, which goes on with it.
        }
        while let Some(completion) = self.next_completion() {
            each(completion);
        }
        // Higher identifiers are mostly those of newer waits, which the kernel finds first.
        for key in self.keys().into_iter().rev() {
            if let Ok(completion) = self.cancel(WaitId(key)) {
                each(completion);
            }
        }
        self.cancel_withdrawn();
        for Withdrawn { key, cancelled } in self.withdrawn.clone() {
            if cancelled || self.queued.contains(&key) {
                continue; // no wake found it
            }
            let Wait { word, mask, .. } = &mut self.waits[key as usize];
            if let Some(word) = word.take() {
                each(Completion { id: WaitId(key), tag: None, word, mask: *mask, ending: Ending::Lost });
            }
        }
    }

    /// The identifiers in use, in order.
    fn keys(&self) -> Vec<u32> {
        self.waits.iter().map(|(key, _)| key as u32).collect()
    }

    /// `io_uring_enter`: submits what is queued, and waits for `want` completions.
    fn enter(&mut self, want: usize) -> io::Result<()> {
        match self.kernel_enter(want) {
            Ok(0) if !self.queued.is_empty() => return Err(Errno::AGAIN.into()),
            Ok(submitted) if submitted >= self.queued.len() => self.queued.clear(),
            Ok(submitted) => {
                self.queued.drain(..submitted);
            }
            Err(error) if is(&error, Errno::INTR) => return Ok(()),
            // The completion queue dropped entries, io_uring_enter(2). `has_lost` sees it.
            Err(error) if is(&error, Errno::BADR) => return if want > 0 { Ok(()) } else { Err(gave_up()) },
            Err(error) => return Err(error),
        }
        if !self.withdrawn.is_empty() {
            self.cancel_withdrawn();
        }
        Ok(())
    }

    #[inline]
    fn is_withdrawn(&self, key: u32) -> bool {
        !self.withdrawn.is_empty() && self.withdrawn.iter().any(|withdrawn| withdrawn.key == key)
    }

    /// Cancels the waits that were withdrawn before the kernel had them, as far as it has them now.
    #[cold]
    fn cancel_withdrawn(&mut self) {
        for index in 0..self.withdrawn.len() {
            let Withdrawn { key, cancelled } = self.withdrawn[index];
            // If a wake was faster, or the kernel refuses, the completion tells. The caller gets the word with it: dropping the
            // last handle to a word runs code of others, and a lock of the caller's may be held here.
            if !cancelled && !self.queued.contains(&key) && self.kernel_cancel(key).is_ok() {
                self.withdrawn[index].cancelled = true;
            }
        }
    }

    /// Ends a wait of a ring that lost completions: nothing tells whether the kernel had woken it.
    #[cold]
    fn next_lost(&mut self) -> Option<Completion> {
        let mut keys = self.lost.take().unwrap_or_else(|| self.keys());
        let completion = std::iter::from_fn(|| keys.pop()).find_map(|key| self.cancel(WaitId(key)).ok());
        self.lost = Some(keys);
        completion.map(|completion| Completion { ending: Ending::Lost, ..completion })
    }

    /// Returns an error if the ring takes no calls.
    #[inline]
    fn check(&self) -> io::Result<()> {
        self.check_origin()?;
        if self.lost.is_some() { Err(gave_up()) } else { Ok(()) }
    }

    #[inline]
    fn check_origin(&self) -> io::Result<()> {
        if self.origin.is_here() { Ok(()) } else { Err(forked()) }
    }
}

#[cold]
fn ended(id: WaitId) -> io::Error {
    refuse(format!("the wait {} is not pending on this ring: it has ended, or was cancelled before", id.0))
}

#[cold]
fn gave_up() -> io::Error {
    fail(io::ErrorKind::Other, "this io_uring lost completions and takes no more waits: open another one")
}

#[cold]
fn forked() -> io::Error {
    fail(
        io::ErrorKind::Unsupported,
        "this io_uring belongs to the process that this one was forked from: open another one here",
    )
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

/// What the kernel's result for a futex wait means.
fn ending(result: i32) -> Ending {
    if result >= 0 {
        return Ending::Woken;
    }
    match Errno::from_raw_os_error(-result) {
        Errno::AGAIN => Ending::Mismatch,
        Errno::CANCELED => Ending::Cancelled,
        errno => Ending::Failed(errno.into()),
    }
}

impl Drop for FutexRing {
    fn drop(&mut self) {
        self.close(|completion| {
            if matches!(completion.ending, Ending::Woken | Ending::Lost) {
                completion.word.wake_masked(1, completion.mask);
            }
            drop_shielded(completion);
        });
        self.waits.drain().for_each(drop_shielded);
    }
}

/// Drops what may be the last handle to a word's memory. The code of the memory's owner may panic, and must not keep
/// another word from being dropped, or end the process as a second panic does.
fn drop_shielded<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        std::mem::forget(payload); // its `Drop` may panic as well
    }
}

impl AsRawFd for FutexRing {
    /// That of [`as_fd`](FutexRing::as_fd).
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
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
        f.debug_struct("FutexRing").field("fd", &self.ring.as_raw_fd()).field("pending", &self.pending()).finish()
    }
}

#[cfg(test)]
mod tests;
