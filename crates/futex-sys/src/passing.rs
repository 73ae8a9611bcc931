//! Sending and receiving shared memory over Unix sockets (`SCM_RIGHTS`).

use crate::error::{explain, fail, refuse};
use crate::shared_memory::SharedMemory;
use rustix::cmsg_space;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::{set_socket_linger, socket_domain};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

impl SharedMemory {
    /// Sends the memory over a Unix socket, as one message of one descriptor (`SCM_RIGHTS`) and one byte.
    ///
    /// The peer calls [`receive`](Self::receive), or, in another language, receives the descriptor. The peer gets the same
    /// memory, not a copy. The value of the byte has no meaning.
    ///
    /// The call blocks while the socket's buffer is full, unless the socket is non-blocking. If the peer has closed the
    /// socket, the call returns an error and raises no signal (`SIGPIPE`).
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the socket is non-blocking and its buffer is full. Nothing was sent then. `BrokenPipe` or
    /// `ConnectionReset` if the peer has closed the socket. `InvalidInput` if the socket is not a Unix socket. Other errors of
    /// `sendmsg(2)`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futex_sys::SharedMemory;
    /// use std::os::unix::net::UnixStream;
    /// use std::sync::atomic::Ordering;
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let memory = SharedMemory::anonymous(4096)?;
    /// memory.send(&ours)?;
    ///
    /// // In the other process:
    /// let same = SharedMemory::receive(&theirs)?;
    /// same.word(64)?.store(9, Ordering::Release);
    ///
    /// assert_eq!(memory.word(64)?.load(Ordering::Acquire), 9);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send(&self, socket: impl AsFd) -> io::Result<()> {
        send_descriptor(self.as_fd(), socket)
    }

    /// Receives memory that a peer has [sent](Self::send) over a Unix socket. The memory must be sealed against shrinking. Other
    /// memory is refused.
    ///
    /// The reason: any process that has an unsealed object open for writing can make it shorter. Then an access to the lost pages
    /// raises `SIGBUS`, which ends this process. Memory made by [`anonymous`](Self::anonymous) is sealed. If you trust the peer,
    /// use [`receive_unsealed`](Self::receive_unsealed) for other memory.
    ///
    /// The call blocks until there is a message, unless the socket is non-blocking. The descriptor is closed on `exec`.
    ///
    /// The socket must not have an option that adds data to messages (`SO_PASSCRED`, `SO_PASSSEC`, `SO_PASSPIDFD`). With such
    /// an option, memory is refused. `SO_PASSPIDFD` has a second effect: each received message that has no descriptor leaves
    /// an open pidfd in this process.
    ///
    /// A peer can send a file of a file system that it runs itself (FUSE). The peer decides how long the system calls on that
    /// file take. So receive from an untrusted peer in a thread that may block.
    ///
    /// # Errors
    ///
    /// - `WouldBlock` if the socket is non-blocking and there is no message.
    /// - `UnexpectedEof` if the peer has closed the socket.
    /// - Other errors of `recvmsg(2)`.
    ///
    /// The following errors mean that a message was received and discarded, and that its descriptors are closed:
    ///
    /// - `InvalidData` if the memory is not sealed, or if the message does not have the form that [`send`](Self::send) sends.
    /// - `Other` if the descriptor did not arrive, for instance because this process has no descriptors left.
    /// - Those of [`from_fd`](Self::from_fd).
    pub fn receive(socket: impl AsFd) -> io::Result<Self> {
        let memory = Self::receive_unsealed(socket)?;
        if !memory.is_sealed() {
            return Err(wrong(
                "the shared memory that was received is not sealed against shrinking, so its other users could end this process \
                 by SIGBUS: make it by `SharedMemory::anonymous`, or, if you trust them, use `receive_unsealed`",
            ));
        }
        Ok(memory)
    }

    /// Like [`receive`](Self::receive), but also accepts memory that is not sealed, for instance memory with a POSIX name or a
    /// file.
    ///
    /// # Errors
    ///
    /// Those of [`receive`](Self::receive), except for memory that is not sealed.
    pub fn receive_unsealed(socket: impl AsFd) -> io::Result<Self> {
        Self::from_fd(receive(socket)?)
    }
}

/// Like [`SharedMemory::send`], for a descriptor of memory that is not mapped.
///
/// # Errors
///
/// Those of [`SharedMemory::send`].
pub fn send_descriptor(memory: BorrowedFd<'_>, socket: impl AsFd) -> io::Result<()> {
    // TCP sends the byte without the descriptor and returns success.
    if socket_domain(&socket).is_ok_and(|family| family != AddressFamily::UNIX) {
        return Err(refuse("shared memory can be sent over Unix sockets only, and this socket is of another family"));
    }
    let fds = [memory];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let sent = retry_on_intr(|| {
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fits = control.push(SendAncillaryMessage::ScmRights(&fds));
        debug_assert!(fits, "there is room for one descriptor");
        sendmsg(&socket, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL)
    });
    match sent {
        Ok(_) => Ok(()),
        Err(Errno::AGAIN) => Err(Errno::AGAIN.into()),
        Err(errno) => {
            let hint = match errno {
                Errno::TOOMANYREFS => ": too many descriptors are sent and not received yet (see `ulimit -n`)",
                _ => "",
            };
            Err(explain(errno, format!("cannot send shared memory over a socket{hint}")))
        }
    }
}

/// Receives the descriptor of the next message.
fn receive(socket: impl AsFd) -> io::Result<OwnedFd> {
    // Room for one descriptor. Alignment may add room for one or two more.
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let received =
        retry_on_intr(|| recvmsg(&socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC));
    let received = match received {
        Ok(received) => received,
        Err(Errno::AGAIN) => return Err(Errno::AGAIN.into()), // without an allocation, because runtimes try often
        Err(errno) => return Err(explain(errno, "cannot receive shared memory over a socket")),
    };

    let fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    // A descriptor that is not memory is closed. It may be a TCP socket with a lingering close whose time the peer has chosen.
    let mut fds = fds.flatten().inspect(|fd| {
        let _ = set_socket_linger(fd, None);
    });
    let first = fds.next();
    let others = fds.count(); // closes the others

    let is_cut = received.flags.contains(ReturnFlags::CTRUNC);
    match first {
        Some(_) if others > 0 || is_cut => {
            Err(wrong("a message has more than one descriptor, but shared memory is sent as one per message"))
        }
        Some(_) if received.flags.contains(ReturnFlags::TRUNC) => {
            Err(wrong("a message with a descriptor has more than the one byte that shared memory is sent with"))
        }
        Some(fd) => Ok(fd),
        None if is_cut => Err(fail(
            io::ErrorKind::Other,
            "the descriptor of a message did not arrive: this process has no descriptors left (see `ulimit -n`), or a \
             security module forbids it, or an option of the socket such as SO_PASSCRED takes its place",
        )),
        None if received.bytes == 0 => {
            Err(fail(io::ErrorKind::UnexpectedEof, "the peer has closed the socket, and no shared memory was received"))
        }
        None => Err(wrong(
            "a message has no descriptor, but shared memory was expected: is other data sent on this socket?",
        )),
    }
}

fn wrong(sentence: &str) -> io::Error {
    fail(io::ErrorKind::InvalidData, sentence)
}
