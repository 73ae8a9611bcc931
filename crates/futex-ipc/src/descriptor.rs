//! Descriptors that other code may close.

use crate::os::at_fork::{Identity, identity};
use futex_sys::__private::explain;
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;

/// A descriptor of the watcher.
///
/// A program that closes all descriptors above 2 closes this descriptor too, and the next file that it opens may get the number. So
/// each use first checks that the number still leads to the same inode. (All eventfds, inotify instances and similar files share one
/// inode, so the check can't distinguish them. A socket has its own inode.)
#[derive(Debug)]
pub(crate) struct Descriptor {
    /// `None` only during the drop.
    file: Option<OwnedFd>,
    identity: Identity,
}

impl Descriptor {
    pub(crate) fn new(file: OwnedFd) -> io::Result<Self> {
        let identity = identity(&file)?;
        Ok(Self { file: Some(file), identity })
    }

    /// Returns the descriptor.
    ///
    /// # Errors
    ///
    /// If it was closed, or if its number leads to another file.
    pub(crate) fn get(&self) -> io::Result<&OwnedFd> {
        match &self.file {
            Some(file) if identity(file).is_ok_and(|there| there == self.identity) => Ok(file),
            _ => Err(explain(Errno::BADF, "a descriptor of the thread that watches regions was closed by other code")),
        }
    }

    /// Leaves the number alone from now on.
    pub(crate) fn lose(&mut self) {
        std::mem::forget(self.file.take());
    }
}

/// Does not close a number that leads to another file, or to none.
impl Drop for Descriptor {
    fn drop(&mut self) {
        if self.get().is_err() {
            self.lose();
        }
    }
}
