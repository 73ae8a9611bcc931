//! Sending and receiving memory over Unix sockets.

use crate::support::child::Process;
use crate::support::{assert_refused, errno, until};
use futex_sys::SharedMemory;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::{self, File};
use std::io::{ErrorKind, IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::atomic::Ordering;
use std::time::Duration;

fn memory() -> SharedMemory {
    SharedMemory::anonymous(4096).expect("memory")
}

/// A file as shared memory. It has no seals.
fn unsealed() -> (tempfile::NamedTempFile, SharedMemory) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    file.as_file().set_len(4096).expect("a length");
    let memory = SharedMemory::open_path(&file).expect("memory");
    (file, memory)
}

fn is_same(one: &SharedMemory, other: &SharedMemory) -> bool {
    one.word(64).expect("a word").same_word(&other.word(64).expect("a word"))
}

/// Number of descriptors of this process that refer to a file.
fn descriptors_of(file: &tempfile::NamedTempFile) -> usize {
    let fds = fs::read_dir("/proc/self/fd").expect("/proc");
    fds.filter(|fd| fs::read_link(fd.as_ref().expect("an entry").path()).is_ok_and(|path| path == file.path())).count()
}

/// Sends `data` with descriptors in one message.
fn send(socket: impl AsFd, data: &[u8], fds: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
    let sent = sendmsg(socket, &[IoSlice::new(data)], &mut control, SendFlags::empty());
    assert_eq!(sent, Ok(data.len()));
}

#[test]
fn memory_that_was_sent_is_the_same_memory_on_the_other_side() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let sent = [memory(), memory()];
    for memory in &sent {
        memory.send(&ours).unwrap();
    }
    // There is one message per memory, in order.
    for memory in &sent {
        let received = SharedMemory::receive(&theirs).unwrap();
        assert!(received.is_sealed() && received.len() == 4096 && is_same(&received, memory));
        received.word(0).unwrap().store(7, Ordering::Release);
        assert_eq!(memory.word(0).unwrap().load(Ordering::Acquire), 7);
        assert!(rustix::io::fcntl_getfd(&received).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    }
    assert!(!is_same(&sent[0], &sent[1]));
}

/// The role of a child whose standard input is a socket.
pub(crate) fn receive_memory() {
    let memory = SharedMemory::receive(std::io::stdin()).expect("memory");
    let word = memory.word(0).expect("a word");
    word.store(1, Ordering::Release);
    word.wake(u32::MAX);
}

#[test]
fn memory_without_a_name_reaches_another_process_through_a_socket() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let child = Process::start_with("receive-memory", OwnedFd::from(theirs));
    let memory = memory();
    memory.send(&ours).unwrap();
    let word = memory.word(0).unwrap();
    while word.load(Ordering::Acquire) == 0 {
        word.wait(0, None).unwrap();
    }
    assert!(child.end().success());
}

#[test]
fn memory_that_can_shrink_is_refused_and_closed() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (file, unsealed) = unsealed();
    let before = descriptors_of(&file);
    unsealed.send(&ours).unwrap();
    assert_refused(
        SharedMemory::receive(&theirs),
        ErrorKind::InvalidData,
        "the shared memory that was received is not sealed against shrinking, so its other users could end this process \
         by SIGBUS: make it by `SharedMemory::anonymous`, or, if you trust them, use `receive_unsealed`",
    );
    assert_eq!(descriptors_of(&file), before);
    // The refused message was consumed, so this call receives the next one.
    memory().send(&ours).unwrap();
    assert!(SharedMemory::receive(&theirs).unwrap().is_sealed());
}

#[test]
fn memory_that_can_shrink_is_received_if_asked_for() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (_file, unsealed) = unsealed();
    unsealed.send(&ours).unwrap();
    let received = SharedMemory::receive_unsealed(&theirs).unwrap();
    assert!(is_same(&received, &unsealed) && !received.is_sealed());
    memory().send(&ours).unwrap();
    assert!(SharedMemory::receive_unsealed(&theirs).unwrap().is_sealed());
}

#[test]
fn a_message_with_several_descriptors_is_refused_and_all_are_closed() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (file, unsealed) = unsealed();
    let before = descriptors_of(&file);
    for count in [2, 3, 64] {
        send(&ours, &[0], &vec![unsealed.as_fd(); count]);
        assert_refused(
            SharedMemory::receive_unsealed(&theirs),
            ErrorKind::InvalidData,
            "a message has more than one descriptor, but shared memory is sent as one per message",
        );
        assert_eq!(descriptors_of(&file), before, "of {count}");
    }
    unsealed.send(&ours).unwrap();
    assert!(is_same(&SharedMemory::receive_unsealed(&theirs).unwrap(), &unsealed));
}

#[test]
fn data_without_a_descriptor_is_refused() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(b"hello").unwrap();
    assert_refused(
        SharedMemory::receive(&theirs),
        ErrorKind::InvalidData,
        "a message has no descriptor, but shared memory was expected: is other data sent on this socket?",
    );
}

#[test]
fn a_descriptor_with_other_data_is_refused_and_closed() {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let (file, unsealed) = unsealed();
    let before = descriptors_of(&file);
    send(&ours, b"hello", &[unsealed.as_fd()]);
    assert_refused(
        SharedMemory::receive_unsealed(&theirs),
        ErrorKind::InvalidData,
        "a message with a descriptor has more than the one byte that shared memory is sent with",
    );
    assert_eq!(descriptors_of(&file), before);
    // Memory can be sent over datagram sockets too.
    unsealed.send(&ours).unwrap();
    assert!(is_same(&SharedMemory::receive_unsealed(&theirs).unwrap(), &unsealed));
}

#[test]
fn a_descriptor_of_something_else_is_refused() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    send(&ours, &[0], &[ours.as_fd()]);
    assert_refused(SharedMemory::receive(&theirs), ErrorKind::InvalidInput, "the descriptor can't be shared memory");
    // Memory that this process may only read.
    let (file, _) = unsealed();
    send(&ours, &[0], &[File::open(&file).unwrap().as_fd()]);
    assert_refused(SharedMemory::receive_unsealed(&theirs), ErrorKind::PermissionDenied, "cannot map 4096 bytes");
}

#[test]
fn the_end_of_the_socket_is_an_error() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(ours);
    for _ in 0..2 {
        assert_refused(
            SharedMemory::receive(&theirs),
            ErrorKind::UnexpectedEof,
            "the peer has closed the socket, and no shared memory was received",
        );
    }
    let error = memory().send(&theirs).unwrap_err();
    assert!(error.to_string().starts_with("cannot send shared memory over a socket: "), "{error}");
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn memory_that_was_sent_before_the_socket_was_closed_still_arrives() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let memory = memory();
    memory.send(&ours).unwrap();
    drop(ours);
    assert!(is_same(&SharedMemory::receive(&theirs).unwrap(), &memory));
}

#[test]
fn a_peer_that_has_gone_raises_no_signal() {
    let status = Process::start("send-where-sigpipe-ends-the-process", &memory()).end();
    assert!(status.success(), "{status}");
}

#[expect(unsafe_code, reason = "std ignores SIGPIPE, and has no way back")]
pub(crate) fn send_where_sigpipe_ends_the_process(memory: &SharedMemory) {
    // SAFETY: `signal` has no obligations.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let (ours, theirs) = UnixStream::pair().expect("sockets");
    drop(ours);
    assert_eq!(memory.send(&theirs).expect_err("the peer has closed the socket").kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_non_blocking_socket_returns_the_bare_error_number() {
    // A sentence would allocate memory, and a runtime gets this error often.
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    let would_block = |error: std::io::Error| {
        assert_eq!(error.raw_os_error(), Some(Errno::AGAIN.raw_os_error()), "{error}");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    };
    would_block(SharedMemory::receive(&theirs).unwrap_err());

    let memory = memory();
    let mut sent = 0;
    let error = loop {
        match memory.send(&ours) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    would_block(error);
    for _ in 0..sent {
        assert!(is_same(&SharedMemory::receive(&theirs).unwrap(), &memory));
    }
    would_block(SharedMemory::receive(&theirs).unwrap_err());
}

#[test]
fn a_descriptor_that_did_not_arrive_for_want_of_descriptors_is_an_error_that_says_so() {
    let status = Process::start("receive-without-a-descriptor-left", &memory()).end();
    assert!(status.success(), "{status}");
}

pub(crate) fn receive_without_a_descriptor_left(memory: &SharedMemory) {
    let (ours, theirs) = UnixStream::pair().expect("sockets");
    memory.send(&ours).expect("send");
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..getrlimit(Resource::Nofile) }).expect("a lower limit");
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    let text = "the descriptor of a message did not arrive: this process has no descriptors left (see `ulimit -n`)";
    assert_refused(SharedMemory::receive(&theirs), ErrorKind::Other, text);
}

#[test]
fn a_descriptor_that_credentials_displace_is_an_error() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    rustix::net::sockopt::set_socket_passcred(&theirs, true).unwrap();
    memory().send(&ours).unwrap();
    assert_refused(SharedMemory::receive(&theirs), ErrorKind::Other, "the descriptor of a message did not arrive");
}

#[test]
fn a_descriptor_that_is_not_a_socket_is_refused() {
    let memory = memory();
    let error = memory.send(&memory).unwrap_err();
    assert!(error.to_string().starts_with("cannot send shared memory over a socket: "), "{error}");
    assert_eq!(errno(&error), Some(Errno::NOTSOCK.raw_os_error()));
    assert_refused(SharedMemory::receive(&memory), error.kind(), "cannot receive shared memory over a socket: ");
}

#[test]
fn a_tcp_socket_is_refused() {
    // Regression: TCP sends the byte without the descriptor, so `send` returned success although no memory was sent.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut theirs, _) = listener.accept().unwrap();
    let text = "shared memory can be sent over Unix sockets only, and this socket is of another family";
    assert_refused(memory().send(&ours), ErrorKind::InvalidInput, text);
    drop(ours);
    assert_eq!(theirs.read(&mut [0]).unwrap(), 0, "nothing was sent");
}

/// A connection whose close blocks for an hour, because of `SO_LINGER` and a peer that reads nothing.
fn closed_after_an_hour() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let ours = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    ours.set_nonblocking(true).expect("non-blocking");
    while (&ours).write(&[0; 65536]).is_ok() {}
    ours.set_nonblocking(false).expect("blocking");
    rustix::net::sockopt::set_socket_linger(&ours, Some(Duration::from_secs(3600))).expect("SO_LINGER");
    (ours, listener.accept().expect("a connection").0)
}

#[test]
fn a_socket_that_its_sender_has_made_slow_to_close_is_closed_at_once() {
    // Regression: the close blocked the receiving thread, possibly a worker of a runtime, for the time that the peer had set.
    let (ours, theirs) = UnixStream::pair().unwrap();
    let memory = memory();
    for before in [None, Some(memory.as_fd())] {
        let (socket, _reads_nothing) = closed_after_an_hour();
        let fds: Vec<_> = before.into_iter().chain([socket.as_fd(); 1]).collect();
        send(&ours, &[0], &fds);
        drop(socket);
        let theirs = theirs.try_clone().unwrap();
        let receiver = std::thread::spawn(move || SharedMemory::receive(&theirs));
        until("the receiver has refused the socket", || receiver.is_finished());
        assert!(receiver.join().unwrap().is_err());
    }
}

#[test]
fn a_receiver_that_blocks_gets_what_is_sent_later() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let memory = memory();
    let receiver = std::thread::spawn(move || SharedMemory::receive(&theirs).unwrap());
    memory.send(&ours).unwrap();
    assert!(is_same(&receiver.join().unwrap(), &memory));
    until("the receiver's descriptor is closed", || memory.send(&ours).is_err());
}
