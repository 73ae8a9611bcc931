//! Safe wrappers over what Linux offers for waiting on a word of shared memory.
//!
//! This is the lowest layer of the async futex workspace and knows nothing about async. It is useful alone for a
//! program that wants to wait and wake without a runtime, for instance the small peer of a program that uses
//! `futex-tokio`. The [guide](https://github.com/async-futex/async-futex/blob/main/docs/guide.md) has whole
//! programs, among them peers in C and Python.
//!
//! | Module or type | What it wraps |
//! |---|---|
//! | [`Word`] | a handle to a futex word that keeps the word's memory alive, with a blocking `wait` and a `wake` |
//! | [`SharedMemory`] | memory that several processes map: a memfd, a POSIX name, a file, or a descriptor that was passed or received |
//! | [`NamedMemory`] | shared memory whose POSIX name this process owns, and removes |
//! | [`MemoryView`] | shared memory that is only looked into, by tools |
//! | [`ProcessId`], [`Process`] | the identity of a process, for shared memory, and its end (`pidfd_open(2)`) |
//! | [`futex`] | `futex(2)` and `futex_waitv(2)` |
//! | [`EventFd`] | `eventfd(2)` |
#![cfg_attr(feature = "uring", doc = "| [`uring`] | the futex operations of io_uring (feature `uring`) |")]
//!
//! # The contract of a futex
//!
//! *Change the word, then wake.* A waiter compares the word with the value that it expects and goes to sleep in one
//! step, so a waker that changes the word first and wakes second can't be missed.
//!
//! # Examples
//!
//! Two threads stand for two processes here. Processes find the memory by a name: [`SharedMemory::open_or_create`].
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
//! `unsafe_code` is denied in this crate and allowed in these files only: `word.rs` (a pointer and the owner of what it
//! points to), `mapping.rs` (`mmap`), `waitv.rs` (a slice of a transparent wrapper), `uring/ring.rs` (submission entries) and
//! `uring/ring/calls.rs` (an enter), `origin.rs` (`mmap` and `madvise`), `per_process.rs` (a pointer to what is never freed).

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

/// For the other crates of the workspace, which depend on this one by its exact version.
#[cfg(target_os = "linux")]
#[doc(hidden)]
pub mod __private {
    pub use crate::error::{explain, fail, with_kind};
    pub use crate::origin::Origin;
    pub use crate::per_process::PerProcess;
    pub use crate::shared_memory::{OPEN_PAUSES, is_not_there_yet, make_of_file};
}
