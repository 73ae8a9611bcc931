//! A process forks while waits are armed, and while other threads use its reactors. Its child can't use its reactors, and does
//! not disturb them.

use futex_tests::peer::Peer;
use futex_tests::until_waiters;
use futex_tokio::{SharedMemory, Word};

const PEER: &str = env!("CARGO_BIN_EXE_peer");
const FORKED: &str = "error Unsupported: this futex reactor belongs to the process that this one was forked from: make another reactor here";

/// Memory, and a peer that has forked with a wait on each of the words at 0 and 64 armed. Its child waits on that at 128.
async fn forked(command: &str) -> (SharedMemory, Peer) {
    let memory = SharedMemory::anonymous(4096).expect("memory");
    let mut peer = Peer::start(PEER, &memory);
    peer.begin(command);
    // Both waits that were armed before, a new one, and one with the reactor that the parent's runtime has.
    for label in ["armed-before", "armed-before", "armed-now", "of-the-old-runtime"] {
        assert_eq!(peer.report().await, format!("{label} {FORKED}"));
    }
    (memory, peer)
}

async fn fresh_reactor_works(memory: &SharedMemory, peer: &mut Peer) {
    change_and_wake(&memory.word(128).expect("a word"), 5);
    assert_eq!(peer.report().await, "fresh 5");
    assert_eq!(peer.report().await, "child ok");
    assert_eq!(peer.report().await, "child-status 0");
}

/// Changes a word that one task waits on, and wakes it.
fn change_and_wake(word: &Word, value: u32) {
    until_waiters(word, 1);
    futex_tests::change_and_wake(word, value);
}

#[tokio::test]
async fn a_fork_can_t_wait_with_its_parents_reactors_but_with_one_of_its_own() {
    let (memory, mut peer) = forked("fork").await;
    fresh_reactor_works(&memory, &mut peer).await;
}

#[tokio::test]
async fn waits_that_a_fork_drops_go_on_in_its_parent() {
    for command in ["fork", "fork-dropping-the-runtime"] {
        let (memory, mut peer) = forked(command).await;
        let [own, beside] = [0, 64].map(|offset| memory.word(offset).expect("a word"));
        // While the child lives,
        until_waiters(&memory.word(128).expect("a word"), 1);
        until_waiters(&own, 1);
        until_waiters(&beside, 1);
        // and when it has ended.
        fresh_reactor_works(&memory, &mut peer).await;
        change_and_wake(&own, 1);
        assert_eq!(peer.report().await, "own ok");
        change_and_wake(&beside, 1);
        assert_eq!(peer.report().await, "beside ok");
        assert_eq!(peer.answer(), "ok");
    }
}

/// Has a process fork while its other threads take the locks of its reactors, until each of many children has done `what`.
fn forks_while_busy(what: &str, rounds: u32) {
    let memory = SharedMemory::anonymous(4096).expect("memory");
    let mut peer = Peer::start(PEER, &memory);
    peer.tell("runtime current-thread");
    assert_eq!(peer.ask(format_args!("fork-while-busy {what} {rounds}")), "ok");
}

/// They took locks before they asked whether this is a fork. A thread of the parent that held one does not exist in the child.
#[test]
fn a_fork_may_ask_for_the_figures_of_a_reactor_whatever_other_threads_of_its_parent_did() {
    forks_while_busy("stats", 100);
}

#[test]
fn a_fork_may_format_a_reactor_whatever_other_threads_of_its_parent_did() {
    forks_while_busy("debug", 100);
}

#[test]
fn a_fork_may_ask_whether_a_reactor_is_closed_whatever_other_threads_of_its_parent_did() {
    forks_while_busy("is-closed", 100);
}

#[test]
fn a_fork_may_wake_whatever_other_threads_of_its_parent_did() {
    forks_while_busy("wake", 100);
}

/// The reactors of all runtimes are on a list, and so are the queues of parked threads. A reactor was made while the list was
/// locked, so that the lock was held most of the time.
#[test]
fn a_fork_makes_a_reactor_of_its_own_whatever_other_threads_of_its_parent_did() {
    forks_while_busy("current", 50);
}
