//! Bad input, and the error messages for it.

use futex_tests::peer::Peer;
use futex_tests::{arm, on_each_runtime, within};
use futex_tokio::{AsyncFutex, Backend, Reactor, SharedMemory, Target, wait_any};
use futures_util::StreamExt as _;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use tokio::runtime::Builder;

const PEER: &str = env!("CARGO_BIN_EXE_peer");
const CLOSED: &str = "the futex reactor was closed, or its runtime has shut down: wait with another reactor";

fn word() -> Arc<AtomicU32> {
    Arc::new(AtomicU32::new(0))
}

#[track_caller]
fn is_refused<T: std::fmt::Debug>(result: io::Result<T>, kind: io::ErrorKind, message: &str) {
    let error = result.expect_err("the call must fail");
    assert_eq!((error.kind(), &*error.to_string()), (kind, message));
}

/// Starts a peer with this value of `FUTEX_BACKEND`, and returns its answer to the question for its backend.
fn backend_of(value: &OsStr) -> String {
    let memory = SharedMemory::anonymous(4096).expect("memory");
    let mut command = Command::new(PEER);
    command.env("FUTEX_BACKEND", value);
    let mut peer = Peer::start_as(command, &memory);
    peer.tell("runtime current-thread");
    peer.ask("backend")
}

#[test]
fn an_unknown_backend_in_the_environment_is_refused() {
    let names: [(&[u8], &str); 5] = [
        (b"epoll", "epoll"),
        (b"URING", "URING"),
        (b" uring", " uring"),
        (b"uring,waitv", "uring,waitv"),
        (b"\xff", "\u{fffd}"), // not Unicode
    ];
    for (value, shown) in names {
        assert_eq!(
            backend_of(OsStr::from_bytes(value)),
            format!(
                "error InvalidInput: cannot use FUTEX_BACKEND={shown}: {shown:?} is not a futex backend: the backends are uring, \
                 waitv and thread"
            )
        );
    }
}

#[test]
fn an_empty_backend_variable_chooses_nothing() {
    let answer = backend_of(&OsString::new());
    assert!(answer.parse::<Backend>().is_ok(), "{answer}");
}

#[test]
fn outside_a_runtime_there_is_no_reactor() {
    const OUTSIDE: &str =
        "there is no Tokio runtime here: call this within one, or give the futex a reactor that was made in one";
    is_refused(AsyncFutex::new(word()), io::ErrorKind::Unsupported, OUTSIDE);
    is_refused(Reactor::current(), io::ErrorKind::Unsupported, OUTSIDE);
    is_refused(Reactor::builder().backend(Backend::Thread).build(), io::ErrorKind::Unsupported, OUTSIDE);
}

#[test]
fn a_reactor_that_was_made_in_a_runtime_can_be_given_to_a_futex_outside() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let reactor = runtime.block_on(async { Reactor::current() }).unwrap();
    let futex = AsyncFutex::with_reactor(&reactor, word());
    runtime.block_on(futex.wait_async(1)).unwrap();
}

#[test]
fn a_runtime_without_an_io_driver_is_refused() {
    const NO_DRIVER: &str = "this Tokio runtime has no I/O driver: build it with `enable_io` or `enable_all`";
    for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        let runtime = builder.worker_threads(1).enable_time().build().unwrap();
        runtime.block_on(async {
            is_refused(AsyncFutex::new(word()), io::ErrorKind::Unsupported, NO_DRIVER);
            is_refused(Reactor::builder().build(), io::ErrorKind::Unsupported, NO_DRIVER);
            // The first failure has no effect on the next call.
            is_refused(Reactor::current(), io::ErrorKind::Unsupported, NO_DRIVER);
        });
    }
    on_each_runtime(async || {
        AsyncFutex::new(word()).expect("a futex");
    });
}

#[test]
fn wait_any_without_targets_is_refused() {
    on_each_runtime(async || {
        is_refused(
            within(wait_any::<Target<'_>>([])).await,
            io::ErrorKind::InvalidInput,
            "a wait without any words would never end: pass at least one word",
        );
    });
}

#[test]
fn a_closed_reactor_ends_its_waits_and_refuses_new_ones() {
    on_each_runtime(async || {
        let futex = AsyncFutex::new(word()).expect("a futex");
        let mut wait = futex.wait_async(0);
        arm(&mut wait).await;
        futex.reactor().close();
        is_refused(within(wait).await, io::ErrorKind::BrokenPipe, CLOSED);
        is_refused(within(futex.wait_async(0)).await, io::ErrorKind::BrokenPipe, CLOSED);
        is_refused(within(futex.wait_until(|value| value == 1)).await, io::ErrorKind::BrokenPipe, CLOSED);
        is_refused(within(wait_any([(&futex, 0)])).await, io::ErrorKind::BrokenPipe, CLOSED);
        is_refused(within(futex.changes(0).next()).await.expect("an item"), io::ErrorKind::BrokenPipe, CLOSED);
        // A wait whose word differs needs no reactor, and a wake needs none.
        within(futex.wait_async(1)).await.expect("the word differs");
        futex.wake_one();

        // The runtime gets another reactor. This futex has another word: on `Thread`, the first wait has left a thread parked on
        // the old word. If the wake above has reached that thread, it hands the wake on, perhaps to the next wait.
        let futex = AsyncFutex::new(word()).expect("a futex");
        let mut wait = futex.wait_async(0);
        arm(&mut wait).await;
        futex_tests::eventually(|| futex.wake_one()).await;
        within(wait).await.expect("a wake");
    });
}

#[test]
fn a_wait_ends_with_the_runtime_that_drives_its_reactor() {
    on_each_runtime(async || {
        let other = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let futex = {
            let _guard = other.enter();
            AsyncFutex::new(word()).expect("a futex")
        };
        let mut wait = futex.wait_async(0);
        arm(&mut wait).await;
        other.shutdown_background();
        is_refused(within(wait).await, io::ErrorKind::BrokenPipe, CLOSED);
        is_refused(within(futex.wait_async(0)).await, io::ErrorKind::BrokenPipe, CLOSED);
    });
}

#[test]
fn memory_refuses_words_that_it_does_not_have() {
    let memory = SharedMemory::anonymous(4096).unwrap();
    is_refused(
        memory.word(6),
        io::ErrorKind::InvalidInput,
        "offset 6 is not a multiple of 4: a futex word is aligned to four bytes",
    );
    is_refused(
        memory.word(4096),
        io::ErrorKind::InvalidInput,
        "a word at offset 4096 ends beyond the shared memory, which has 4096 bytes",
    );
}
