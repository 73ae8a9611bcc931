//! The locks, and how processes get them.

use super::posix::LEN;
use crate::hull::Hull;
use crate::robust_mutex::RobustMutex;
use anyhow::Result;
use futex_ipc::Region;
use futex_tokio::SharedMemory;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// A lock that processes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Lock {
    /// A mutex of the library, by threads that block.
    Blocking,
    /// The same, by tasks on a multi-thread runtime.
    Tasks,
    /// A mutex of pthreads, robust and shared by processes.
    Robust,
    /// `flock(2)`. Each thread has an open file description of its own.
    Flock,
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blocking => "ours, threads",
            Self::Tasks => "ours, tasks",
            Self::Robust => "robust pthread mutex",
            Self::Flock => "flock",
        })
    }
}

/// The object of a lock, in the process that made it.
pub(crate) enum Shared {
    Region(Region),
    Memory(SharedMemory),
    File(File),
}

/// Name of the mutex in a region.
pub(super) const NAME: &str = "lock";

impl Lock {
    pub(crate) fn make(self) -> Result<Shared> {
        Ok(match self {
            Self::Blocking | Self::Tasks => Shared::Region(Region::builder().anonymous()?),
            Self::Robust => Shared::Memory(RobustMutex::make(SharedMemory::anonymous(LEN)?)?.memory().clone()),
            // On a disk it is the same: the lock is in the kernel's inode.
            Self::Flock => Shared::File(tempfile::NamedTempFile::new_in(Path::new("/dev/shm"))?.into_file()),
        })
    }
}

impl Shared {
    /// What another process receives. `control` is the first descriptor.
    pub(crate) fn hull(&self, control: &SharedMemory) -> Result<Hull> {
        let object: OwnedFd = match self {
            Self::Region(region) => region.share()?,
            Self::Memory(memory) => memory.as_fd().try_clone_to_owned()?,
            Self::File(file) => file.as_fd().try_clone_to_owned()?,
        };
        Hull::of([control, &object])
    }
}

/// Opens a file again, so that this thread does not share its locks with others.
pub(crate) fn reopen(file: &impl AsFd) -> Result<File> {
    use std::os::fd::AsRawFd as _;
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    Ok(File::options().read(true).write(true).open(path)?)
}
