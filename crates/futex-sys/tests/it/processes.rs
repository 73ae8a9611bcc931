//! Waits and wakes between processes.

use crate::support::child::Process;
use crate::support::{blocked, until_waiters, waiters};
use futex_sys::SharedMemory;
use futex_sys::futex::{Scope, WaitOutcome};
use std::sync::atomic::Ordering;

const PING: usize = 0;
const PONG: usize = 2048;
const ROUNDS: u32 = 2_000;

/// Answers each change of one word by a change of the other word.
pub(crate) fn answer(memory: &SharedMemory) {
    let (ping, pong) = (memory.word(PING).expect("a word"), memory.word(PONG).expect("a word"));
    for round in 0..ROUNDS {
        while ping.load(Ordering::Acquire) == round {
            ping.wait(round, None).expect("wait");
        }
        pong.store(round + 1, Ordering::Release);
        pong.wake(1);
    }
}

#[test]
fn two_processes_wake_each_other_through_a_descriptor_that_was_passed() {
    let memory = SharedMemory::anonymous(4096).unwrap();
    let (ping, pong) = (memory.word(PING).unwrap(), memory.word(PONG).unwrap());
    let child = Process::start("answer", &memory);
    for round in 0..ROUNDS {
        ping.store(round + 1, Ordering::Release);
        ping.wake(1);
        while pong.load(Ordering::Acquire) == round {
            pong.wait(round, None).unwrap();
        }
        assert_eq!(pong.load(Ordering::Acquire), round + 1);
    }
    assert!(child.end().success());
}

/// Waits for one wake. The test may kill this process meanwhile.
pub(crate) fn wait(memory: &SharedMemory) {
    let word = memory.word(PING).expect("a word");
    let outcome = word.wait(0, None).expect("wait");
    assert_eq!(outcome, WaitOutcome::Woken);
}

#[test]
fn a_wake_reaches_a_waiter_of_another_process_in_its_turn() {
    let memory = SharedMemory::anonymous(4096).unwrap();
    let word = memory.word(PING).unwrap();
    let first = Process::start("wait", &memory);
    until_waiters(&word, Scope::Shared, 1);
    let second = blocked(&word);
    assert_eq!(word.wake(1), 1);
    assert!(first.end().success());
    assert_eq!(waiters(&word, Scope::Shared), 1);
    assert_eq!(word.wake(1), 1);
    assert_eq!(second.join().unwrap(), WaitOutcome::Woken);
}

#[test]
fn a_waiter_that_is_killed_swallows_no_wake() {
    let memory = SharedMemory::anonymous(4096).unwrap();
    let word = memory.word(PING).unwrap();
    let mut first = Process::start("wait", &memory);
    until_waiters(&word, Scope::Shared, 1);
    let second = blocked(&word);
    first.kill();
    assert_eq!(word.wake(1), 1);
    assert_eq!(second.join().unwrap(), WaitOutcome::Woken);
    assert_eq!(word.wake(1), 0);
}

/// Arms a wait on a ring, and keeps it until this process is killed.
#[cfg(feature = "uring")]
pub(crate) fn hold_a_wait(memory: &SharedMemory) {
    let mut ring = futex_sys::uring::FutexRing::new().expect("a ring");
    crate::support::arm(&mut ring, 0, &memory.word(PING).expect("a word"));
    ring.wait().expect("wait");
    panic!("this process was woken");
}

#[cfg(feature = "uring")]
#[test]
fn a_ring_whose_process_is_killed_leaves_the_queue() {
    if crate::support::ring().is_none() {
        return;
    }
    let memory = SharedMemory::anonymous(4096).unwrap();
    let word = memory.word(PING).unwrap();
    let mut first = Process::start("hold-a-wait", &memory);
    until_waiters(&word, Scope::Shared, 1);
    let second = blocked(&word);
    first.kill();
    // The kernel tears down the ring of a killed process later, possibly after the process was reaped.
    until_waiters(&word, Scope::Shared, 1);
    assert_eq!(word.wake(1), 1);
    assert_eq!(second.join().unwrap(), WaitOutcome::Woken);
}

/// Fails if this process has inherited a memfd of its parent.
pub(crate) fn look_for_memfds(_memory: &SharedMemory) {
    let fds = std::fs::read_dir("/proc/self/fd").expect("/proc");
    let found: Vec<_> = fds
        .filter_map(|entry| std::fs::read_link(entry.expect("an entry").path()).ok())
        .filter(|target| target.to_string_lossy().contains("futex-words"))
        .collect();
    assert_eq!(found, Vec::<std::path::PathBuf>::new());
}

#[test]
fn memory_that_is_not_passed_on_stays_behind_at_exec() {
    let _kept: Vec<_> = (0..10).map(|_| SharedMemory::anonymous(4096).unwrap()).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(4096).unwrap();
    assert!(Process::start("look-for-memfds", &SharedMemory::open_path(&file).unwrap()).end().success());
}
