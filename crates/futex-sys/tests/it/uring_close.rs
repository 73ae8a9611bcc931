//! Rings that are closed or dropped with waits pending.

use crate::support::child::Process;
use crate::support::{arm, blocked, blocked_with, complete, mask, ring, sandbox, skip, until, waiters, word};
use futex_sys::SharedMemory;
use futex_sys::futex::{MATCH_ANY, Scope, WaitOutcome};
use futex_sys::uring::{Ending, FutexRing};
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;

#[test]
fn a_dropped_ring_leaves_no_waiter_behind() {
    let word = word();
    for round in 0..200 {
        let Some(mut ring) = ring() else { return };
        for id in 0..=round % 3 {
            arm(&mut ring, id, &word);
        }
        drop(ring);
        assert_eq!(word.wake(1), 0, "in round {round}");
    }
}

#[test]
fn a_dropped_ring_leaves_no_waiter_of_another_thread_behind() {
    let word = word();
    for round in 0..200 {
        let Some(mut ring) = ring() else { return };
        let (send, receive) = mpsc::channel();
        let (done, until_done) = mpsc::channel::<()>();
        let submitter = thread::spawn({
            let word = word.clone();
            move || {
                arm(&mut ring, 0, &word);
                send.send(ring).unwrap();
                let _ = until_done.recv();
            }
        });
        drop(receive.recv().unwrap());
        assert_eq!(word.wake(1), 0, "in round {round}");
        drop(done);
        submitter.join().unwrap();
    }
}

#[test]
fn a_dropped_ring_drops_its_words() {
    let Some(mut ring) = ring() else { return };
    let owner = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let word = futex_sys::Word::from(owner.clone());
    arm(&mut ring, 0, &word);
    ring.arm(1, word.clone(), 0, MATCH_ANY).unwrap(); // not submitted
    drop(word);
    assert_eq!(std::sync::Arc::strong_count(&owner), 2); // the test and the ring
    drop(ring);
    assert_eq!(std::sync::Arc::strong_count(&owner), 1);
}

#[test]
fn a_dropped_ring_hands_on_the_wakes_that_its_waits_consumed() {
    for _ in 0..50 {
        let Some(mut ring) = ring() else { return };
        let word = word();
        arm(&mut ring, 0, &word);
        arm(&mut ring, 1, &word);
        let [first, second, third] = [(); 3].map(|()| blocked(&word));
        assert_eq!(word.wake(2), 2); // the waits of the ring consume both
        drop(ring);
        until("two threads got the wakes", || first.is_finished() && second.is_finished());
        assert_eq!(waiters(&word, Scope::Shared), 1);
        assert!(!third.is_finished());
        assert_eq!(word.wake(1), 1);
        for thread in [first, second, third] {
            assert_eq!(thread.join().unwrap(), WaitOutcome::Woken);
        }
    }
}

#[test]
fn a_dropped_ring_hands_on_under_the_waits_own_mask() {
    let Some(mut ring) = ring() else { return };
    let word = word();
    ring.arm(0, word.clone(), 0, mask(0b01)).unwrap();
    ring.submit().unwrap();
    let other = blocked_with(&word, Scope::Shared, mask(0b10));
    let same = blocked_with(&word, Scope::Shared, mask(0b01));
    assert_eq!(word.wake_masked(1, mask(0b01)), 1);
    drop(ring);
    assert_eq!(same.join().unwrap(), WaitOutcome::Woken);
    assert!(!other.is_finished());
    assert_eq!(word.wake(u32::MAX), 1);
    assert_eq!(other.join().unwrap(), WaitOutcome::Woken);
}

#[test]
fn close_ends_every_wait_once_and_reports_each_ending() {
    let Some(mut ring) = ring() else { return };
    let [word, woken] = [word(), word()];
    arm(&mut ring, 0, &word);
    arm(&mut ring, 1, &woken);
    ring.arm(2, word.clone(), 0, MATCH_ANY).unwrap(); // not submitted
    assert_eq!(woken.wake(1), 1);
    let mut endings = Vec::new();
    ring.close(|completion| endings.push((completion.tag, completion.ending)));
    endings.sort_by_key(|(tag, _)| *tag);
    assert!(
        matches!(endings[..], [(Some(0), Ending::Cancelled), (Some(1), Ending::Woken), (Some(2), Ending::Cancelled)]),
        "{endings:?}"
    );
    assert_eq!((ring.pending(), word.wake(1)), (0, 0));

    // A closed ring is empty and can be used again.
    ring.close(|completion| panic!("{completion:?} of an empty ring"));
    arm(&mut ring, 3, &word);
    assert_eq!(word.wake(1), 1);
    let endings = [(); 2].map(|()| complete(&mut ring)).map(|completion| (completion.tag, completion.ending));
    // The wait that was cancelled before it was submitted has been submitted and cancelled in the kernel.
    assert!(matches!(endings, [(None, Ending::Cancelled), (Some(3), Ending::Woken)]), "{endings:?}");
}

#[test]
fn close_ends_more_waits_than_the_queues_hold() {
    const WAITS: u32 = 10_000;
    let Some(mut ring) = ring() else { return };
    let word = word();
    for id in 0..WAITS {
        ring.arm(id, word.clone(), 0, MATCH_ANY).unwrap();
    }
    ring.submit().unwrap();
    assert_eq!(word.wake(WAITS / 2), WAITS / 2);
    let (mut woken, mut cancelled) = (0, 0);
    ring.close(|completion| match completion.ending {
        Ending::Woken => woken += 1,
        Ending::Cancelled => cancelled += 1,
        _ => panic!("{completion:?}"),
    });
    assert_eq!((woken, cancelled), (WAITS / 2, WAITS / 2));
    assert_eq!(word.wake(u32::MAX), 0);
}

#[test]
fn wakes_that_race_with_a_close_are_counted_by_the_close() {
    for round in 0..300 {
        let Some(mut ring) = ring() else { return };
        let word = word();
        for id in 0..4 {
            arm(&mut ring, id, &word);
        }
        let waker = thread::spawn({
            let word = word.clone();
            move || (0..4).map(|_| word.wake(1)).sum::<u32>()
        });
        for _ in 0..round % 30 * 100 {
            std::hint::spin_loop();
        }
        let mut woken = 0;
        ring.close(|completion| woken += u32::from(matches!(completion.ending, Ending::Woken)));
        assert_eq!(waker.join().unwrap(), woken);
    }
}

/// Closes a ring after the process has entered a sandbox that forbids io_uring.
pub(crate) fn close_in_a_sandbox(memory: &SharedMemory) {
    let word = memory.word(0).expect("a word");
    let mut ring = FutexRing::new().expect("a ring");
    arm(&mut ring, 0, &word);
    ring.arm(1, word.clone(), 0, MATCH_ANY).expect("arm");

    sandbox::forbid([libc::SYS_io_uring_enter, libc::SYS_io_uring_register], libc::EPERM);
    let error = ring.submit().expect_err("the sandbox forbids it");
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    let mut endings = Vec::new();
    ring.close(|completion| endings.push(completion.ending));
    // The kernel still has the first wait. The ring reports it again, because it may have consumed a wake since.
    assert!(matches!(endings[..], [Ending::Cancelled, Ending::Cancelled, Ending::Lost]), "{endings:?}");
    word.store(1, Ordering::Release);
}

#[test]
fn closing_a_ring_that_a_sandbox_cut_off_ends_its_waits_and_does_not_hang() {
    if ring().is_none() {
        return;
    }
    if !sandbox::is_supported() {
        return skip("no seccomp filters for this processor");
    }
    let memory = SharedMemory::anonymous(4096).unwrap();
    assert!(Process::start("close-in-a-sandbox", &memory).end().success());
    assert_eq!(memory.as_words()[0].load(Ordering::Acquire), 1);
}
