//! Locks between processes: those of the library, and what one would use instead. These files do not start processes.

mod death;
mod lock;
mod posix;
mod readers;
mod workers;

pub(crate) use self::death::{hold, taker};
pub(crate) use self::lock::{Lock, Shared};
pub(crate) use self::posix::{LEN, SharedRwLock, SharedSemaphore};
pub(crate) use self::readers::{READ, READS, REST, Reader, read};
pub(crate) use self::workers::{Control, PROCESSES, work};
