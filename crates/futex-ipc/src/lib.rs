//! Locks in shared memory for tasks and threads of several processes, each of which may be killed between two instructions.
//!
//! [`steps`] has the algorithms, as machines that make one access to the shared memory per step. A driver runs them.

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
mod format;
mod hook;
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
pub mod steps;
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
pub use self::members::{Member, MemberEvent, MemberEvents};
pub use self::mutex::{Guard, Mutex, MutexGuard, OwnedMutexGuard};
pub use self::once_cell::OnceCell;
pub use self::region::{Builder, Region};
pub use self::rwlock::RwLock;
pub use self::rwlock::guard::{
    OwnedRwLockReadGuard, OwnedRwLockWriteGuard, ReadGuard, RwLockReadGuard, RwLockWriteGuard, WriteGuard,
};
pub use self::semaphore::{OwnedSemaphorePermit, Permit, Semaphore, SemaphorePermit};
pub use self::stats::Stats;
pub use self::value::Value;

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
