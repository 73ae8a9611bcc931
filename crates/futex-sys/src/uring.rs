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
mod ring;
#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64",
    target_arch = "loongarch64",
    target_arch = "powerpc64"
)))]
#[path = "uring/no_ring.rs"]
mod ring;

pub use self::ring::FutexRing;

use crate::Word;
use std::io;
use std::num::NonZeroU32;

/// How an armed wait ended.
#[derive(Debug)]
pub enum Ending {
    /// A wake was consumed, and the waker's count includes it.
    Woken,
    /// The word did not have the expected value.
    Mismatch,
    /// The wait was cancelled: by [`FutexRing::cancel`], or by the kernel because the thread that submitted the wait
    /// exited (Linux 6.16 to 6.18.48). No wake was consumed.
    Cancelled,
    /// The kernel refused the wait: `EFAULT` where the word's page is gone, `ENOMEM`.
    Failed(io::Error),
    /// The kernel lost completions for want of memory, or does not take calls for the ring any more. A wake may have been
    /// consumed.
    Lost,
}

/// The end of one wait. Each armed wait ends exactly once.
#[derive(Debug)]
pub struct Completion {
    /// What the wait was armed with.
    pub id: u32,
    /// What the wait was armed with.
    pub word: Word,
    /// What the wait was armed with.
    pub mask: NonZeroU32,
    /// How it ended.
    pub ending: Ending,
}

fn no_futexes() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "there are no futex operations in this io_uring (Linux 6.7 and later have them, on 64-bit processors)",
    )
}
