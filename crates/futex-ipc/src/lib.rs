//! Locks, events and values in shared memory, for Tokio tasks and threads of several processes. Each process may be killed at any
//! time.
//!
//! A [`Region`] is memory that several processes map. A process that has opened it is a *member*. The region has *objects*, such as a
//! [`Mutex`], each with a name. All members that open an object get the same one.
//!
//! - Tasks await, and threads block, on the same objects. If an operation need not wait, and no other one waits for it, it makes no
//!   system call.
//! - If a process is killed, no other process waits for it: its locks become free, and its permits return.
//! - A value is always that of the last commit, whatever ends the section.
//! - Dropping a future cancels its wait, and loses no wake.
//!
//! The [guide](https://github.com/async-futex/async-futex/blob/main/docs/ipc.md)
//! ([中文](https://github.com/async-futex/async-futex/blob/main/docs/ipc.zh.md)) has a complete program for each use. The
//! [format](https://github.com/async-futex/async-futex/blob/main/docs/ipc-format.md) of a region is documented for programs in other
//! languages.
//!
//! # Examples
//!
//! In this example a second [`Region`] plays the role of another process: it is a separate member.
//!
//! ```
//! # #[cfg(feature = "tokio")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! use futex_ipc::{Mutex, Region};
//!
//! let name = format!("visits-{}", std::process::id()); // all processes use the same name
//! let region = Region::builder().open_or_create(&name)?;
//! let visits = Mutex::open_or_create(&region, "visits", 0_u64)?;
//!
//! let mut guard = visits.lock().await?;
//! *guard += 1; //     changes the guard's copy,
//! guard.commit(); //  makes the copy the value, and unlocks
//!
//! let other = Region::builder().open_or_create(&name)?;
//! let visits = Mutex::open_or_create(&other, "visits", 0_u64)?;
//! assert_eq!(*visits.lock().await?, 1);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "tokio"))]
//! # fn main() {}
//! ```
//!
//! # Objects
//!
//! | object | for | when a member of the region dies |
//! |---|---|---|
//! | [`Mutex<T>`](Mutex) | a value that several processes change; with `()`, a resource outside of the region | its mutex is unlocked, and the next owners learn of the death |
//! | [`RwLock<T>`](RwLock) | a value that many read and few change | as for a mutex; its readers do not count any more |
//! | [`Semaphore`] | a resource that at most *n* tasks use at a time | its permits return, each exactly once |
//! | [`ManualEvent`], [`AutoEvent`] | tasks that wait until something has happened | a set that it had not taken yet is kept |
//! | [`OnceCell<T>`](OnceCell) | a value that one process computes | another process computes the value |
//! | [`Barrier`] | tasks that wait for each other | its tasks are detached |
//! | [`Condvar`] | tasks that wait until a value satisfies a condition | a wake that it received is not lost |
//!
//! Values are plain bytes: see [`Value`]. Objects are never removed from a region.
//!
//! # The contract
//!
//! **The kernel notices a death.** Each member has a lock on the region's file, and the kernel drops this lock when the process
//! ends, whatever ends it. Each process has a thread named `futex-ipc`. One of these threads then repairs what the dead member had,
//! and wakes the waiters.
//!
//! **An owner learns of the death of a predecessor** from [`predecessor_died`](MutexGuard::predecessor_died). The value in the region is
//! intact. A file or a device that the lock guards may be half changed. The owner repairs it, and calls
//! [`settle`](MutexGuard::settle).
//!
//! **A member counts as dead when its threads can't write into the region any more.** Its other descriptors may be open a little
//! longer: see [`Member::process`].
//!
//! **The data exist as long as the region has a member.** If all members die, the next process that makes a region of this name
//! gets an empty one.
//!
//! **Other members are not trusted with more than the data.** A member that writes random bytes into the region makes others return
//! errors or wrong data. It causes no undefined behaviour, no panic, and no access outside of the region.
//!
//! # Errors
//!
//! Each call that returns an [`io::Result`](std::io::Result) returns an error of kind `Unsupported` in a fork of the process that opened
//! the region, `BrokenPipe` after [`Region::close`], and `InvalidData` if the region is damaged. The documentation of a function lists
//! the other errors.
//!
//! # Processes
//!
//! - A child of `fork` is not a member: operations on the parent's handles return errors of kind `Unsupported` in the child. The child
//!   can open the region itself.
//! - `exec` ends the membership.
//! - A process that is stopped (`SIGSTOP`, a debugger) is alive, and the others wait for the locks and permits that it has.
//!
//! [`Region`](Region#processes) has the details. Use [`Region::watch_members`] to follow the members that join, leave and die.
//!
//! # Features
//!
//! - `tokio` (default): the async half. Without this feature, the crate does not depend on Tokio.
//! - `uring` (default): the io_uring backend of the async half.

#[cfg(not(target_has_atomic = "64"))]
compile_error!("futex-ipc needs atomics of 64 bits");

mod attachment;
mod barrier;
mod condvar;
mod copies;
mod descriptor;
mod directory;
mod drive;
mod event;
mod exclusive;
mod file_system;
mod format;
mod hook;
mod information;
mod inspect;
mod members;
mod membership;
mod mutex;
mod name;
mod object;
mod once_cell;
mod os;
mod poke;
mod presence;
mod region;
mod run;
mod rwlock;
mod semaphore;
mod stats;
#[expect(unreachable_pub, reason = "this module is like a crate of its own, with an interface for its drivers")]
mod steps;
#[cfg(test)]
#[cfg(not(loom))]
mod testing;
mod value;
mod waits;
mod watcher;

pub use self::barrier::{Barrier, BarrierWaitResult, Participant};
pub use self::condvar::Condvar;
pub use self::directory::{Kind, MAX_NAME};
pub use self::event::{AutoEvent, ManualEvent};
pub use self::format::{MAX_MEMBERS, MAX_OBJECTS};
pub use self::inspect::{
    Inspection, LockState, MemberId, MemberWait, ObjectInfo, ObjectState, Share, SleepPurpose, Tasks,
};
pub use self::members::{Member, MemberEvent, MemberEvents};
pub use self::mutex::{Guard, Mutex, MutexGuard, OwnedMutexGuard};
pub use self::once_cell::OnceCell;
pub use self::region::{Builder, Region};
pub use self::rwlock::RwLock;
pub use self::rwlock::guard::{
    OwnedRwLockReadGuard, OwnedRwLockWriteGuard, ReadGuard, RwLockReadGuard, RwLockWriteGuard, WriteGuard,
};
pub use self::semaphore::Semaphore;
pub use self::semaphore::permit::{OwnedSemaphorePermit, Permit, SemaphorePermit};
pub use self::stats::Stats;
pub use self::value::Value;
#[doc(inline)]
pub use futex_sys::{Deadline, Process, ProcessId};

#[cfg(test)]
#[cfg(not(loom))]
mod document;
#[cfg(test)]
#[cfg(not(loom))]
mod explorer;
#[cfg(test)]
mod loom_models;
#[cfg(test)]
mod sync;
