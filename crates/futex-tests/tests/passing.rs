//! Tasks send memory without a name over Unix sockets.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use futex_tests::{arm, is_pending, on_each_runtime, within};
use futex_tokio::{AsyncFutex, SharedMemory, receive_memory, receive_memory_unsealed, send_memory};
use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::atomic::Ordering;
use tokio::net::UnixStream;

fn memory() -> SharedMemory {
    SharedMemory::anonymous(4096).unwrap()
}

/// Returns a file as shared memory, which is not sealed.
fn unsealed() -> SharedMemory {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(4096).unwrap();
    SharedMemory::open_path(&file).unwrap()
}

fn is_same(one: &SharedMemory, other: &SharedMemory) -> bool {
    one.word(64).unwrap().same_word(&other.word(64).unwrap())
}

/// Checks that a future may be spawned.
fn sendable<F: Future + Send>(future: F) -> F {
    future
}

#[test]
fn tasks_send_memory_to_each_other_and_wait_on_its_words() {
    on_each_runtime(async || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let peer = tokio::spawn(sendable(async move {
            let asked = receive_memory(&theirs).await?;
            let answer = memory();
            send_memory(&theirs, &answer).await?;
            let question = AsyncFutex::new(asked.word(0)?)?.wait_until(|value| value != 0).await?;
            answer.word(0)?.store(question + 1, Ordering::Release);
            answer.word(0)?.wake_all();
            io::Result::Ok(())
        }));
        let question = memory();
        within(send_memory(&ours, &question)).await.unwrap();
        let answer = within(receive_memory(&ours)).await.unwrap();
        let word = question.word(0).unwrap();
        word.store(6, Ordering::Release);
        word.wake_all();
        let futex = AsyncFutex::new(answer.word(0).unwrap()).unwrap();
        assert_eq!(within(futex.wait_until(|value| value != 0)).await.unwrap(), 7);
        within(peer).await.unwrap().unwrap();
    });
}

#[test]
fn a_blocking_peer_and_a_task_send_memory_to_each_other() {
    on_each_runtime(async || {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let ours = UnixStream::from_std(ours).unwrap();
        let peer = std::thread::spawn(move || {
            let memory = SharedMemory::receive(&theirs).unwrap();
            memory.send(&theirs).unwrap();
        });
        let sent = memory();
        within(send_memory(&ours, &sent)).await.unwrap();
        assert!(is_same(&within(receive_memory(&ours)).await.unwrap(), &sent));
        peer.join().unwrap();
    });
}

#[test]
fn a_dropped_receive_has_taken_nothing() {
    on_each_runtime(async || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        for _ in 0..10 {
            let mut receiving = Box::pin(receive_memory(&theirs));
            arm(&mut receiving).await;
            drop(receiving);
            let sent = memory();
            send_memory(&ours, &sent).await.unwrap();
            // The runtime may have seen the message or not.
            tokio::task::yield_now().await;
            assert!(is_same(&within(receive_memory(&theirs)).await.unwrap(), &sent));
        }
    });
}

#[test]
fn a_dropped_send_on_a_full_socket_has_sent_nothing() {
    on_each_runtime(async || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (first, last) = (memory(), memory());
        let mut sent = 0;
        loop {
            let mut sending = pin!(send_memory(&ours, &first));
            if is_pending(&mut sending).await {
                break;
            }
            sent += 1;
        }
        let mut dropped = Box::pin(send_memory(&ours, &last));
        arm(&mut dropped).await;
        drop(dropped);
        for _ in 0..sent {
            assert!(is_same(&within(receive_memory(&theirs)).await.unwrap(), &first));
        }
        // There is room again.
        within(send_memory(&ours, &last)).await.unwrap();
        assert!(is_same(&within(receive_memory(&theirs)).await.unwrap(), &last));
        drop(ours);
        assert_eq!(within(receive_memory(&theirs)).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn memory_that_can_shrink_is_received_only_by_receive_memory_unsealed() {
    on_each_runtime(async || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let unsealed = unsealed();
        send_memory(&ours, &unsealed).await.unwrap();
        let error = within(receive_memory(&theirs)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().starts_with("the shared memory that was received is not sealed"), "{error}");
        send_memory(&ours, &unsealed).await.unwrap();
        assert!(is_same(&within(receive_memory_unsealed(&theirs)).await.unwrap(), &unsealed));
    });
}

#[test]
fn the_end_of_the_socket_ends_a_receive() {
    on_each_runtime(async || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut receiving = Box::pin(receive_memory(&theirs));
        arm(&mut receiving).await;
        drop(ours);
        assert_eq!(within(receiving).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(within(send_memory(&theirs, &memory())).await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn halves_of_a_split_socket_can_send_and_receive() {
    on_each_runtime(async || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (_, sender) = ours.into_split();
        let (receiver, _) = theirs.into_split();
        let memory = memory();
        send_memory(sender.as_ref(), &memory).await.unwrap();
        assert!(is_same(&within(receive_memory(receiver.as_ref())).await.unwrap(), &memory));
    });
}
