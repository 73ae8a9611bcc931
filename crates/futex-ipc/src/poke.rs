//! Ending the sleep of the watcher.

use crate::descriptor::Descriptor;
use crate::os::at_fork::{NotForked, OwnFile};
use futex_sys::__private::explain;
use rustix::io::{Errno, read, retry_on_intr};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};
use std::io;
use std::os::fd::OwnedFd;

/// What ends the sleep of the thread: a pair of connected sockets.
///
/// A socket has an inode of its own, unlike an eventfd. So it shows whether a program has closed the descriptors of the thread. When a
/// program closes the writing end, the thread wakes up, because a socket without a peer is readable. When it closes the reading end, a
/// poke raises no signal, unlike a write into a pipe.
#[derive(Debug)]
pub(crate) struct Poke {
    /// Dropped before `writer`. If a fork kept that end, the thread would not notice when other code closes it here.
    _not_forked: NotForked,
    writer: Descriptor,
    reader: Descriptor,
}

impl Poke {
    pub(crate) fn new() -> io::Result<Self> {
        let mut reader = None;
        let writer = OwnFile::open(|| {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let (end, writer) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(|errno| {
                explain(errno, "cannot create two sockets (see `ulimit -n` if descriptors ran out)")
            })?;
            reader = Some(end);
            Ok(writer)
        })?;
        let (writer, not_forked) = writer.into_parts();
        let (writer, reader) = (Descriptor::new(writer)?, reader.ok_or(Errno::BADF)?);
        Ok(Self { _not_forked: not_forked, writer, reader: Descriptor::new(reader)? })
    }

    /// Ends the sleep. Returns false if other code has closed a descriptor. Then the thread may not notice the poke.
    pub(crate) fn poke(&self) -> bool {
        let Ok(file) = self.writer.get() else { return false };
        // If there is no room for more, the other end is readable already.
        matches!(retry_on_intr(|| send(file, &[1], SendFlags::NOSIGNAL)), Ok(_) | Err(Errno::AGAIN))
    }

    /// Takes all pokes.
    ///
    /// # Errors
    ///
    /// If other code has closed a descriptor.
    pub(crate) fn take(&self) -> io::Result<()> {
        let file = self.file()?;
        match retry_on_intr(|| read(file, &mut [0_u8; 64])) {
            // The rest of many pokes ends the next sleep.
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(errno) => Err(explain(errno, "cannot read from a socket")),
        }
    }

    /// The descriptor that is readable after a poke.
    ///
    /// # Errors
    ///
    /// If other code has closed one of the two.
    pub(crate) fn file(&self) -> io::Result<&OwnedFd> {
        self.writer.get()?;
        self.reader.get()
    }
}
