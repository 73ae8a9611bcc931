//! `futex(2)` and `futex_waitv(2)`: wait, wake and requeue on a 32-bit word.
//!
//! Every function takes the word by reference, so the word's memory is mapped during the call. Functions that wait continue
//! after a signal (`EINTR`). "Woken" and "the word differs" are outcomes, not errors.
//!
//! Errors of the kernel are returned unchanged: [`io::Error::raw_os_error`] returns the number, and nothing is allocated. So
//! a signal handler may call the functions that do not wait, under the conditions of [`Word::wake`](crate::Word::wake).

pub use crate::waitv::{MAX_WAITV, WaitvEntry, WaitvOutcome, waitv};

use crate::deadline::Deadline;
use rustix::io::Errno;
use rustix::thread::futex as sys;
use std::io;
use std::num::NonZeroU32;
use std::sync::atomic::AtomicU32;

/// The mask with all bits (`FUTEX_BITSET_MATCH_ANY`), which matches every other mask. Waits and wakes without a mask have
/// this mask. If a function takes a mask and you do not need one, pass this constant.
pub const MATCH_ANY: NonZeroU32 = NonZeroU32::MAX;

/// Which waiters and wakers find each other on a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// Those of every process that maps the word's memory. A `FUTEX_WAKE` without flags has this scope.
    Shared,
    /// Those of this process only (`FUTEX_PRIVATE_FLAG`). A shared wake never reaches a private waiter, and a private wake
    /// never reaches a shared waiter.
    Private,
}

impl Scope {
    #[inline]
    fn flags(self) -> sys::Flags {
        match self {
            Self::Shared => sys::Flags::empty(),
            Self::Private => sys::Flags::PRIVATE,
        }
    }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitOutcome {
    /// The wait consumed a wake.
    Woken,
    /// The word did not have the expected value, so the call did not wait.
    Mismatch,
    /// The deadline passed.
    TimedOut,
}

/// `futex(FUTEX_WAIT_BITSET)`: if the word equals `expected`, blocks the thread until `deadline` or until a wake whose mask has a
/// bit in common with `mask`. Otherwise returns at once.
///
/// The kernel compares the word and queues the thread in one step, so a wake that follows a change of the word is not missed.
/// A wake may have been meant for an earlier use of the same address (`futex(2)`), so check the condition again afterwards.
///
/// # Errors
///
/// `EFAULT` if the word's page is gone (the file was truncated), `ENOMEM` if the kernel has no memory.
pub fn wait(
    word: &AtomicU32,
    scope: Scope,
    expected: u32,
    mask: NonZeroU32,
    deadline: Option<Deadline>,
) -> io::Result<WaitOutcome> {
    let deadline = deadline.map(Deadline::timespec);
    loop {
        // Without the realtime flag the kernel measures the deadline on CLOCK_MONOTONIC, futex(2).
        match sys::wait_bitset(word, scope.flags(), expected, deadline.as_ref(), mask) {
            Ok(()) => return Ok(WaitOutcome::Woken),
            Err(Errno::AGAIN) => return Ok(WaitOutcome::Mismatch),
            Err(Errno::TIMEDOUT) => return Ok(WaitOutcome::TimedOut),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// `futex(FUTEX_WAKE)`: wakes up to `n` waiters in the order of [`Word::wake`](crate::Word::wake), and returns the number of
/// waiters that the kernel woke.
///
/// If `n` is 0, the function wakes nobody and makes no system call, because the kernel would wake one waiter. If `n` is
/// `i32::MAX` or more, it wakes all.
///
/// # Errors
///
/// `EFAULT` if the word's page is gone (the file was truncated).
#[inline]
pub fn wake(word: &AtomicU32, scope: Scope, n: u32) -> io::Result<u32> {
    wake_masked(word, scope, n, MATCH_ANY)
}

/// `futex(FUTEX_WAKE_BITSET)`: like [`wake`], but wakes only waiters whose mask has a bit in common with `mask`.
///
/// # Errors
///
/// Those of [`wake`].
#[inline]
pub fn wake_masked(word: &AtomicU32, scope: Scope, n: u32, mask: NonZeroU32) -> io::Result<u32> {
    if n == 0 {
        return Ok(0);
    }
    let woken = if mask == MATCH_ANY {
        sys::wake(word, scope.flags(), clamp(n))
    } else {
        sys::wake_bitset(word, scope.flags(), clamp(n), mask)
    };
    Ok(count(woken?))
}

/// `futex(FUTEX_REQUEUE)`: wakes up to `n` waiters of `from`, and moves up to `moved` of the remaining waiters to the queue of
/// `to`, in order. Returns the number of waiters that were woken or moved. (According to `futex(2)` it is the number of woken
/// waiters only, but the kernel counts both.)
///
/// # Errors
///
/// Those of [`wake`], for either word.
pub fn requeue(from: &AtomicU32, to: &AtomicU32, scope: Scope, n: u32, moved: u32) -> io::Result<u32> {
    Ok(count(sys::requeue(from, scope.flags(), clamp(n), clamp(moved), to)?))
}

/// `futex(FUTEX_CMP_REQUEUE)`: compares `from` with `expected`. If they are equal, wakes and moves waiters like [`requeue`], in
/// the same step. Returns `None` if they differ.
///
/// # Errors
///
/// Those of [`wake`], for either word.
pub fn cmp_requeue(
    from: &AtomicU32,
    expected: u32,
    to: &AtomicU32,
    scope: Scope,
    n: u32,
    moved: u32,
) -> io::Result<Option<u32>> {
    match sys::cmp_requeue(from, scope.flags(), clamp(n), clamp(moved), to, expected) {
        Ok(woken) => Ok(Some(count(woken))),
        Err(Errno::AGAIN) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Limits a count to the range of the kernel's argument, an `int`.
#[inline]
fn clamp(n: u32) -> u32 {
    n.min(i32::MAX as u32)
}

/// Converts the kernel's count, which is never negative here.
#[inline]
fn count(woken: usize) -> u32 {
    u32::try_from(woken).unwrap_or(u32::MAX)
}
