//! A sandbox forbids system calls. The reactor uses the next backend, and reports which ones it has passed over.

use futex_tests::peer::Peer;
use futex_tests::{arm, skip, until_waiters, within};
use futex_tokio::{AsyncFutex, Backend, Reactor, SharedMemory};
use std::process::Command;
use std::sync::atomic::Ordering;

const PEER: &str = env!("CARGO_BIN_EXE_peer");

/// Starts a peer. If `backend` is `None`, the peer chooses its backend itself.
fn peer(memory: &SharedMemory, backend: Option<&str>) -> Peer {
    let mut command = Command::new(PEER);
    match backend {
        Some(backend) => command.env("FUTEX_BACKEND", backend),
        None => command.env_remove("FUTEX_BACKEND"),
    };
    Peer::start_as(command, memory)
}

fn memory() -> SharedMemory {
    SharedMemory::anonymous(4096).expect("memory")
}

/// Returns true if a backend is available here, outside of the sandbox.
fn has(backend: Backend) -> bool {
    let reactor = Reactor::builder().backend(backend).build();
    if let Err(error) = &reactor {
        skip(&error.to_string());
    }
    reactor.is_ok()
}

/// Checks that a task of the peer can wait and is woken.
async fn works(memory: &SharedMemory, peer: &mut Peer) {
    let word = memory.word(0).expect("a word");
    peer.tell("arm works 0 0");
    until_waiters(&word, 1);
    word.store(1, Ordering::Release);
    word.wake(1); // this may find nobody: a thread that parks again sees the change
    assert_eq!(peer.report().await, "works ok");
}

/// Names of error numbers, and the system's texts for them.
const REASONS: [(&str, &str); 2] =
    [("EPERM", "Operation not permitted (os error 1)"), ("ENOSYS", "Function not implemented (os error 38)")];

fn why_no_waitv(reason: &str) -> String {
    format!("waitv: futex_waitv is not available: {reason}")
}

fn why_no_uring(reason: &str) -> String {
    match cfg!(feature = "uring") {
        true if reason.ends_with("(os error 1)") => format!(
            "uring: cannot open an io_uring, which the sandbox (seccomp) or the system (kernel.io_uring_disabled) forbids: \
             {reason}"
        ),
        true => format!("uring: cannot open an io_uring: {reason}"),
        false => "uring: this program was built without the feature `uring`".to_owned(),
    }
}

#[tokio::test]
async fn without_io_uring_the_reactor_uses_waitv() {
    if !has(Backend::Waitv) {
        return;
    }
    for (errno, reason) in REASONS {
        let memory = memory();
        let mut peer = peer(&memory, None);
        peer.tell(format_args!("forbid io_uring {errno}"));
        peer.tell("runtime multi-thread");
        assert_eq!(peer.ask("backend"), "waitv");
        assert_eq!(peer.ask("passed-over"), why_no_uring(reason));
        let debug = peer.ask("debug");
        assert!(debug.contains("backend: Waitv") && debug.contains("passed_over: [(Uring, "), "{debug}");
        works(&memory, &mut peer).await;
    }
}

#[tokio::test]
async fn without_io_uring_and_futex_waitv_the_reactor_uses_threads() {
    for (errno, reason) in REASONS {
        let memory = memory();
        let mut peer = peer(&memory, None);
        peer.tell(format_args!("forbid io_uring {errno}"));
        peer.tell(format_args!("forbid futex_waitv {errno}"));
        peer.tell("runtime current-thread");
        assert_eq!(peer.ask("backend"), "thread");
        assert_eq!(peer.ask("passed-over"), format!("{}; {}", why_no_uring(reason), why_no_waitv(reason)));
        let debug = peer.ask("debug");
        assert!(debug.contains("backend: Thread") && debug.contains("(Waitv, "), "{debug}");
        works(&memory, &mut peer).await;
    }
}

#[tokio::test]
async fn the_error_for_a_forbidden_backend_names_the_other_choices() {
    let (errno, reason) = REASONS[0];
    for (backend, calls, why) in
        [("uring", "io_uring", why_no_uring(reason)), ("waitv", "futex_waitv", why_no_waitv(reason))]
    {
        // The error has the kind of the reason.
        let kind = if backend == "uring" && !cfg!(feature = "uring") { "Unsupported" } else { "PermissionDenied" };
        let why = why.split_once(": ").expect("a colon").1;
        let others = if backend == "uring" && has(Backend::Waitv) { "waitv or thread" } else { "thread" };
        let expected = format!(
            "error {kind}: the futex backend {backend} is not available here, but {others} can be chosen: {why}"
        );
        for environment in [Some(backend), None] {
            let memory = memory();
            let mut peer = peer(&memory, environment);
            peer.tell(format_args!("forbid {calls} {errno}"));
            peer.tell("runtime current-thread");
            let ask = if environment.is_some() { "backend".to_owned() } else { format!("make {backend}") };
            assert_eq!(peer.ask(ask), expected);
            // The choice of the program overrides that of the environment.
            assert_eq!(peer.ask("make thread"), "thread");
        }
    }
}

#[tokio::test]
async fn a_sandbox_that_begins_after_a_ring_is_open_only_stops_new_waits() {
    if !cfg!(feature = "uring") || !has(Backend::Uring) {
        return;
    }
    let memory = memory();
    // This reactor is always on `Uring`, because a wake that the peer hands on must find the wait in the kernel.
    let reactor = Reactor::builder().backend(Backend::Uring).build().expect("a reactor");
    let [first, second] =
        [0, 64].map(|offset| AsyncFutex::with_reactor(&reactor, memory.word(offset).expect("a word")));
    let mut peer = peer(&memory, Some("uring"));
    peer.tell("runtime multi-thread");
    peer.tell("arm before 0 0");
    peer.tell("arm given-up 64 0");
    until_waiters(second.word(), 1);
    let mut behind = second.wait_async(0);
    arm(&mut behind).await;
    until_waiters(second.word(), 2);
    peer.tell("arm closed 128 0");

    peer.tell("forbid io_uring EPERM");
    peer.tell("arm late 128 0");
    assert_eq!(
        peer.report().await,
        "late error PermissionDenied: cannot hand futex waits to an io_uring: Operation not permitted (os error 1)"
    );
    // Many waits that begin at the same time fail too.
    peer.tell("arm-many together 40");
    let report = peer.report().await;
    assert!(report.starts_with("together 0 ok, 40 not: Some(\"error PermissionDenied: cannot hand"), "{report}");
    // A wait that was armed before is woken,
    assert!(first.wake_one());
    assert_eq!(peer.report().await, "before ok");
    // and a wait that can't be cancelled any more hands its wake on.
    peer.tell("abort given-up");
    assert!(second.wake_one());
    within(behind).await.expect("a wake");
    // The reactor can't find out any more if this wait was woken, so it may report a wake.
    peer.tell("close");
    assert!(peer.report().await.starts_with("closed "));
    assert!(peer.end().success());
}

#[tokio::test]
async fn a_thread_that_cannot_be_started_is_a_clear_error() {
    for backend in [Backend::Waitv, Backend::Thread] {
        if !has(backend) {
            continue;
        }
        let memory = memory();
        let mut peer = peer(&memory, Some(backend.as_str()));
        peer.tell("runtime multi-thread");
        assert_eq!(peer.ask("backend"), backend.as_str());
        peer.tell("forbid threads EAGAIN");
        peer.tell("arm it 0 0");
        let words = if backend == Backend::Waitv { "futex words" } else { "a futex word" };
        assert_eq!(
            peer.report().await,
            format!(
                "it error OutOfMemory: cannot start a thread to wait on {words} (see `ulimit -u`): \
                 Resource temporarily unavailable (os error 11)"
            )
        );
        assert_eq!(futex_tests::waiters(&memory.word(0).expect("a word")), 0);
        assert_eq!(peer.ask("figures"), "1 = 0 + 0 + 0 + 0 + 1 + 0");
    }
}
