//! `FutexRing`: arming, waking, cancelling, completions.

use crate::support::{arm, assert_refused, blocked, complete, complete_all, mask, ring, until, waiters, word};
use futex_sys::EventFd;
use futex_sys::futex::{self, MATCH_ANY, Scope, WaitOutcome};
use futex_sys::uring::{Ending, FutexRing};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

#[test]
fn an_armed_wait_is_woken_and_counted() {
    let Some(mut ring) = ring() else { return };
    let word = word();
    arm(&mut ring, 3, &word);
    assert_eq!(ring.pending(), 1);
    assert!(ring.next_completion().is_none());
    assert_eq!((word.wake(1), word.wake(1)), (1, 0));

    let completion = complete(&mut ring);
    assert!(matches!(completion.ending, Ending::Woken), "{completion:?}");
    assert_eq!(completion.word.as_ptr(), word.as_ptr());
    assert_eq!((completion.tag, completion.mask, ring.pending()), (Some(3), MATCH_ANY, 0));
    assert!(ring.next_completion().is_none());
}

#[test]
fn a_wait_is_armed_by_submitting_it() {
    let Some(mut ring) = ring() else { return };
    let word = word();
    ring.arm(0, word.clone(), 0, MATCH_ANY).unwrap();
    assert!(ring.has_unsubmitted());
    assert_eq!(waiters(&word, Scope::Shared), 0);
    ring.submit().unwrap();
    assert!(!ring.has_unsubmitted());
    assert_eq!(waiters(&word, Scope::Shared), 1);
    ring.submit().unwrap(); // nothing to do
    assert_eq!(waiters(&word, Scope::Shared), 1);
}

#[test]
fn a_wait_whose_word_differs_has_its_completion_when_submit_returns() {
    let Some(mut ring) = ring() else { return };
    let word = word();
    for expected in [1, 1 << 31, u32::MAX] {
        ring.arm(0, word.clone(), expected, MATCH_ANY).unwrap();
        ring.submit().unwrap();
        let completion = ring.next_completion().expect("a completion is available");
        assert!(matches!(completion.ending, Ending::Mismatch), "{completion:?}");
    }
    // Values whose highest bit could be treated as a sign compare equal to themselves.
    for expected in [1 << 31, u32::MAX] {
        word.store(expected, Ordering::Relaxed);
        ring.arm(0, word.clone(), expected, MATCH_ANY).unwrap();
        ring.submit().unwrap();
        assert_eq!(word.wake(1), 1);
        assert!(matches!(complete(&mut ring).ending, Ending::Woken));
    }
}

#[test]
fn a_cancelled_wait_receives_no_wake() {
    let Some(mut ring) = ring() else { return };
    let (first, second) = (word(), word());
    let id = arm(&mut ring, 0, &first);
    arm(&mut ring, 1, &second);
    let completion = ring.cancel(id).unwrap();
    assert!(completion.tag == Some(0) && matches!(completion.ending, Ending::Cancelled), "{completion:?}");
    assert_eq!((first.wake(1), ring.pending()), (0, 1));
    assert!(ring.next_completion().is_none(), "the wait has a second completion");
    assert_eq!(second.wake(1), 1);
    assert_eq!(complete(&mut ring).tag, Some(1));
}

#[test]
fn a_wait_can_be_cancelled_before_it_is_submitted() {
    let Some(mut ring) = ring() else { return };
    let word = word();
    let id = ring.arm(0, word.clone(), 0, MATCH_ANY).unwrap();
    assert!(matches!(ring.cancel(id).unwrap().ending, Ending::Cancelled));
    assert_eq!((ring.pending(), ring.unreaped()), (0, 1));
    ring.submit().unwrap();
    assert_eq!(word.wake(1), 0);
    let completion = ring.next_completion().expect("the kernel has had the wait");
    assert!(completion.tag.is_none() && matches!(completion.ending, Ending::Cancelled), "{completion:?}");
    assert!(ring.next_completion().is_none());
    assert_eq!((ring.pending(), ring.unreaped()), (0, 0));
}

#[test]
fn a_cancel_that_comes_too_late_reports_the_wake() {
    let Some(mut ring) = ring() else { return };
    let word = word();
    let id = arm(&mut ring, 0, &word);
    assert_eq!(word.wake(1), 1);
    assert!(matches!(ring.cancel(id).unwrap().ending, Ending::Woken));
    assert!(ring.next_completion().is_none());
}

#[test]
fn a_wait_that_has_ended_is_not_cancelled_again() {
    let Some(mut ring) = ring() else { return };
    let word = word();
    let refused = |ring: &mut FutexRing, id| {
        let text = "the wait 0 is not pending on this ring: it has ended, or was cancelled before";
        assert_refused(ring.cancel(id), io::ErrorKind::InvalidInput, text);
    };
    let id = arm(&mut ring, 0, &word);
    ring.cancel(id).unwrap();
    refused(&mut ring, id);
    assert!(ring.next_completion().is_none());
    refused(&mut ring, id);
    let id = arm(&mut ring, 0, &word);
    assert_eq!(word.wake(1), 1);
    complete(&mut ring);
    refused(&mut ring, id);
}

#[test]
fn identifiers_are_small_and_used_again() {
    let Some(mut ring) = ring() else { return };
    let word = word();
    let mut ids = std::collections::HashSet::new();
    for round in 0..100 {
        let armed = [u32::MAX, round].map(|tag| arm(&mut ring, tag, &word));
        assert_ne!(armed[0], armed[1]);
        ids.extend(armed);
        ring.cancel(armed[0]).unwrap();
        assert_eq!(word.wake(u32::MAX), 1);
        assert_eq!(complete(&mut ring).tag, Some(round));
    }
    assert!(ids.len() <= 4, "{ids:?}");
}

#[test]
fn a_wake_reaches_the_waits_that_share_a_bit_with_its_mask() {
    let Some(mut ring) = ring() else { return };
    let word = word();
    for (id, bits) in [(0, 0b001), (1, 0b011), (2, 1 << 31), (3, u32::MAX)] {
        ring.arm(id, word.clone(), 0, mask(bits)).unwrap();
    }
    ring.submit().unwrap();
    let mut woken_by = |n, bits| {
        let count = word.wake_masked(n, mask(bits));
        let ids: Vec<_> = (0..count).map(|_| complete(&mut ring).tag.unwrap()).collect();
        ids
    };
    assert_eq!(woken_by(1, 0b010), [1]);
    assert_eq!(woken_by(u32::MAX, 1 << 31), [2, 3]);
    assert_eq!(woken_by(u32::MAX, 0b100), [0; 0]);
    assert_eq!(woken_by(u32::MAX, u32::MAX), [0]);
}

#[test]
fn rings_and_threads_wait_in_one_queue() {
    let Some(mut one) = ring() else { return };
    let Some(mut two) = ring() else { return };
    let word = word();
    arm(&mut one, 0, &word);
    let first = blocked(&word);
    arm(&mut two, 1, &word);
    let second = blocked(&word);
    arm(&mut one, 2, &word);

    let wake = || assert_eq!(word.wake(1), 1);
    wake();
    assert_eq!(complete(&mut one).tag, Some(0));
    assert!(one.next_completion().is_none() && two.next_completion().is_none());
    wake();
    assert_eq!(first.join().unwrap(), WaitOutcome::Woken);
    assert!(one.next_completion().is_none() && two.next_completion().is_none());
    wake();
    assert_eq!(complete(&mut two).tag, Some(1));
    assert!(one.next_completion().is_none() && !second.is_finished());
    wake();
    assert_eq!(second.join().unwrap(), WaitOutcome::Woken);
    assert!(one.next_completion().is_none());
    wake();
    assert_eq!(complete(&mut one).tag, Some(2));
}

#[test]
fn requeue_moves_the_waits_of_rings_too() {
    let Some(mut ring) = ring() else { return };
    let (from, to) = (word(), word());
    arm(&mut ring, 0, &from);
    arm(&mut ring, 1, &from);
    assert_eq!(futex::requeue(&from, &to, Scope::Shared, 1, 1).unwrap(), 2);
    assert_eq!(complete(&mut ring).tag, Some(0));
    assert_eq!((from.wake(1), to.wake(1)), (0, 1));
    assert_eq!(complete(&mut ring).tag, Some(1));
}

#[test]
fn ten_thousand_completions_overflow_the_queue_and_all_arrive_in_order() {
    const WAITS: u32 = 10_000;
    let Some(mut ring) = ring() else { return };
    let word = word();
    for id in 0..WAITS {
        ring.arm(id, word.clone(), 0, MATCH_ANY).unwrap();
    }
    ring.submit().unwrap();
    assert_eq!(ring.pending(), WAITS as usize);
    assert_eq!(word.wake(u32::MAX), WAITS);
    let completions = complete_all(&mut ring);
    assert!(completions.iter().all(|completion| matches!(completion.ending, Ending::Woken)));
    assert!(completions.iter().map(|completion| completion.tag).eq((0..WAITS).map(Some)));
}

#[test]
fn mismatches_that_overflow_the_queue_all_arrive() {
    const WAITS: u32 = 5_000;
    let Some(mut ring) = ring() else { return };
    let word = word();
    for id in 0..WAITS {
        ring.arm(id, word.clone(), 1, MATCH_ANY).unwrap();
    }
    ring.submit().unwrap();
    let endings: Vec<_> = std::iter::from_fn(|| ring.next_completion()).collect();
    assert_eq!(endings.len(), WAITS as usize);
    assert!(endings.iter().all(|completion| matches!(completion.ending, Ending::Mismatch)));
    assert_eq!(ring.pending(), 0);
}

/// Returns true if `fd` becomes readable within `millis` milliseconds.
fn is_readable(fd: impl AsFd, millis: i64) -> bool {
    let timeout = Timespec { tv_sec: millis / 1000, tv_nsec: millis % 1000 * 1_000_000 };
    rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout))).expect("poll") == 1
}

#[test]
fn a_completion_makes_the_ring_and_its_eventfd_readable() {
    let Some(mut ring) = ring() else { return };
    let (word, eventfd) = (word(), EventFd::new().unwrap());
    ring.register_eventfd(eventfd.as_fd()).unwrap();
    arm(&mut ring, 0, &word);
    assert!(!is_readable(&eventfd, 0) && !is_readable(&ring, 0));

    let waker = std::thread::spawn({
        let word = word.clone();
        move || until("a waiter is woken", || word.wake(1) == 1)
    });
    assert!(is_readable(&eventfd, 60_000) && is_readable(&ring, 0));
    waker.join().unwrap();
    assert!(eventfd.take().unwrap().is_some());
    assert!(matches!(ring.next_completion().unwrap().ending, Ending::Woken));
    assert!(!is_readable(&eventfd, 0) && !is_readable(&ring, 0));

    // The completion of a mismatch signals the eventfd too.
    ring.arm(0, word, 1, MATCH_ANY).unwrap();
    ring.submit().unwrap();
    assert!(is_readable(&eventfd, 60_000));
}

#[test]
fn two_rings_share_an_eventfd() {
    let Some(mut one) = ring() else { return };
    let Some(mut two) = ring() else { return };
    let eventfd = EventFd::new().unwrap();
    let words = [word(), word()];
    for (ring, word) in [&mut one, &mut two].into_iter().zip(&words) {
        ring.register_eventfd(eventfd.as_fd()).unwrap();
        arm(ring, 0, word);
    }
    assert_eq!(words[1].wake(1), 1);
    assert!(is_readable(&eventfd, 60_000) && eventfd.take().unwrap().is_some());
    assert!(one.next_completion().is_none() && two.next_completion().is_some());
    assert_eq!(words[0].wake(1), 1);
    assert!(is_readable(&eventfd, 60_000) && eventfd.take().unwrap().is_some());
    assert!(one.next_completion().is_some() && two.next_completion().is_none());
}

#[test]
fn a_second_eventfd_and_other_descriptors_are_refused() {
    let Some(ring) = ring() else { return };
    let text = "cannot register an eventfd with an io_uring: ";
    let file = tempfile::tempfile().unwrap();
    assert_refused(ring.register_eventfd(file.as_fd()), io::ErrorKind::InvalidInput, text);
    let eventfd = EventFd::new().unwrap();
    ring.register_eventfd(eventfd.as_fd()).unwrap();
    assert_refused(ring.register_eventfd(eventfd.as_fd()), io::ErrorKind::ResourceBusy, text);
}

#[test]
fn a_ring_keeps_the_eventfd_that_it_signals() {
    let Some(mut ring) = ring() else { return };
    let (word, eventfd) = (word(), EventFd::new().unwrap());
    let copy = eventfd.as_fd().try_clone_to_owned().unwrap();
    ring.register_eventfd(eventfd.as_fd()).unwrap();
    drop(eventfd);
    arm(&mut ring, 0, &word);
    assert_eq!(word.wake(1), 1);
    assert!(is_readable(copy, 60_000));
}

#[test]
fn waiting_on_a_ring_without_waits_returns_at_once() {
    let Some(mut ring) = ring() else { return };
    ring.wait().unwrap();
    assert!(ring.next_completion().is_none());
}

#[test]
fn the_debug_output_of_a_ring_has_its_number_of_waits() {
    let Some(mut ring) = ring() else { return };
    arm(&mut ring, 9, &word());
    let text = format!("{ring:?}");
    assert!(text.starts_with("FutexRing {") && text.contains("pending: 1"), "{text}");
}
