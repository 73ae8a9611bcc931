//! `futex_waitv(2)`: one thread waits on up to 128 words.
#![expect(unsafe_code, reason = "a slice of a transparent wrapper becomes a slice of the wrapped type")]

use crate::deadline::Deadline;
use crate::error::refuse;
use crate::futex::Scope;
use rustix::io::Errno;
use rustix::thread::futex as sys;
use std::io;
use std::marker::PhantomData;
use std::sync::atomic::AtomicU32;

/// Maximum number of words per [`waitv`] (`FUTEX_WAITV_MAX`).
pub const MAX_WAITV: usize = 128;

/// A word of a [`waitv`], and its expected value.
///
/// The lifetime is that of the word, so an entry can't outlive its word.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct WaitvEntry<'word> {
    entry: sys::Wait,
    word: PhantomData<&'word AtomicU32>,
}

impl<'word> WaitvEntry<'word> {
    /// An entry that waits while `word` is `expected`.
    #[must_use]
    pub fn new(word: &'word AtomicU32, scope: Scope, expected: u32) -> Self {
        let mut entry = sys::Wait::new();
        entry.val = u64::from(expected);
        entry.uaddr = word.as_ptr().cast::<std::ffi::c_void>().into();
        entry.flags = match scope {
            Scope::Shared => sys::WaitFlags::SIZE_U32,
            Scope::Private => sys::WaitFlags::SIZE_U32 | sys::WaitFlags::PRIVATE,
        };
        Self { entry, word: PhantomData }
    }
}

impl std::fmt::Debug for WaitvEntry<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WaitvEntry").field("word", &self.entry.uaddr).field("expected", &self.entry.val).finish()
    }
}

// SAFETY: An entry stands for a shared reference to an atomic, and a number. `AtomicU32` is `Sync`, so a reference to it may be
// sent to and shared with other threads for `'word`. (The compiler does not derive the traits because of the pointer.)
unsafe impl Send for WaitvEntry<'_> {}
// SAFETY: As above.
unsafe impl Sync for WaitvEntry<'_> {}

/// How a [`waitv`] ended.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitvOutcome {
    /// The entry with this index was woken.
    ///
    /// If several entries were woken, this is the *highest* index. Entries before it may have consumed wakes too, and the
    /// kernel does not report them (see its function `futex_unqueue_multiple`). Entries after it have consumed none.
    Woken(usize),
    /// A word did not have the expected value, so the call did not wait. No wake was consumed.
    Mismatch,
    /// The deadline passed. No wake was consumed.
    TimedOut,
}

/// `futex_waitv(2)`: blocks the thread while every word has its expected value, until one is woken or `deadline` passes.
///
/// The call has no masks: a wake with any mask can reach its entries.
///
/// # Errors
///
/// `InvalidInput` if there are no entries or more than [`MAX_WAITV`]. `ENOSYS` before Linux 5.16. `EPERM` or `ENOSYS` if
/// seccomp forbids the call. `EFAULT` if a word's page is gone (the file was truncated).
pub fn waitv(entries: &[WaitvEntry<'_>], deadline: Option<Deadline>) -> io::Result<WaitvOutcome> {
    if entries.is_empty() || entries.len() > MAX_WAITV {
        return Err(refuse(format!("futex_waitv takes 1 to {MAX_WAITV} words, not {}: wait in groups", entries.len())));
    }
    // SAFETY: `WaitvEntry` is a transparent wrapper of `sys::Wait` (its other field has no size), so both slices have the same
    // layout and length. `entries` stays borrowed until this function returns, which is after the last use of `waits`.
    let waits = unsafe { std::slice::from_raw_parts(entries.as_ptr().cast::<sys::Wait>(), entries.len()) };
    let deadline = deadline.map(Deadline::timespec);
    loop {
        match sys::waitv(waits, sys::WaitvFlags::empty(), deadline.as_ref(), sys::ClockId::Monotonic) {
            Ok(index) => return Ok(WaitvOutcome::Woken(index)),
            Err(Errno::AGAIN) => return Ok(WaitvOutcome::Mismatch),
            Err(Errno::TIMEDOUT) => return Ok(WaitvOutcome::TimedOut),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
