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

/// Number of submission queue entries per ring. It does not limit the number of waits (tested on Linux 6.18: 100,000 waits on a
/// ring of 128 entries).
const SQ_ENTRIES: u32 = 64;
/// Number of completion queue entries per ring. The kernel keeps completions beyond this number (`IORING_FEAT_NODROP`).
const CQ_ENTRIES: u32 = 128;
/// Number of waits up to which the memory of a ring grows in steps of a quarter of this number. Beyond it, the memory doubles.
const FEW: usize = 96;
/// `FUTEX2_SIZE_U32` of <linux/futex.h>: a shared 32-bit word. No other flag is set: the private flag would hide the wait from
/// other processes, and the NUMA flags would hide it from a plain `FUTEX_WAKE`.
const FUTEX2_SIZE_U32: u32 = 2;

/// An io_uring for futex waits only.
///
/// The ring owns the [`Word`] of every wait until the wait has ended, so it never waits on freed memory. The ring chooses the
/// identifiers of its waits. The caller chooses a `tag` for each wait, which the wait's [`Completion`] returns.
///
/// Any thread may arm and cancel. After a wake, the thread that submitted the wait posts the completion:
///
/// - immediately, if the thread is in an interruptible sleep,
/// - when it next enters the kernel, or at the latest at the next clock tick, if the thread computes
///   (`IORING_SETUP_COOP_TASKRUN`). On a ring of [`new_interrupting`](FutexRing::new_interrupting), the kernel interrupts it.
/// - after the sleep, if the thread is in an uninterruptible sleep, for instance in `fsync`.
///
/// [`cancel`](FutexRing::cancel) and [`close`](FutexRing::close) do not wait for that thread.
///
/// Dropping a ring [closes](FutexRing::close) it, and passes the wakes that its waits had consumed on to the next waiters.
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
    /// Waits whose kernel completion was not taken yet. The key is the identifier, and the `user_data` of the entry.
    waits: Slab<Wait>,
    /// Number of waits that ended for the caller before their kernel completion was taken: those without a word, and those in
    /// `withdrawn`.
    ended: usize,
    /// Waits that ended for the caller and keep their word until their kernel completion: they were cancelled before they were
    /// submitted, or the kernel refused to cancel them.
    withdrawn: Vec<Withdrawn>,
    /// Waits whose entries were not submitted to the kernel yet, in order.
    queued: Vec<u32>,
    /// Number of completions taken since the last [`await_posting`](FutexRing::await_posting).
    taken: u32,
    /// `Some` after the kernel dropped completions: the waits that have yet to end as [`Ending::Lost`]. The ring then arms no
    /// more waits.
    lost: Option<Vec<u32>>,
    origin: Origin,
    #[cfg(test)]
    faults: Faults,
}

/// A wait that ended for the caller, and that the kernel still has or will still receive.
#[derive(Clone, Copy)]
struct Withdrawn {
    key: u32,
    /// True if the kernel has cancelled the wait since.
    cancelled: bool,
}

struct Wait {
    /// The word. `None` if the wait has ended, and its kernel completion only frees the identifier.
    word: Option<Word>,
    mask: NonZeroU32,
    tag: u32,
}

impl FutexRing {
    /// Opens a ring, and tries a wait and a cancel to check that this process may use it.
    ///
    /// Completions do not interrupt the thread that submitted the wait (`IORING_SETUP_COOP_TASKRUN`).
    ///
    /// # Errors
    ///
    /// - `EPERM` if seccomp or `kernel.io_uring_disabled` forbids io_uring.
    /// - `EACCES` if a sandbox forbids the futex operations (Linux 7.0).
    /// - `ENOSYS` if the kernel has no io_uring, and kind `Unsupported` if io_uring has no futex operations (before Linux 6.7).
    /// - `ENOMEM` if `RLIMIT_MEMLOCK` is used up (see `ulimit -l`).
    /// - `EMFILE` if the process has no descriptors left.
    pub fn new() -> io::Result<Self> {
        // With DEFER_TASKRUN, the ring never becomes readable for a poller in another thread. With SINGLE_ISSUER, only one
        // thread may arm. (Both measured on Linux 6.18.)
        Self::open(IoUring::builder().setup_coop_taskrun())
    }

    /// Opens a ring whose completions interrupt the thread that submitted the wait, even while it computes.
    ///
    /// Each completion for a running thread costs an inter-processor interrupt (measured on a virtual machine with two
    /// processors and Linux 6.18: 40 % of all processor time of a pipe under load).
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

    /// Arms a wait whose word differs, and cancels another wait. A kernel or a sandbox that allows making the ring may still
    /// refuse its operations.
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

    /// Registers `eventfd` with the kernel, which signals it for every completion from now on. Several rings may share one
    /// eventfd.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the ring already has an eventfd, `EINVAL` if the descriptor is not an eventfd. `Unsupported` in a fork of the
    /// process that made the ring.
    pub fn register_eventfd(&self, eventfd: BorrowedFd<'_>) -> io::Result<()> {
        self.check_origin()?;
        self.ring
            .submitter()
            .register_eventfd(eventfd.as_raw_fd())
            .map_err(|error| explain(error, "cannot register an eventfd with an io_uring"))
    }

    /// Queues a wait on `word` while it is `expected`, for wakes whose mask shares a bit with `mask`. The next
    /// [`submit`](FutexRing::submit) arms it in the kernel.
    ///
    /// `tag` is any number. The wait's completion returns it.
    ///
    /// # Errors
    ///
    /// Those of [`submit`](FutexRing::submit): a full queue is submitted first. After an error the wait is not queued.
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
        // SAFETY: The only address in the entry is that of `word`. The ring keeps the word until the kernel has reported that the
        // wait is over: by a completion, or by the result of a cancel (see `Wait::word` and `withdrawn`).
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            self.submit()?; // empties the queue, or fails
        }
        self.queued.push(id);
        if self.waits.len() < FEW && self.waits.capacity() == self.waits.len() {
            self.waits.reserve_exact(FEW / 4); // most rings have few waits
        }
        self.waits.insert(Wait { word: Some(word), mask, tag });
        Ok(WaitId(id))
    }

    /// Submits all queued waits to the kernel. If the word of a wait differs, the wait's completion is available when this call
    /// returns.
    ///
    /// # Errors
    ///
    /// - `EAGAIN` or `ENOMEM` if the kernel has no memory, and `EPERM` if a sandbox forbids the call. Waits that were not
    ///   submitted stay queued for the next call. A caller that gives up must [cancel](FutexRing::cancel) them.
    /// - `Other` if the ring [lost](FutexRing::is_lost) completions. `Unsupported` in a fork of the process that made the ring.
    #[inline]
    pub fn submit(&mut self) -> io::Result<()> {
        self.check()?;
        while !self.queued.is_empty() {
            self.enter(0)?;
        }
        Ok(())
    }

    /// Ends a wait, and returns its completion: [`Ending::Cancelled`], or [`Ending::Woken`] if the kernel had already ended the
    /// wait. In rare cases the kernel had ended it without a wake.
    ///
    /// The call does not depend on the thread that submitted the wait, which may compute or sleep, for instance in `vfork`. The
    /// kernel searches the waits of the ring one by one, the newest first. So cancelling an old wait is slow on a ring with many
    /// waits.
    ///
    /// In two cases the ring keeps the word of the wait:
    ///
    /// - The wait was not submitted yet. The next [`submit`](FutexRing::submit) submits it and then cancels it in the kernel.
    /// - The kernel refuses to cancel the wait, because a sandbox was entered after the ring was opened. The wait stays in the
    ///   kernel until a wake reaches it, or a later call cancels it.
    ///
    /// Such a wait has another completion, without a tag. That completion reports whether a wake reached the wait, and returns
    /// the word.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if this identifier is not that of a pending wait: its completion was taken, or it was cancelled before.
    /// `Unsupported` in a fork of the process that made the ring.
    pub fn cancel(&mut self, id: WaitId) -> io::Result<Completion> {
        self.check_origin()?;
        let key = id.0;
        if self.waits.get(key as usize).is_none_or(|wait| wait.word.is_none()) || self.is_withdrawn(key) {
            return Err(ended(id));
        }
        // A wait that the kernel still has, or will still receive, is not gone: its kernel completion returns the word.
        let (ending, is_gone) = if self.queued.contains(&key) {
            (Ending::Cancelled, false)
        } else {
            match self.kernel_cancel(key) {
                Ok(()) => (Ending::Cancelled, true),
                Err(error) if is(&error, Errno::NOENT) => (Ending::Woken, true),
                Err(_) => (Ending::Cancelled, false), // if a wake reaches the wait nevertheless, its completion reports it
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
        let Some(word) = word else { return Err(ended(id)) }; // unreachable: a pending wait has its word
        Ok(Completion { id, tag, word, mask, ending })
    }

    /// Submits queued waits and, if any wait is pending, blocks the thread until a completion is available.
    ///
    /// After a cancel it may return early, and [`next_completion`](FutexRing::next_completion) then returns `None`.
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

    /// Takes the next completion, without blocking. Returns `None` if there is none yet. Also fetches the completions that the
    /// kernel kept back because the queue was full.
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

    /// Processes the kernel's completion of a wait. Returns `None` if it only frees the identifier.
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

    /// Returns true if completions are available for [`next_completion`](FutexRing::next_completion).
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

    /// Number of cancelled waits whose identifier is still in use, until the kernel's completion is taken. Zero after the
    /// kernel dropped completions, because those may never come.
    #[must_use]
    #[inline]
    pub fn unreaped(&self) -> usize {
        if self.is_lost() { 0 } else { self.ended }
    }

    /// Returns true after the kernel dropped completions. The ring then accepts no more waits.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// Returns true if a queued wait was not submitted yet.
    #[must_use]
    #[inline]
    pub fn has_unsubmitted(&self) -> bool {
        !self.queued.is_empty()
    }

    /// Ends all waits, and calls `each` with their completions. The caller must pass the wakes that the waits had consumed on to
    /// the next waiters.
    ///
    /// The call does not wait for the threads that submitted the waits. In a fork of the process that made the ring, it does
    /// nothing.
    ///
    /// Without this call, the kernel removes the waits only some time after the descriptor is closed, and they consume wakes
    /// until then (measured on Linux 6.18: 14 of 50 wakes that immediately followed).
    pub fn close(&mut self, mut each: impl FnMut(Completion)) {
        if !self.origin.is_here() {
            return; // the ring belongs to the process that made it, and that process still uses the ring
        }
        while let Some(completion) = self.next_completion() {
            each(completion);
        }
        // Higher identifiers mostly belong to newer waits, which the kernel finds first.
        for key in self.keys().into_iter().rev() {
            if let Ok(completion) = self.cancel(WaitId(key)) {
                each(completion);
            }
        }
        self.cancel_withdrawn();
        for Withdrawn { key, cancelled } in self.withdrawn.clone() {
            if cancelled || self.queued.contains(&key) {
                continue; // no wake reached the wait
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

    /// `io_uring_enter`: submits the queued waits, and waits for `want` completions.
    fn enter(&mut self, want: usize) -> io::Result<()> {
        match self.kernel_enter(want) {
            Ok(0) if !self.queued.is_empty() => return Err(Errno::AGAIN.into()),
            Ok(submitted) if submitted >= self.queued.len() => self.queued.clear(),
            Ok(submitted) => {
                self.queued.drain(..submitted);
            }
            Err(error) if is(&error, Errno::INTR) => return Ok(()),
            // The completion queue dropped entries, io_uring_enter(2). `has_lost` returns true from now on.
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

    /// Cancels the withdrawn waits that the kernel has.
    #[cold]
    fn cancel_withdrawn(&mut self) {
        for index in 0..self.withdrawn.len() {
            let Withdrawn { key, cancelled } = self.withdrawn[index];
            // If a wake was faster, or the kernel refuses, the kernel completion reports the result. The caller receives the word
            // with it: dropping the last handle to a word runs code of its owner, and the caller may hold a lock here.
            if !cancelled && !self.queued.contains(&key) && self.kernel_cancel(key).is_ok() {
                self.withdrawn[index].cancelled = true;
            }
        }
    }

    /// Ends a wait of a ring that lost completions. It is unknown whether the kernel had woken the wait.
    #[cold]
    fn next_lost(&mut self) -> Option<Completion> {
        let mut keys = self.lost.take().unwrap_or_else(|| self.keys());
        let completion = std::iter::from_fn(|| keys.pop()).find_map(|key| self.cancel(WaitId(key)).ok());
        self.lost = Some(keys);
        completion.map(|completion| Completion { ending: Ending::Lost, ..completion })
    }

    /// Returns an error if the ring accepts no calls.
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

/// Converts the kernel's result of a futex wait.
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

/// Drops a value that may have the last handle to a word's memory. The destructor of the memory's owner may panic. That must not
/// prevent the drop of other words, and must not abort the process as a second panic would.
fn drop_shielded<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        std::mem::forget(payload); // its `Drop` may panic too
    }
}

impl AsRawFd for FutexRing {
    /// The descriptor of [`as_fd`](FutexRing::as_fd).
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}

impl AsFd for FutexRing {
    /// The descriptor of the ring, which polls readable while completions are available.
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: The ring owns the descriptor, and closes it when it is dropped, which is after the borrow.
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
