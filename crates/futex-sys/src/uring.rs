//! Waiting on futexes through io_uring (`IORING_OP_FUTEX_WAIT`, Linux 6.7).
//!
//! A wait that is armed on a [`FutexRing`] needs no thread. The kernel queues a real futex waiter for it, which any
//! process's plain `FUTEX_WAKE` finds in FIFO order and counts, and posts a completion when it is woken.

// The processors that the `io-uring` crate has the kernel's types for, as in Cargo.toml.
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

/// The identifier of a wait in its ring. The ring chooses it, and uses it again once the wait's completion was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WaitId(u32);

impl From<WaitId> for u32 {
    fn from(id: WaitId) -> Self {
        id.0
    }
}

/// For callers that keep identifiers as plain numbers. Calls refuse a number that is not that of a pending wait.
impl From<u32> for WaitId {
    fn from(id: u32) -> Self {
        Self(id)
    }
}

/// How an armed wait ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Ending {
    /// A wake was consumed, and the waker's count includes it.
    Woken,
    /// The word did not have the expected value.
    Mismatch,
    /// The wait was cancelled: by [`FutexRing::cancel`] or [`FutexRing::close`], or by the kernel because the thread that
    /// submitted the wait exited (Linux 6.16 to 6.18.48). No wake was consumed.
    Cancelled,
    /// The kernel refused the wait: `EFAULT` if the word's page is gone, `ENOMEM`. The error has the kernel's number.
    Failed(io::Error),
    /// The kernel lost completions for lack of memory, or does not take calls for the ring any more. A wake may have been
    /// consumed.
    Lost,
}

/// The end of one wait. Each armed wait has exactly one with a tag.
#[derive(Debug)]
#[non_exhaustive]
pub struct Completion {
    /// The wait. It may be the identifier of another wait from now on.
    pub id: WaitId,
    /// What the wait was armed with.
    ///
    /// `None` if the wait had ended for the caller before: it was cancelled while the kernel took no calls, or before it was
    /// submitted. If a wake found it all the same, the caller passes the wake on.
    pub tag: Option<u32>,
    /// What the wait was armed with.
    pub word: Word,
    /// What the wait was armed with.
    pub mask: NonZeroU32,
    /// How it ended.
    pub ending: Ending,
}

fn no_futexes() -> io::Error {
    fail(
        io::ErrorKind::Unsupported,
        "there are no futex operations in this io_uring (Linux 6.7 and later have them, on 64-bit processors)",
    )
}
