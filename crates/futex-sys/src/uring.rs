//! Waiting on futexes through io_uring (`IORING_OP_FUTEX_WAIT`, Linux 6.7).
//!
//! A wait that is armed on a [`FutexRing`] needs no thread. The kernel queues a futex waiter for it, in one FIFO order with
//! blocked threads. A `FUTEX_WAKE` of any process wakes it and counts it, and the kernel then posts a completion.

// The processors for which the `io-uring` crate has the kernel's types, as in Cargo.toml.
#[cfg(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64",
    target_arch = "loongarch64",
    target_arch = "powerpc64"
))]
pub(crate) mod ring;
#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64",
    target_arch = "loongarch64",
    target_arch = "powerpc64"
)))]
#[path = "uring/no_ring.rs"]
pub(crate) mod ring;

pub use self::ring::FutexRing;

use crate::error::fail;
use crate::word::Word;
use std::io;
use std::num::NonZeroU32;

/// The identifier of a wait in its ring. The ring chooses it, and reuses it after the wait's last completion was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WaitId(u32);

impl From<WaitId> for u32 {
    fn from(id: WaitId) -> Self {
        id.0
    }
}

/// For callers that store identifiers as plain numbers. [`FutexRing::cancel`] refuses the number of a wait that is not pending.
impl From<u32> for WaitId {
    fn from(id: u32) -> Self {
        Self(id)
    }
}

/// How an armed wait ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Ending {
    /// The wait consumed a wake. The waker's count includes the wait.
    Woken,
    /// The word did not have the expected value.
    Mismatch,
    /// The wait was cancelled by [`FutexRing::cancel`] or [`FutexRing::close`], or by the kernel because the thread that
    /// submitted the wait exited (Linux 6.16 to 6.18.48). No wake was consumed.
    Cancelled,
    /// The kernel refused the wait, for instance with `EFAULT` because the word's page is gone, or with `ENOMEM`.
    /// [`io::Error::raw_os_error`] returns the kernel's number.
    Failed(io::Error),
    /// The kernel lost completions for lack of memory, or no longer accepts calls for the ring. The wait may have consumed a
    /// wake.
    Lost,
}

/// The end of a wait. Each armed wait has exactly one completion with a tag.
#[derive(Debug)]
#[non_exhaustive]
pub struct Completion {
    /// Identifier of the wait. Another wait may have the same identifier from now on.
    pub id: WaitId,
    /// Tag with which the wait was armed.
    ///
    /// `None` if the wait had ended for the caller before: it was cancelled before it was submitted, or the kernel refused to
    /// cancel it. If the ending is [`Ending::Woken`] or [`Ending::Lost`], the caller must pass a wake on to the next waiter.
    pub tag: Option<u32>,
    /// Word on which the wait was armed.
    pub word: Word,
    /// Mask with which the wait was armed.
    pub mask: NonZeroU32,
    /// How the wait ended.
    pub ending: Ending,
}

fn no_futexes() -> io::Error {
    fail(
        io::ErrorKind::Unsupported,
        "there are no futex operations in this io_uring (Linux 6.7 and later have them, on 64-bit processors)",
    )
}
