//! Lets Tokio tasks wait until another process changes an `AtomicU32` in shared memory.
//!
//! A task that awaits [`AsyncFutex::wait_async`] sleeps until any process wakes the word's waiters. That process may be another
//! program with this crate, a C program that calls `FUTEX_WAKE`, or the same process.
//!
//! - No thread of the runtime blocks, and nothing polls the word.
//! - A change that lasts and is followed by a wake is never missed.
//! - Dropping the future cancels the wait. If the wait has consumed a wake, that wake is [handed on](WaitAsync#cancel-safety)
//!   to the next waiter. So no waiter misses a change that lasts.
//!
//! The [guide](https://github.com/async-futex/async-futex/blob/main/docs/guide.md)
//! ([中文](https://github.com/async-futex/async-futex/blob/main/docs/guide.zh.md)) has a complete program for each use: peers
//! in C and Python, state machines, queues, timeouts, locks, workers that die, shutdown.
//!
//! # The contract
//!
//! **Change the word, then wake.** The kernel compares the word with `expected` and queues the waiter in one step. If a process
//! changes the word first and wakes second, either the comparison finds the change, or the wake finds the waiter.
//!
//! A wait ends
//!
//! - at once, if the word differs from `expected`;
//! - after a wake;
//! - sometimes without a cause. This is rare on the [backends](#backends) `Uring` and `Thread`. It is more common on `Waitv`,
//!   because waits on different words can share a thread there, and a wake of one word may end the waits on the others.
//!
//! So load the word again after each wait, in a loop. [`AsyncFutex::wait_until`] is such a loop.
//!
//! # Examples
//!
//! In this example two tasks take the place of two processes. Separate processes open the same memory by its name, with
//! [`NamedMemory::create`] and [`SharedMemory::open`].
//!
//! ```
//! use futex_tokio::{AsyncFutex, SharedMemory};
//! use std::sync::atomic::Ordering;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let memory = SharedMemory::anonymous(4096)?;
//! let futex = AsyncFutex::new(memory.word(0)?)?;
//!
//! let waiter = tokio::spawn({
//!     let futex = futex.clone();
//!     async move { futex.wait_until(|value| value != 0).await }
//! });
//!
//! futex.word().store(7, Ordering::Release); // change the word,
//! futex.wake_one(); //                         then wake
//! assert_eq!(waiter.await??, 7);
//! # Ok(())
//! # }
//! ```
//!
//! # Backends
//!
//! Each runtime has a [`Reactor`], which waits in the kernel. The reactor uses io_uring (the backend `Uring`) if the system
//! allows that. Otherwise it uses threads that block in `futex_waitv` (`Waitv`) or `FUTEX_WAIT` (`Thread`). The environment
//! variable `FUTEX_BACKEND` (`uring`, `waitv` or `thread`) overrides this choice. [`Backend`] compares the three backends.
//!
//! # Bare wakes
//!
//! A *bare* wake is a wake without a change that lasts: the word has not changed, or it has the value `expected` again.
//!
//! - On `Uring`, a bare wake reaches every wait that is [armed](WaitAsync). There is one exception: when a thread exits, the
//!   kernels 6.16 to 6.18.48 end all waits that this thread armed. The reactor arms these waits again. Until then, a bare
//!   wake misses them.
//! - On `Waitv` and `Thread`, a bare wake misses a wait whose thread is not *parked* (blocked in the kernel) at that moment.
//!   Such a thread has not parked yet, or it has left the kernel and is about to enter it again.
//!
//! The number that the wake returns does not include the waits that it misses.
//!
//! A wake that is handed on can miss the same waits as a bare wake. But on `Waitv` and `Thread` these are waits of *other*
//! processes only.
//!
//! # Features
//!
//! - `uring` (default): the io_uring backend.
//! - `tracing`: events when a backend is chosen or passed over, when no more rings can be opened, and when the runtime of a
//!   reactor shuts down.

// These modules come first because rustdoc shows the methods of `AsyncFutex` in the order of the modules.
mod futex;
mod wait;
mod wait_until;

mod changes;

mod budget;
mod driver;
mod memory;
mod process_end;
mod reactor;
mod register;
mod registry;
mod spin;
mod wait_any;

pub use self::{
    changes::Changes,
    futex::AsyncFutex,
    memory::{open_memory, receive_memory, receive_memory_unsealed, send_memory},
    process_end::{ProcessEnd, process_end},
    reactor::{Reactor, ReactorBuilder},
    spin::Spin,
    wait::{WaitAsync, WaitAsyncOwned},
    wait_any::{Target, WaitAny, wait_any},
};
#[doc(inline)]
pub use futex_core::{
    Backend, Deadline, MATCH_ANY, NamedMemory, ParseBackendError, Process, ProcessId, SharedMemory, Stats, WaitOutcome,
    Word,
};
