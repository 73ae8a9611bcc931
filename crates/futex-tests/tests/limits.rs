//! Locked memory and descriptors run out.

use futex_tests::peer::Peer;
use futex_tests::{skip, until_waiters};
use futex_tokio::SharedMemory;
use std::process::Command;
use std::sync::atomic::Ordering;

const PEER: &str = env!("CARGO_BIN_EXE_peer");

async fn works(memory: &SharedMemory, peer: &mut Peer) {
    let word = memory.word(0).expect("a word");
    peer.tell("arm works 0 0");
    until_waiters(&word, 1);
    word.store(1, Ordering::Release);
    word.wake(1); // this may find nobody: a thread that parks again sees the change
    assert_eq!(peer.report().await, "works ok");
}

const NO_MEMORY: &str = "cannot open an io_uring, whose memory counts against the user's limit of locked memory \
                         (see `ulimit -l`): Cannot allocate memory (os error 12)";

#[tokio::test]
async fn without_lockable_memory_the_reactor_uses_the_next_backend() {
    if !cfg!(feature = "uring") {
        return;
    }
    let memory = SharedMemory::anonymous(4096).expect("memory");
    let mut peer = Peer::start_as(
        {
            let mut command = Command::new(PEER);
            command.env_remove("FUTEX_BACKEND");
            command
        },
        &memory,
    );
    peer.tell("no-memlock");
    peer.tell("runtime multi-thread");
    if peer.ask("backend") == "uring" {
        return skip("this kernel does not count a ring's memory as locked");
    }
    let passed = peer.ask("passed-over");
    if !passed.contains("Cannot allocate memory") {
        return skip(&passed);
    }
    assert!(passed.starts_with(&format!("uring: {NO_MEMORY}")), "{passed}");
    assert_eq!(
        peer.ask("make uring"),
        format!(
            "error OutOfMemory: the futex backend uring is not available here, but waitv or thread can be chosen: {NO_MEMORY}"
        )
    );
    works(&memory, &mut peer).await;
}

#[tokio::test]
async fn with_few_descriptors_left_a_reactor_works_or_there_is_a_clear_error() {
    let (mut made, mut refused) = (0, 0);
    for left in 0..6 {
        for flavour in ["current-thread", "multi-thread"] {
            let memory = SharedMemory::anonymous(4096).expect("memory");
            let mut peer = Peer::start(PEER, &memory);
            peer.tell(format_args!("runtime {flavour}"));
            peer.tell(format_args!("descriptors-left {left}"));
            let answer = peer.ask("backend");
            eprintln!("{left} left on a {flavour} runtime: {answer}");
            if answer.starts_with("error") {
                // The error says what could not be done, and why.
                let (sentence, reason) = answer.rsplit_once(": ").expect("a colon");
                assert_eq!(reason, "Too many open files (os error 24)", "{left} left: {answer}");
                assert!(sentence.contains(": cannot "), "{left} left: {answer}");
                refused += 1;
                // The next try succeeds if there are descriptors.
                peer.tell("descriptors-left 10");
                assert!(!peer.ask("backend").starts_with("error"));
            } else {
                made += 1;
            }
            works(&memory, &mut peer).await;
        }
    }
    // Both results have occurred.
    assert!(made > 0 && refused > 0, "{made} made, {refused} refused");
}

/// Arms waits on `count` words in a process that may open `descriptors_left` more descriptors, and wakes them. Returns the number
/// of rings or threads that these waits needed.
async fn many_waits_work(count: usize, descriptors_left: Option<usize>) -> usize {
    let memory = SharedMemory::anonymous(4 * count).expect("memory");
    let mut peer = Peer::start(PEER, &memory);
    peer.tell("runtime multi-thread");
    peer.ask("backend"); // makes the reactor
    if let Some(left) = descriptors_left {
        peer.tell(format_args!("descriptors-left {left}"));
    }
    peer.tell(format_args!("arm-many all {count}"));
    let units = peer.ask("units").parse().expect("a number");
    let words: Vec<_> = (0..count).map(|index| memory.word(4 * index).expect("a word")).collect();
    for word in &words {
        until_waiters(word, 1);
    }
    for word in &words {
        word.store(1, Ordering::Release);
        // The wake may find nobody, if a `futex_waitv` thread was woken for another word and is about to park again.
        word.wake(1);
    }
    assert_eq!(peer.report().await, format!("all {count} ok, 0 not: None"));
    units
}

#[tokio::test]
async fn open_rings_take_more_waits_if_no_ring_can_be_added() {
    let memory = SharedMemory::anonymous(4096).expect("memory");
    let mut peer = Peer::start(PEER, &memory);
    peer.tell("runtime current-thread");
    let backend = peer.ask("backend");
    drop(peer);

    let count = if backend == "thread" { 200 } else { 5_000 };
    let (few, many) = (many_waits_work(count, Some(2)).await, many_waits_work(count, None).await);
    match &*backend {
        // `few` is the first ring and two more, for which there were descriptors. `many` varies because two threads may open a
        // ring at the same time.
        "uring" => assert!(few == 3 && (53..56).contains(&many), "{few}, {many}"),
        // Threads need no descriptors.
        "waitv" => assert!(few >= 40 && many >= 40, "{few}, {many}"),
        _ => assert_eq!((few, many), (count, count)),
    }
}
