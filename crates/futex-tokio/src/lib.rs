//! Tokio tasks of different processes wait for each other.
//!
//! [`AsyncFutex::wait_async`] lets a task sleep on an `AtomicU32` in memory that several processes share, until any process
//! wakes it: another program with this crate, a C program that only knows `FUTEX_WAKE`, or a task of the same process. No
//! thread of the runtime blocks, nothing polls, no wake is lost, and a future that is dropped leaves no trace.
//!
//! The [guide](https://github.com/async-futex/async-futex/blob/main/docs/guide.md)
//! ([中文](https://github.com/async-futex/async-futex/blob/main/docs/guide.zh.md)) shows each use as a whole program: peers
//! in C and Python, state machines, queues, timeouts, locks, workers that die, shutdown.
//!
//! # The contract
//!
//! *Change the word, then wake.* A wait compares the word with `expected` and goes to sleep in one step, in the kernel, so
//! a waker that changes the word first and wakes second can't be missed. A wait ends
//!
//! - at once, if the word differs from `expected`;
//! - after a wake;
//! - now and then, without either: rarely on `Uring`, more often on `Waitv`, because a wake of one word may end the waits
//!   on others that share its thread. So load the word again, in a loop, or use [`AsyncFutex::wait_until`], which does.
//!
//! # Examples
//!
//! Two tasks stand for two processes here. Processes find the memory by a name: [`NamedMemory::create`] and
//! [`SharedMemory::open`].
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
//! One [`Reactor`] per runtime waits in the kernel with io_uring, if that is allowed, and otherwise with threads parked in
//! `futex_waitv` or `FUTEX_WAIT`. It tries what works; `FUTEX_BACKEND=uring|waitv|thread` in the environment overrides the
//! choice. [`Backend`] compares them.
//!
//! # Features
//!
//! - `uring` (default): the io_uring backend.
//! - `tracing`: events about the choice of the backend, and about runtimes that end.

// These come first, in the order in which the page of `AsyncFutex` is to show their methods.
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
