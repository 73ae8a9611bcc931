//! Regions that are passed on as descriptors.
//!
//! Each member has its own open file description, because the locks of one description do not exclude each other. So a member passes
//! a fresh description on, and the receiver opens the file again, if the system allows it.

use super::{Builder, Region};
use crate::format::refuse;
use crate::os::at_fork::OwnFile;
use crate::watcher;
use futex_sys::__private::{explain, send_descriptor};
use futex_sys::SharedMemory;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

impl Region {
    /// Sends the region over a Unix socket, as one message with one descriptor (`SCM_RIGHTS`) and one byte. The peer calls
    /// [`Builder::receive`].
    ///
    /// The descriptor has a fresh open file description. So the peer can join even if it has no `/proc`, or runs as another user.
    ///
    /// The call blocks while the socket's buffer is full, unless the socket is non-blocking.
    ///
    /// # Errors
    ///
    /// - `InvalidInput` if the region has a name, because the memory of such a region can't be sealed against shrinking. Let the peer
    ///   open the region by its name.
    /// - `WouldBlock`, `BrokenPipe` and others of [`SharedMemory::send`].
    /// - `NotFound` or another kind if `/proc` can't be used. This process needs it to open the file again.
    /// - `Unsupported` in a fork. `BrokenPipe` if the region was closed. `InvalidData` if it is damaged.
    pub fn send(&self, socket: impl AsFd) -> io::Result<()> {
        self.presence.check()?;
        if !self.presence.is_sealed() {
            return Err(refuse(format!(
                "{} can't be sent, because its memory is not sealed against shrinking: let the peer open it by its name, or make \
                 it by `Builder::anonymous`",
                self.presence.what()
            )));
        }
        let file = OwnFile::open(|| self.reopen())?;
        let sent = send_descriptor(file.as_fd(), socket)
            .map_err(|error| would_block(error, "the buffer of the socket is full"));
        // The peer has the same description. While a fork has it too, the death of the peer is not noticed.
        file.close();
        sent
    }

    /// Returns a descriptor of the region for another process, which inherits it and calls [`Builder::from_fd`]. Each process needs
    /// its own descriptor, unless it has `/proc`.
    ///
    /// If the region has a name, this function opens the file by the name. Then the other process learns the name from the descriptor.
    ///
    /// The descriptor is closed on `exec` (`FD_CLOEXEC`), unless the caller changes that.
    ///
    /// # Errors
    ///
    /// `NotFound` or another kind if no name leads to the region, and `/proc` can't be used. `Unsupported` in a fork. `BrokenPipe` if
    /// the region was closed. `InvalidData` if it is damaged.
    pub fn share(&self) -> io::Result<OwnedFd> {
        self.presence.check()?;
        let by_name = self.presence.name().and_then(|name| name.reopen(self.presence.identity()));
        by_name.map_or_else(|| self.reopen(), Ok)
    }

    fn reopen(&self) -> io::Result<OwnedFd> {
        reopen(self.presence.as_fd()).map_err(|errno| {
            let what = self.presence.what();
            explain(
                errno,
                format!("cannot pass on {what}: its file can't be opened again through /proc/thread-self/fd"),
            )
        })
    }
}

impl Builder {
    /// Receives a region that a peer has [sent](Region::send) over a Unix socket, and joins it. The memory must be sealed against
    /// shrinking.
    ///
    /// The call blocks until a message arrives, unless the socket is non-blocking. In a task, pass the call to `async_io` of a Tokio
    /// socket.
    ///
    /// # Errors
    ///
    /// Those of [`SharedMemory::receive`] and of [`from_fd`](Self::from_fd).
    pub fn receive(&self, socket: impl AsFd) -> io::Result<Region> {
        let memory = SharedMemory::receive(socket).map_err(|error| would_block(error, "no region has arrived yet"))?;
        self.join_again(memory.as_fd(), "the region that was received")
    }

    /// Joins the region of a descriptor, for example of an inherited one. The caller may close the descriptor afterwards.
    ///
    /// If the region has a name, this member learns the name from `/proc`. If it is the last member that leaves, it removes the name. It
    /// does not learn the name if there is no `/proc`, if the file belongs to another user, if other users may write the file, or if the
    /// descriptor is that of the member that made the region, and not from [`share`](Region::share). In these cases, if it is the last
    /// member that leaves, the file remains until a process opens the name.
    ///
    /// # Without `/proc`
    ///
    /// The function opens the file again, because each member needs its own open file description. If it can't (there is no `/proc`,
    /// or the file belongs to another user), the member uses the description of the descriptor. Then all other processes that have
    /// this description must close it, for example the parent from which this process has inherited the descriptor. Otherwise the
    /// death of this member is not noticed while they live. A second member with the same description is refused.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the label is too long, or has a zero byte. `InvalidData` if the memory is not a region, or if the region has
    /// another format or is damaged. `ResourceBusy` if the region is full, or if another member uses the description. `Unsupported` if
    /// the file is on a file system that is not local, or on `OverlayFS`. Those of [`SharedMemory::from_fd`].
    pub fn from_fd(&self, fd: impl AsFd) -> io::Result<Region> {
        self.join_again(fd.as_fd(), "the region of the descriptor")
    }

    /// Joins through a fresh description if the file can be opened again, and otherwise through the description of the descriptor.
    pub(super) fn join_again(&self, fd: BorrowedFd<'_>, what: &str) -> io::Result<Region> {
        watcher::prepare()?;
        let fresh = OwnFile::open(|| Ok(reopen(fd)?));
        match fresh {
            Ok(file) => self.join(file, false, what),
            Err(error) if Errno::from_io_error(&error).is_some_and(means_not_again) => self.join_through(fd, what),
            Err(error) => Err(explain(error, format!("cannot open the file of {what} again"))),
        }
    }

    /// Joins through the description of a descriptor.
    pub(super) fn join_through(&self, fd: BorrowedFd<'_>, what: &str) -> io::Result<Region> {
        let file = OwnFile::open(|| {
            fcntl_dupfd_cloexec(fd, 3).map_err(|errno| explain(errno, format!("cannot copy the descriptor of {what}")))
        })?;
        self.join(file, true, what)
    }
}

/// Opens the file of a descriptor again, with an open file description of its own.
fn reopen(fd: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    // `thread-self`, because a thread can have its own table of descriptors.
    let path = format!("/proc/thread-self/fd/{}", fd.as_raw_fd());
    openat(CWD, path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

/// True for the errors of a system without `/proc`, of a user who may not open the file, and of a file that can't be opened again for
/// writing. Then the descriptor may still be open for writing.
fn means_not_again(errno: Errno) -> bool {
    let no_proc = matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP);
    let forbidden = matches!(errno, Errno::ACCESS | Errno::PERM);
    no_proc || forbidden || matches!(errno, Errno::NXIO | Errno::ROFS | Errno::TXTBSY | Errno::ISDIR)
}

/// Explains an error of a socket that is non-blocking.
fn would_block(error: io::Error, what: &str) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => explain(
            error,
            format!(
                "{what}, and the socket is non-blocking: make it blocking, or await it (`async_io` of a Tokio socket calls this \
                 function again)"
            ),
        ),
        _ => error,
    }
}
