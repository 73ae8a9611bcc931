//! Tasks and threads of different processes wait for each other.

use futex_sys::futex::WaitOutcome;
use futex_tests::load::backend;
use futex_tests::peer::Peer;
use futex_tests::{arm, change_and_wake, check_count, on_each_runtime, until_waiters, waiters, wake_bare, within};
use futex_tokio::{AsyncFutex, Backend, SharedMemory, Word};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::timeout;

const PEER: &str = env!("CARGO_BIN_EXE_peer");
const OFFSET: usize = 64;

/// Returns memory, its word at [`OFFSET`], and a peer that maps the memory.
fn shared() -> (SharedMemory, Word, Peer) {
    let memory = SharedMemory::anonymous(4096).expect("memory");
    let word = memory.word(OFFSET).expect("a word");
    let peer = Peer::start(PEER, &memory);
    (memory, word, peer)
}

/// Waits in a task of this process. The peer changes the word and wakes.
async fn is_woken_by(peer: &mut Peer, word: &Word) {
    let futex = AsyncFutex::new(word).expect("a futex");
    let mut wait = futex.wait_async(0);
    arm(&mut wait).await;
    until_waiters(word, 1);
    peer.tell(format_args!("store {OFFSET} 7"));
    check_count(peer.ask(format_args!("wake {OFFSET} 1")).parse().expect("a number"), 1);
    within(wait).await.expect("a wake");
    assert_eq!(word.load(Ordering::Acquire), 7);
}

#[test]
fn a_child_wakes_a_task_through_an_inherited_descriptor() {
    on_each_runtime(async || {
        let (_memory, word, mut peer) = shared();
        is_woken_by(&mut peer, &word).await;
        assert!(peer.end().success());
    });
}

#[test]
fn a_child_wakes_a_task_through_a_posix_name() {
    on_each_runtime(async || {
        let name = format!("futex-tests-processes-{}", std::process::id());
        let memory = SharedMemory::create(&name, 4096).expect("memory");
        let mut peer = Peer::start_by_name(PEER, &name);
        let word = memory.word(OFFSET).expect("a word");
        // After the answer, the peer has mapped the memory.
        peer.tell(format_args!("store {OFFSET} 0"));
        SharedMemory::unlink(&name).expect("unlink");
        is_woken_by(&mut peer, &word).await;
    });
}

#[test]
fn a_task_of_a_child_is_woken() {
    on_each_runtime(async || {
        for flavour in ["current-thread", "multi-thread"] {
            let (_memory, word, mut peer) = shared();
            peer.tell(format_args!("runtime {flavour}"));
            peer.tell(format_args!("arm it {OFFSET} 0"));
            until_waiters(&word, 1);
            change_and_wake(&word, 1);
            assert_eq!(peer.report().await, "it ok");
        }
    });
}

#[test]
fn a_blocked_thread_of_a_child_is_woken() {
    on_each_runtime(async || {
        let (_memory, word, mut peer) = shared();
        let futex = AsyncFutex::new(&word).expect("a futex");
        peer.tell(format_args!("block it {OFFSET} 0"));
        until_waiters(&word, 1);
        word.store(1, Ordering::Release);
        assert!(futex.wake_one());
        assert_eq!(peer.report().await, "it Woken");
    });
}

const ROUNDS: u32 = 500;

/// Takes turns with the peer: in each round, each side waits for the other one.
async fn take_turns(futex: &AsyncFutex, peer: &mut Peer) {
    for round in 0..ROUNDS {
        futex.word().store(2 * round + 1, Ordering::Release);
        futex.wake_one();
        let answer = within(futex.wait_until(|value| value == 2 * round + 2)).await;
        assert_eq!(answer.expect("an answer"), 2 * round + 2);
    }
    assert_eq!(peer.report().await, "echo ok");
}

#[test]
fn a_task_and_a_thread_of_a_child_take_turns() {
    on_each_runtime(async || {
        let (_memory, word, mut peer) = shared();
        peer.tell(format_args!("block-echo {OFFSET} {ROUNDS}"));
        take_turns(&AsyncFutex::new(&word).expect("a futex"), &mut peer).await;
    });
}

#[test]
fn tasks_of_two_processes_take_turns() {
    on_each_runtime(async || {
        let (_memory, word, mut peer) = shared();
        peer.tell("runtime multi-thread");
        peer.tell(format_args!("echo {OFFSET} {ROUNDS}"));
        take_turns(&AsyncFutex::new(&word).expect("a futex"), &mut peer).await;
    });
}

#[tokio::test]
async fn a_thread_of_the_parent_and_a_task_of_a_child_wait_on_one_word() {
    let (_memory, word, mut peer) = shared();
    peer.tell("runtime current-thread");
    peer.tell(format_args!("until it {OFFSET} 2"));
    until_waiters(&word, 1);
    change_and_wake(&word, 1);
    // The task waits for another value, so it sleeps again.
    until_waiters(&word, 1);

    let waiter = std::thread::spawn({
        let word = word.clone();
        move || word.wait(1, None).unwrap()
    });
    until_waiters(&word, 2);
    peer.tell(format_args!("store {OFFSET} 2"));
    check_count(peer.ask(format_args!("wake {OFFSET} 9")).parse().expect("a number"), 2);
    assert_eq!(waiter.join().unwrap(), WaitOutcome::Woken);
    assert_eq!(peer.report().await, "it 2");
}

/// Kills the peer, whose waiter is the first in the queue. The next wake must go to the waiter behind it.
fn survives(waits: &str) {
    on_each_runtime(async || {
        for _ in 0..10 {
            let (_memory, word, mut peer) = shared();
            let futex = AsyncFutex::new(&word).expect("a futex");
            peer.tell("runtime multi-thread");
            peer.tell(format_args!("{waits} first {OFFSET} 0"));
            until_waiters(&word, 1);
            let mut wait = futex.wait_async(0);
            arm(&mut wait).await;
            until_waiters(&word, 2);

            peer.kill();
            wake_bare(&word, 1);
            if waits == "arm" && went_to_the_dead(&word) {
                wake_bare(&word, 1);
            }
            within(wait).await.expect("a wake");
            assert!(!futex.wake_one(), "a waiter of the killed process is still there");
        }
    });
}

/// Returns true if the ring of the killed process has taken the wake, although another wait was there. On Linux 6.12 this can
/// happen for about a millisecond after the process was reaped, so a program that notices a death must wake all waiters once
/// more. A ring takes one wake for each wait that it had.
fn went_to_the_dead(word: &Word) -> bool {
    let went = backend() == Backend::Uring && waiters(word) == 1;
    if went {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel's release");
        eprintln!("Linux {}: the wake went to the process that was killed", release.trim());
        let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
        assert!(numbers.next().zip(numbers.next()) < Some((6, 16)), "this must not happen on Linux {release}");
    }
    went
}

#[test]
fn a_wake_or_the_next_one_skips_a_task_whose_process_was_killed() {
    survives("arm");
}

#[test]
fn a_wake_skips_a_thread_whose_process_was_killed() {
    survives("block");
}

#[test]
fn a_timeout_finds_a_change_whose_author_was_killed_before_the_wake() {
    on_each_runtime(async || {
        let (_memory, word, mut peer) = shared();
        let futex = AsyncFutex::new(&word).expect("a futex");
        let mut wait = futex.wait_async(0);
        arm(&mut wait).await;
        until_waiters(&word, 1);
        peer.tell(format_args!("store {OFFSET} 7"));
        peer.kill();

        // A program whose peers may die needs such a loop.
        let mut loads = 0;
        let value = within(async {
            loop {
                loads += 1;
                // There was no wake, so the wait times out.
                let _ = timeout(Duration::from_millis(1), &mut wait).await;
                let value = word.load(Ordering::Acquire);
                if value != 0 {
                    break value;
                }
            }
        })
        .await;
        assert_eq!((value, loads), (7, 1));
        drop(wait);
        within(futex.wait_async(0)).await.expect("the word differs");
    });
}

#[tokio::test]
async fn signals_do_not_end_a_wait() {
    let (_memory, word, mut peer) = shared();
    peer.tell("catch-signals");
    peer.tell("runtime multi-thread");
    peer.tell(format_args!("arm task {OFFSET} 0"));
    peer.tell(format_args!("block thread {OFFSET} 0"));
    until_waiters(&word, 2);

    for _ in 0..20 {
        peer.tell("signal-all-threads");
    }
    assert_ne!(peer.ask("signals"), "0");
    // Waits that were interrupted sleep again.
    until_waiters(&word, 2);
    assert_eq!(peer.report_now(), None);
    word.store(1, Ordering::Release);
    // A wait that a late signal has taken out of the queue finds the word changed.
    word.wake(2);
    let mut reports = [peer.report().await, peer.report().await];
    reports.sort();
    assert_eq!(reports[0], "task ok");
    assert!(["thread Woken", "thread Mismatch"].contains(&reports[1].as_str()), "{reports:?}");
}
