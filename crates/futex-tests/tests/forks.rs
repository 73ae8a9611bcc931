//! A process forks while waits are armed, and while other threads use its reactors. The child can't use the parent's reactors,
//! and does not disturb them.

use futex_tests::peer::Peer;
use futex_tests::until_waiters;
use futex_tokio::{SharedMemory, Word};

const PEER: &str = env!("CARGO_BIN_EXE_peer");
const FORKED: &str = "error Unsupported: this futex reactor belongs to the process that this one was forked from: make another reactor here";

/// Returns memory, and a peer that has forked while waits on the words at offsets 0 and 64 were armed. Its child waits on the
/// word at 128.
async fn forked(command: &str) -> (SharedMemory, Peer) {
    let memory = SharedMemory::anonymous(4096).expect("memory");
    let mut peer = Peer::start(PEER, &memory);
    peer.begin(command);
    // The two waits that were armed before, a new wait, and a wait with the reactor of the parent's runtime.
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
async fn a_fork_can_wait_with_its_own_reactor_but_not_with_those_of_its_parent() {
    let (memory, mut peer) = forked("fork").await;
    fresh_reactor_works(&memory, &mut peer).await;
}

#[tokio::test]
async fn waits_that_a_fork_drops_stay_armed_in_its_parent() {
    for command in ["fork", "fork-dropping-the-runtime"] {
        let (memory, mut peer) = forked(command).await;
        let [own, beside] = [0, 64].map(|offset| memory.word(offset).expect("a word"));
        // The waits are armed while the child lives,
        until_waiters(&memory.word(128).expect("a word"), 1);
        until_waiters(&own, 1);
        until_waiters(&beside, 1);
        // and after it has ended.
        fresh_reactor_works(&memory, &mut peer).await;
        change_and_wake(&own, 1);
        assert_eq!(peer.report().await, "own ok");
        change_and_wake(&beside, 1);
        assert_eq!(peer.report().await, "beside ok");
        assert_eq!(peer.answer(), "ok");
    }
}

/// Makes a process fork `rounds` times while its other threads take the locks of its reactors. Each child does `what`.
fn forks_while_busy(what: &str, rounds: u32) {
    let memory = SharedMemory::anonymous(4096).expect("memory");
    let mut peer = Peer::start(PEER, &memory);
    peer.tell("runtime current-thread");
    assert_eq!(peer.ask(format_args!("fork-while-busy {what} {rounds}")), "ok");
}

/// These functions took a lock before they checked if this process is a fork. If a thread of the parent held the lock, nobody
/// released it in the child.
#[test]
fn a_fork_may_ask_for_the_figures_of_a_reactor_whose_locks_the_parent_held() {
    forks_while_busy("stats", 100);
}

#[test]
fn a_fork_may_format_a_reactor_whose_locks_the_parent_held() {
    forks_while_busy("debug", 100);
}

#[test]
fn a_fork_may_ask_if_a_reactor_whose_locks_the_parent_held_is_closed() {
    forks_while_busy("is-closed", 100);
}

#[test]
fn a_fork_may_wake_with_a_reactor_whose_locks_the_parent_held() {
    forks_while_busy("wake", 100);
}

/// There is a list of the reactors of all runtimes, and a list of the queues of parked threads. A reactor was made under the lock
/// of the list, so the lock was held most of the time.
#[test]
fn a_fork_makes_its_own_reactor_while_the_parent_holds_the_lock_of_the_list() {
    forks_while_busy("current", 50);
}
