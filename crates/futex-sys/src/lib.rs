//! Safe wrappers over the Linux interfaces for waiting on a word of shared memory.
//!
//! This is the lowest layer of the async futex workspace. It has no async code. Use it alone in a program that waits and
//! wakes without a runtime, for instance a small peer of a program that uses `futex-tokio`. The
//! [guide](https://github.com/async-futex/async-futex/blob/main/docs/guide.md) has complete programs, among them peers in
//! C and Python.
//!
//! | Module or type | Purpose |
//! |---|---|
//! | [`Word`] | a handle to a futex word, which keeps the word's memory alive; has a blocking `wait` and a `wake` |
//! | [`SharedMemory`] | memory that several processes map: a memfd, a POSIX name, a file, or a descriptor of another process |
//! | [`NamedMemory`] | shared memory whose POSIX name this process owns and removes |
//! | [`MemoryView`] | shared memory that a tool inspects without changing it |
//! | [`ProcessId`], [`Process`] | the identity of a process, to be stored in shared memory, and the end of the process |
//! | [`Deadline`] | the point in time at which a blocking wait gives up |
//! | [`futex`] | `futex(2)` and `futex_waitv(2)` |
//! | [`EventFd`] | `eventfd(2)` |
#![cfg_attr(feature = "uring", doc = "| [`uring`] | the futex operations of io_uring (feature `uring`) |")]
//!
//! # The contract of a futex
//!
//! *Change the word, then wake.* The kernel compares the word with the expected value and queues the waiter in one step. So
//! a waiter can't miss a wake if the waker changes the word first and wakes second.
//!
//! # Examples
//!
//! Here two threads stand for two processes. Real processes can find the memory by a name
//! ([`SharedMemory::open_or_create`]).
//!
//! ```
//! use futex_sys::SharedMemory;
//! use std::sync::atomic::Ordering;
//!
//! let memory = SharedMemory::anonymous(4096)?;
//! let word = memory.word(0)?;
//!
//! let peer = std::thread::spawn({
//!     let word = word.clone();
//!     move || {
//!         while word.load(Ordering::Acquire) == 0 {
//!             word.wait(0, None).unwrap();
//!         }
//!         word.load(Ordering::Acquire)
//!     }
//! });
//!
//! word.store(7, Ordering::Release); // change the word,
//! word.wake_one(); //                  then wake
//! assert_eq!(peer.join().unwrap(), 7);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Unsafe code
//!
//! `unsafe_code` is denied in this crate, except in these files: `word.rs` (a pointer, and the owner of its memory),
//! `mapping.rs` (`mmap`), `waitv.rs` (a slice of a transparent wrapper), `uring/ring.rs` (submission entries) and
//! `uring/ring/calls.rs` (`io_uring_enter`), `origin.rs` (`mmap` and `madvise`), `per_process.rs` (a pointer to memory that
//! is never freed).

#[cfg(not(target_os = "linux"))]
compile_error!("futex-sys supports Linux only: it wraps Linux's futexes, eventfds and io_uring");

#[cfg(target_os = "linux")]
mod deadline;
#[cfg(target_os = "linux")]
mod error;
#[cfg(target_os = "linux")]
mod eventfd;
#[cfg(target_os = "linux")]
pub mod futex;
#[cfg(target_os = "linux")]
mod layout;
#[cfg(target_os = "linux")]
mod mapping;
#[cfg(target_os = "linux")]
mod name_lock;
#[cfg(target_os = "linux")]
mod named_memory;
#[cfg(target_os = "linux")]
mod object;
#[cfg(target_os = "linux")]
mod origin;
#[cfg(target_os = "linux")]
mod owner;
#[cfg(target_os = "linux")]
mod passing;
#[cfg(target_os = "linux")]
mod per_process;
#[cfg(target_os = "linux")]
mod posix_name;
#[cfg(target_os = "linux")]
mod proc_fs;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod publish;
#[cfg(target_os = "linux")]
mod reserve;
#[cfg(target_os = "linux")]
mod shared_memory;
#[cfg(all(target_os = "linux", feature = "uring"))]
pub mod uring;
#[cfg(target_os = "linux")]
mod view;
#[cfg(target_os = "linux")]
mod waitv;
#[cfg(target_os = "linux")]
mod word;

#[cfg(target_os = "linux")]
pub use self::{
    deadline::Deadline,
    eventfd::EventFd,
    futex::{MATCH_ANY, WaitOutcome},
    named_memory::NamedMemory,
    process::{Process, ProcessId},
    shared_memory::SharedMemory,
    view::MemoryView,
    word::Word,
};

/// Items for the other crates of the workspace, which depend on the exact version of this crate.
#[cfg(target_os = "linux")]
#[doc(hidden)]
pub mod __private {
    pub use crate::error::{explain, fail, with_kind};
    pub use crate::origin::Origin;
    pub use crate::passing::send_descriptor;
    pub use crate::per_process::PerProcess;
    pub use crate::posix_name::{DIRECTORY, posix_entry};
    pub use crate::shared_memory::{
        OPEN_PAUSES, is_not_there_yet, keep_from_forks, lose_descriptor, make_of_file, reserve_file, words64,
    };
}
