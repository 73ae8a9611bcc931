//! A handle to a futex word.
#![expect(unsafe_code, reason = "a handle is a pointer, and an owner that keeps the pointer valid")]

use crate::deadline::Deadline;
use crate::error::explain;
use crate::futex::{self, MATCH_ANY, Scope, WaitOutcome};
use crate::object::{Object, Place};
use crate::owner::Owner;
use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A cheap handle to a futex word that keeps the word's memory alive.
///
/// A word dereferences to its [`AtomicU32`]. A clone is a reference to the same futex word.
/// [`SharedMemory::word`](crate::SharedMemory::word) makes words in shared memory. The `From` impls make words of a static
/// `AtomicU32` and of an [`Arc<AtomicU32>`](std::sync::Arc).
///
/// The waits of this type block the thread: they are for peers without a runtime. A wake reaches blocking and asynchronous
/// waiters alike, in every process that maps the word.
///
/// # Examples
///
/// ```
/// # use futex_sys::{WaitOutcome, Word};
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use std::{sync::Arc, time::Duration};
///
/// let word = Word::from(Arc::new(AtomicU32::new(3)));
/// assert_eq!(word.wait(4, None)?, WaitOutcome::Mismatch);
/// assert_eq!(word.wait(3, Some(Duration::from_millis(1)))?, WaitOutcome::TimedOut);
/// word.store(4, Ordering::Release);
/// assert_eq!(word.waiters()?, 0);
/// assert!(!word.wake_one()); // nobody waits
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Word {
    ptr: NonNull<AtomicU32>,
    /// The owner that keeps `ptr` valid. `None` if the memory is never freed, or if the caller of `from_ptr` keeps it valid.
    owner: Option<Arc<Owner>>,
}

// SAFETY: A `Word` is a shared reference to an atomic (which is `Sync`) and an owner that is `Send + Sync`.
unsafe impl Send for Word {}
// SAFETY: As above.
unsafe impl Sync for Word {}

impl Word {
    /// Makes a handle to a word in memory that the caller manages.
    ///
    /// # Safety
    ///
    /// `ptr` points to four bytes that are mapped, readable, writable and aligned to four bytes. Every Rust program accesses
    /// them by atomic operations of 32 bits only. These two conditions must hold as long as the handle or a clone of it
    /// exists, and as long as a wait that was made with one of them has not ended.
    ///
    /// # Panics
    ///
    /// If debug assertions are on, and `ptr` is null or not aligned to four bytes.
    #[must_use]
    pub unsafe fn from_ptr(ptr: *mut u32) -> Self {
        debug_assert!(!ptr.is_null() && ptr.cast::<AtomicU32>().is_aligned(), "{ptr:p} is not a futex word's address");
        // SAFETY: The caller promises a valid pointer, and a valid pointer is not null.
        Self { ptr: unsafe { NonNull::new_unchecked(ptr.cast()) }, owner: None }
    }

    /// Makes a handle to a word of memory that `owner` keeps mapped. When the last clone of the handle is dropped, `owner` is
    /// dropped.
    ///
    /// # Safety
    ///
    /// The obligations of [`from_ptr`](Word::from_ptr), but only while `owner` lives.
    ///
    /// # Panics
    ///
    /// In the same cases as [`from_ptr`](Word::from_ptr).
    #[must_use]
    pub unsafe fn from_ptr_with_owner(ptr: *mut u32, owner: Arc<dyn Send + Sync>) -> Self {
        // SAFETY: The caller promises a pointer that is valid while `owner` lives. The handle and its clones keep `owner` alive.
        let word = unsafe { Self::from_ptr(ptr) };
        Self { owner: Some(Arc::new(Owner::Supplied { _owner: owner })), ..word }
    }

    /// A handle to the word of `object` with this index. `None` if the index is out of range. `owner` owns `object`.
    pub(crate) fn in_object(object: &Object, owner: &Arc<Owner>, index: usize) -> Option<Self> {
        debug_assert!(matches!(&**owner, Owner::Object(owned) if std::ptr::eq(&raw const **owned, object)));
        let word = object.mapping.words().get(index)?;
        Some(Self { ptr: NonNull::from(word), owner: Some(owner.clone()) })
    }

    /// If the word equals `expected`, blocks the thread until a wake or until `timeout` has passed. Otherwise returns at once.
    ///
    /// A wait may be woken although the word has not changed, so load the word again, in a loop. To limit the time of the
    /// whole loop, use [`wait_deadline`](Word::wait_deadline). Signals do not end the wait.
    ///
    /// This function loads the word before it calls the kernel. So it raises `SIGBUS`, like every access, if the word's page
    /// is gone (the file was truncated). The function `futex::wait` of `futex-sys` does not load the word. It returns an error
    /// instead.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` if the kernel has no memory. If the file is truncated during the call, the error can't be recognised by
    /// its kind. Its message ends with "Bad address" (the kernel's `EFAULT`).
    pub fn wait(&self, expected: u32, timeout: Option<Duration>) -> io::Result<WaitOutcome> {
        self.block(expected, MATCH_ANY, || timeout.map(Deadline::after))
    }

    /// Like [`wait`](Word::wait), but gives up at a point in time: a [`Deadline`] or a [`std::time::Instant`].
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Word::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// # use futex_sys::{Deadline, WaitOutcome, Word};
    /// use std::sync::{Arc, atomic::{AtomicU32, Ordering}};
    /// use std::time::Duration;
    ///
    /// let word = Word::from(Arc::new(AtomicU32::new(0)));
    /// let deadline = Deadline::after(Duration::from_millis(1)); // for the whole loop
    /// while word.load(Ordering::Acquire) == 0 {
    ///     if word.wait_deadline(0, deadline)? == WaitOutcome::TimedOut {
    ///         break;
    ///     }
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_deadline(&self, expected: u32, deadline: impl Into<Deadline>) -> io::Result<WaitOutcome> {
        self.block(expected, MATCH_ANY, || Some(deadline.into()))
    }

    /// Like [`wait_deadline`](Word::wait_deadline), but a wake ends the wait only if the mask of the wake has a bit in common
    /// with `mask`. A wake without a mask ends any wait. If `deadline` is `None`, the wait has no time limit.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Word::wait).
    pub fn wait_masked(&self, expected: u32, mask: NonZeroU32, deadline: Option<Deadline>) -> io::Result<WaitOutcome> {
        self.block(expected, mask, || deadline)
    }

    fn block(
        &self,
        expected: u32,
        mask: NonZeroU32,
        deadline: impl FnOnce() -> Option<Deadline>,
    ) -> io::Result<WaitOutcome> {
        if self.load(Ordering::Acquire) != expected {
            return Ok(WaitOutcome::Mismatch);
        }
        futex::wait(self, Scope::Shared, expected, mask, deadline())
            .map_err(|error| explain(error, format!("cannot wait while {self:?} is {expected}")))
    }

    /// Wakes up to `n` waiters of any kind, in any process. Returns the number of waiters that the kernel woke.
    ///
    /// The kernel first wakes the waiter that has been in the queue longest. There is one exception: threads with a real-time
    /// priority are woken before the other waiters, the highest priority first.
    ///
    /// If `n` is 0, no waiter is woken. If `n` is `u32::MAX`, all waiters are woken. If the word's page is gone (the file was
    /// truncated), no waiter can be woken, and the count is zero.
    ///
    /// # Signal safety
    ///
    /// A signal handler may call this function: it takes no lock and allocates no memory, even if the kernel returns an
    /// error. The handler must use a `Word` that stays alive, because dropping the last clone frees memory.
    ///
    /// A signal handler must save and restore `errno` if it calls functions that set it (signal-safety(7)). On x86, 32- and
    /// 64-bit ARM and 64-bit RISC-V, this function never sets `errno`, because the crate rustix makes system calls without the C
    /// library. On other processors, and in a program that enables the feature `use-libc` of rustix, a failed call sets `errno`.
    #[expect(clippy::must_use_candidate, reason = "a waker seldom needs the count")]
    #[inline]
    pub fn wake(&self, n: u32) -> u32 {
        self.wake_masked(n, MATCH_ANY)
    }

    /// Wakes one waiter, like [`wake(1)`](Word::wake). Returns true if the kernel woke one.
    #[expect(clippy::must_use_candidate, reason = "a waker seldom needs the result")]
    #[inline]
    pub fn wake_one(&self) -> bool {
        self.wake(1) != 0
    }

    /// Wakes all waiters, like [`wake(u32::MAX)`](Word::wake). Returns the number of waiters that the kernel woke.
    #[expect(clippy::must_use_candidate, reason = "a waker seldom needs the count")]
    #[inline]
    pub fn wake_all(&self) -> u32 {
        self.wake(u32::MAX)
    }

    /// Like [`wake`](Word::wake), but wakes only waiters whose mask has a bit in common with `mask`. A signal handler may call
    /// this function too.
    #[expect(clippy::must_use_candidate, reason = "a waker seldom needs the count")]
    #[inline]
    pub fn wake_masked(&self, n: u32, mask: NonZeroU32) -> u32 {
        futex::wake_masked(self, Scope::Shared, n, mask).unwrap_or(0)
    }

    /// Counts the waiters of this word in the kernel, without waking any waiter. The waiters are blocked threads, and waits of
    /// io_uring and `futex_waitv`, in all processes and with any mask.
    ///
    /// Use this function in tests, tools and monitoring only, because the count may be out of date when it is returned.
    ///
    /// To count the waiters, this function asks the kernel to requeue them from the word to the same word (`FUTEX_REQUEUE`).
    /// This returns their number, and keeps their order. The time is linear in the number of waiters, and wakes of the word
    /// block meanwhile (measured on Linux 6.18 with ten waiters: 0.2 µs per waiter). The call allocates the word's page if
    /// the page has no memory yet.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` or `Unsupported` if a sandbox forbids the call. If the word's page is gone (the file was
    /// truncated), the error can't be recognised by its kind. Its message ends with "Bad address" (the kernel's `EFAULT`).
    pub fn waiters(&self) -> io::Result<u32> {
        futex::requeue(self, self, Scope::Shared, 0, u32::MAX)
            .map_err(|error| explain(error, format!("cannot count the waiters of {self:?}")))
    }

    /// Returns true if both handles refer to the same futex word, so that a wake on one reaches the waiters on the other.
    ///
    /// Words in [`SharedMemory`](crate::SharedMemory) are compared by their offset and by the device and inode of their
    /// object. (Device and inode are read when the memory is mapped.) So two mappings of one object have the same words. All
    /// other words are compared by address. This includes the words of [`from_ptr`](Word::from_ptr) and
    /// [`from_ptr_with_owner`](Word::from_ptr_with_owner), even if their memory is shared.
    ///
    /// In rare cases the result is true for two different words: inode numbers of memfds, and of some memory file systems,
    /// have 32 bits and wrap around, so two objects can have the same number. So use the result only if a mistake is harmless,
    /// for instance to choose a word to wake: every waiter must expect a wake without a change.
    #[must_use]
    pub fn same_word(&self, other: &Self) -> bool {
        self.ptr == other.ptr || self.place().is_some_and(|place| other.place() == Some(place))
    }

    fn place(&self) -> Option<Place> {
        self.owner.as_ref()?.place(self.ptr)
    }
}

impl Deref for Word {
    type Target = AtomicU32;

    #[inline]
    fn deref(&self) -> &AtomicU32 {
        // SAFETY: Each constructor guarantees that `ptr` is valid while the owner lives or, without an owner, as long as any
        // clone of the handle. The owner lives at least as long as `self`.
        unsafe { self.ptr.as_ref() }
    }
}

impl AsRef<AtomicU32> for Word {
    fn as_ref(&self) -> &AtomicU32 {
        self
    }
}

impl From<&'static AtomicU32> for Word {
    fn from(word: &'static AtomicU32) -> Self {
        Self { ptr: NonNull::from(word), owner: None }
    }
}

/// For a leaked allocation: `Word::from(Box::leak(Box::new(AtomicU32::new(0))))`.
impl From<&'static mut AtomicU32> for Word {
    fn from(word: &'static mut AtomicU32) -> Self {
        Self::from(&*word)
    }
}

impl From<Arc<AtomicU32>> for Word {
    fn from(word: Arc<AtomicU32>) -> Self {
        Self { ptr: NonNull::from(&*word), owner: Some(Arc::new(Owner::Word { _word: word })) }
    }
}

impl From<&Word> for Word {
    fn from(word: &Word) -> Self {
        word.clone()
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Word({:p})", self.ptr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_keeps_its_arc_alive() {
        let arc = Arc::new(AtomicU32::new(5));
        let word = Word::from(arc.clone());
        let clone = word.clone();
        let witness = Arc::downgrade(&arc);
        drop((arc, word));
        assert_eq!(clone.load(Ordering::Relaxed), 5);
        drop(clone);
        assert_eq!(witness.strong_count(), 0);
    }

    #[test]
    fn a_word_of_raw_memory_keeps_its_owner() {
        let owner = Arc::new([7_u32, 8]);
        let witness = Arc::downgrade(&owner);
        // SAFETY: The array lives as long as its `Arc`, and nothing else accesses it.
        let word = unsafe { Word::from_ptr_with_owner((&raw const owner[1]).cast_mut(), owner) };
        assert_eq!(word.load(Ordering::Relaxed), 8);
        drop(word);
        assert_eq!(witness.strong_count(), 0);
    }

    #[test]
    fn a_wake_without_waiters_returns_zero_for_every_count() {
        static WORD: AtomicU32 = AtomicU32::new(0);
        let word = Word::from(&WORD);
        assert_eq!((word.wake(0), word.wake(1), word.wake(u32::MAX)), (0, 0, 0));
    }

    #[test]
    fn a_blocked_thread_is_woken_and_counted() {
        let word = Word::from(&*Box::leak(Box::new(AtomicU32::new(0))));
        let waiter = std::thread::spawn({
            let word = word.clone();
            move || word.wait(0, None).unwrap()
        });
        while word.waiters().unwrap() == 0 {
            std::thread::yield_now();
        }
        assert_eq!(word.waiters().unwrap(), 1, "counting wakes nobody");
        assert!(word.wake_one());
        assert_eq!(waiter.join().unwrap(), WaitOutcome::Woken);
    }
}
