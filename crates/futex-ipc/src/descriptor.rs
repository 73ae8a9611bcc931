//! Descriptors whose number may be taken away.

use futex_sys::__private::explain;
use rustix::fs::fstat;
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// A descriptor of the watcher.
///
/// A program that closes all descriptors above 2 closes this one too, and the next file that it opens may get the number. So
/// each use checks first that the descriptor still leads to the same inode. (All eventfds, instances of inotify and the like
/// share one inode. They are taken for each other.)
#[derive(Debug)]
pub(crate) struct Descriptor<T: AsFd> {
    /// `None` only during the drop.
    file: Option<T>,
    identity: (u64, u64),
}

impl<T: AsFd> Descriptor<T> {
    pub(crate) fn new(file: T) -> io::Result<Self> {
        let identity =
            identity(file.as_fd()).map_err(|errno| explain(errno, "cannot get the metadata of a descriptor"))?;
        Ok(Self { file: Some(file), identity })
    }

    /// Returns the descriptor.
    ///
    /// # Errors
    ///
    /// If it was closed, or if its number leads to another file.
    pub(crate) fn get(&self) -> io::Result<&T> {
        match &self.file {
            Some(file) if identity(file.as_fd()) == Ok(self.identity) => Ok(file),
            _ => Err(explain(Errno::BADF, "a descriptor of the thread that watches regions was taken away")),
        }
    }
}

/// Does not close a number that leads to another file, or to none.
impl<T: AsFd> Drop for Descriptor<T> {
    fn drop(&mut self) {
        if self.get().is_err() {
            std::mem::forget(self.file.take());
        }
    }
}

fn identity(file: BorrowedFd<'_>) -> rustix::io::Result<(u64, u64)> {
    fstat(file).map(|stat| (stat.st_dev, stat.st_ino))
}
