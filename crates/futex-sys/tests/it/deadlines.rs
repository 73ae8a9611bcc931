//! `Word::wait_deadline` and `Word::wait_masked`.

use crate::support::{mask, until, until_waiters, word};
use futex_sys::futex::{MATCH_ANY, Scope, WaitOutcome};
use futex_sys::{Deadline, Word};
use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Starts a thread that waits with a mask. The thread is queued when this function returns.
fn masked(word: &Word, mask: NonZeroU32) -> JoinHandle<WaitOutcome> {
    let before = word.waiters().expect("a count");
    let thread = thread::spawn({
        let word = word.clone();
        move || word.wait_masked(0, mask, None).expect("a wait")
    });
    until_waiters(word, Scope::Shared, before + 1);
    thread
}

#[test]
fn an_instant_that_has_passed_ends_the_wait_at_once() {
    let word = word();
    let start = Instant::now();
    let past = [Some(start), start.checked_sub(Duration::from_secs(1)), start.checked_sub(Duration::from_millis(1))];
    for instant in past.into_iter().flatten() {
        assert_eq!(word.wait_deadline(0, instant).unwrap(), WaitOutcome::TimedOut);
        assert_eq!(word.wait_deadline(0, Deadline::from(instant)).unwrap(), WaitOutcome::TimedOut);
        assert_eq!(word.wait_masked(0, MATCH_ANY, Some(instant.into())).unwrap(), WaitOutcome::TimedOut);
    }
    // The word is checked before the deadline.
    word.store(1, Ordering::Release);
    assert_eq!(word.wait_deadline(0, start).unwrap(), WaitOutcome::Mismatch);
    assert_eq!(word.waiters().unwrap(), 0);
}

#[test]
fn a_wait_lasts_until_its_instant_and_the_next_one_ends_at_once() {
    let word = word();
    let instant = Instant::now() + Duration::from_millis(30);
    let deadline = Deadline::from(instant);
    assert_eq!(word.wait_deadline(0, instant).unwrap(), WaitOutcome::TimedOut);
    assert!(Instant::now() >= instant);
    // The deadline is a point in time: further waits with it end at once. Otherwise this loop would take 30 s.
    for _ in 0..1_000 {
        assert_eq!(word.wait_deadline(0, deadline).unwrap(), WaitOutcome::TimedOut);
    }
}

#[test]
fn instants_keep_their_order_as_deadlines() {
    let now = Instant::now();
    let instants = [3600, 3601, 7200].map(|seconds| Deadline::from(now + Duration::from_secs(seconds)));
    assert!(instants.is_sorted());
    // Two conversions of one instant at two times differ only by the time between two readings of the clock.
    let [early, late] = [(); 2].map(|()| Deadline::from(now + Duration::from_secs(3600)));
    assert!(early < instants[1] && late < instants[1]);
}

/// Uses (nearly) the farthest instant that the standard library can represent.
#[test]
fn a_wake_ends_a_wait_until_the_farthest_instant() {
    let far =
        (0..63).rev().find_map(|bit| Instant::now().checked_add(Duration::from_secs(1 << bit))).expect("an instant");
    let word = word();
    let waiter = thread::spawn({
        let word = word.clone();
        move || word.wait_deadline(0, far).expect("a wait")
    });
    until_waiters(&word, Scope::Shared, 1);
    assert!(word.wake_one());
    assert_eq!(waiter.join().unwrap(), WaitOutcome::Woken);
}

#[test]
fn a_masked_wait_without_a_deadline_sleeps_until_a_wake_that_shares_a_bit() {
    let word = word();
    let [odd, even] = [0b01, 0b10].map(|bits| masked(&word, mask(bits)));
    assert_eq!(word.wake_masked(u32::MAX, mask(0b100)), 0);
    assert_eq!(word.waiters().unwrap(), 2);
    assert_eq!(word.wake_masked(u32::MAX, mask(0b110)), 1);
    assert_eq!(even.join().unwrap(), WaitOutcome::Woken);
    assert!(!odd.is_finished());
    // A wake without a mask matches every wait.
    assert!(word.wake_one());
    assert_eq!(odd.join().unwrap(), WaitOutcome::Woken);
}

#[test]
fn wake_one_and_wake_all_return_the_number_of_woken_waiters() {
    let word = word();
    assert_eq!((word.wake_one(), word.wake_all()), (false, 0));
    let threads = [(); 3].map(|()| masked(&word, MATCH_ANY));
    assert!(word.wake_one());
    until("one thread has ended", || threads.iter().filter(|thread| thread.is_finished()).count() == 1);
    assert_eq!((word.waiters().unwrap(), word.wake_all(), word.wake_one()), (2, 2, false));
    for thread in threads {
        assert_eq!(thread.join().unwrap(), WaitOutcome::Woken);
    }
}
