//! A handle to a futex word.
#![expect(unsafe_code, reason = "a handle is a pointer and the owner that keeps it valid")]

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
/// It dereferences to the [`AtomicU32`], and a clone counts a reference. [`SharedMemory::word`](crate::SharedMemory::word)
/// makes one, and so does `From` with a static `AtomicU32` or an [`Arc<AtomicU32>`](std::sync::Arc).
///
/// Its waits block the thread, for peers without a runtime. Its waits and wakes meet every other waiter and waker of the
/// word, in whatever process, asynchronous ones too.
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
    /// Keeps `ptr` valid; `None` if the memory is never freed, or kept by the caller.
    owner: Option<Arc<Owner>>,
}

// SAFETY: A `Word` is a shared reference to an atomic (which is `Sync`) and an owner that is `Send + Sync`.
unsafe impl Send for Word {}
// SAFETY: As above.
unsafe impl Sync for Word {}

impl Word {
    /// A handle to a word in memory that the caller manages.
    ///
    /// # Safety
    ///
    /// From this call until the last clone of the handle is dropped, and the last wait that was made with one has ended,
    /// `ptr` points to four mapped, readable and writable bytes, aligned to four bytes, that every Rust program accesses
    /// by atomic operations of 32 bits only.
    ///
    /// # Panics
    ///
    /// With debug assertions, if `ptr` is null or not aligned to four bytes.
    #[must_use]
    pub unsafe fn from_ptr(ptr: *mut u32) -> Self {
        debug_assert!(!ptr.is_null() && ptr.cast::<AtomicU32>().is_aligned(), "{ptr:p} is not a futex word's address");
        // SAFETY: The caller promises a valid pointer, and one that is valid is not null.
        Self { ptr: unsafe { NonNull::new_unchecked(ptr.cast()) }, owner: None }
    }

    /// A handle to a word of memory that `owner` keeps mapped. The last clone of the handle drops `owner`.
    ///
    /// # Safety
    ///
    /// As for [`from_ptr`](Word::from_ptr), but only for as long as `owner` lives.
    ///
    /// # Panics
    ///
    /// As [`from_ptr`](Word::from_ptr).
    #[must_use]
    pub unsafe fn from_ptr_with_owner(ptr: *mut u32, owner: Arc<dyn Send + Sync>) -> Self {
        // SAFETY: The caller's promise; its owner lives as long as the handle and its clones.
        let word = unsafe { Self::from_ptr(ptr) };
        Self { owner: Some(Arc::new(Owner::Supplied { _owner: owner })), ..word }
    }

    /// A handle to the word of `object` with this index; `None` if there is none. `owner` is one of the object.
    pub(crate) fn in_object(object: &Object, owner: &Arc<Owner>, index: usize) -> Option<Self> {
        debug_assert!(matches!(&**owner, Owner::Object(owned) if std::ptr::eq(&raw const **owned, object)));
        let word = object.mapping.words().get(index)?;
        Some(Self { ptr: NonNull::from(word), owner: Some(owner.clone()) })
    }

    /// Blocks the thread while the word is `expected`, until a wake or until `timeout` has passed.
    ///
    /// A wake may come without a change of the word, so load the word again, in a loop. To bound the time of the whole loop,
    /// use [`wait_deadline`](Word::wait_deadline). Signals do not end the wait.
    ///
    /// It loads the word before it calls the kernel. So if the word's page is gone (its file was truncated), it raises
    /// `SIGBUS`, as every access does. `futex::wait` of `futex-sys` returns an error instead.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` if the kernel has no memory, and the kernel's `EFAULT` if the file is truncated during the call.
    pub fn wait(&self, expected: u32, timeout: Option<Duration>) -> io::Result<WaitOutcome> {
        self.block(expected, MATCH_ANY, || timeout.map(Deadline::after))
    }

    /// [`wait`](Word::wait) until a point in time, a [`Deadline`] or a [`std::time::Instant`].
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
    /// let deadline = Deadline::after(Duration::from_millis(1)); // for all rounds of the loop
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

    /// Blocks the thread while the word is `expected`, until a wake whose mask shares a bit with `mask` or until `deadline`.
    /// A plain wake matches every mask.
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

    /// Wakes up to `n` waiters, in whatever process and of whatever kind, the longest waiting first. Returns how many the
    /// kernel woke.
    ///
    /// Zero wakes nobody, and `u32::MAX` wakes all. If the word's page is gone, nobody can be woken, and the count is zero.
    ///
    /// # Signal safety
    ///
    /// A signal handler may call this: it takes no lock and allocates nothing, whatever the kernel answers. (Dropping the
    /// last clone of a `Word` does free memory, so the handler uses one that stays alive.)
    ///
    /// `errno` keeps its value on x86, 32- and 64-bit ARM and 64-bit RISC-V, where rustix makes system calls without the C
    /// library. On other processors, and in a program that sets `use-libc` of rustix, a call that fails sets `errno`, so
    /// there the handler saves and restores it, as signal-safety(7) asks of every handler.
    #[expect(clippy::must_use_candidate, reason = "a waker seldom needs the count")]
    #[inline]
    pub fn wake(&self, n: u32) -> u32 {
        self.wake_masked(n, MATCH_ANY)
    }

    /// [`wake`](Word::wake) for one waiter. Returns true if there was one.
    #[expect(clippy::must_use_candidate, reason = "a waker seldom needs the answer")]
    #[inline]
    pub fn wake_one(&self) -> bool {
        self.wake(1) != 0
    }

    /// [`wake`](Word::wake) for all waiters. Returns how many there were.
    #[expect(clippy::must_use_candidate, reason = "a waker seldom needs the count")]
    #[inline]
    pub fn wake_all(&self) -> u32 {
        self.wake(u32::MAX)
    }

    /// [`wake`](Word::wake) for the waiters whose mask shares a bit with `mask`. A signal handler may call this too.
    #[expect(clippy::must_use_candidate, reason = "a waker seldom needs the count")]
    #[inline]
    pub fn wake_masked(&self, n: u32, mask: NonZeroU32) -> u32 {
        futex::wake_masked(self, Scope::Shared, n, mask).unwrap_or(0)
    }

    /// Counts the waiters in the kernel, without waking one: blocked threads, waits of io_uring and of `futex_waitv`, of all
    /// processes and with any mask. It is for tests, tools and monitoring: a count is out of date when it is returned.
    ///
    /// The kernel counts them by moving them from the word to the same word (`FUTEX_REQUEUE`), which leaves their order as it
    /// was (measured on Linux 6.18). The time is linear in their number, under the lock that wakes take too (0.2 µs per
    /// waiter). If the word's page has no memory yet, it gets some.
    ///
    /// # Errors
    ///
    /// The kernel's `EFAULT` if the word's page is gone (its file was truncated), and `EPERM` or `ENOSYS` if a sandbox forbids
    /// the call.
    pub fn waiters(&self) -> io::Result<u32> {
        futex::requeue(self, self, Scope::Shared, 0, u32::MAX)
            .map_err(|error| explain(error, format!("cannot count the waiters of {self:?}")))
    }

    /// Returns true if both handles are to the same futex word, so that a wake on one finds the waiters on the other.
    ///
    /// Words in [`SharedMemory`](crate::SharedMemory) are compared by their offset and by the device and inode of their
    /// object, which were read when the memory was mapped. So a word is the same in another mapping of its object. All other
    /// words are compared by address. That includes the words of [`from_ptr`](Word::from_ptr) and
    /// [`from_ptr_with_owner`](Word::from_ptr_with_owner), also if their memory is shared.
    ///
    /// Use the answer only to keep the waits on one word in order and to pass wakes on. In rare cases it is wrong, because two
    /// objects can have the same number: inode numbers of memfds, and of some memory file systems, have 32 bits and wrap
    /// around. A wake that is passed on by mistake has no cause, which every waiter allows for.
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
        // SAFETY: `ptr` is valid while its owner lives, or for ever where there is none: each constructor saw to it, and
        // its owner lives as long as `self`.
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
    fn wake_counts_are_taken_as_they_are_meant() {
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
