//! `futex::wait` and `futex::wake`.

use crate::support::{blocked, blocked_with, mask, until, until_waiters, waiters, word};
use futex_sys::Deadline;
use futex_sys::futex::{self, MATCH_ANY, Scope, WaitOutcome};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_wait_on_a_word_with_another_value_returns_mismatch() {
    let word = word();
    assert_eq!(futex::wait(&word, Scope::Shared, 1, MATCH_ANY, None).unwrap(), WaitOutcome::Mismatch);
}

#[test]
fn a_wake_is_counted_and_ends_a_wait() {
    let word = word();
    let waiter = blocked(&word);
    assert_eq!(futex::wake(&word, Scope::Shared, 1).unwrap(), 1);
    assert_eq!(waiter.join().unwrap(), WaitOutcome::Woken);
    assert_eq!(futex::wake(&word, Scope::Shared, 1).unwrap(), 0);
}

#[test]
fn a_wake_between_the_check_and_the_wait_is_kept() {
    const ROUNDS: u32 = 5_000;
    let word = word();
    let start = Arc::new(Barrier::new(2));
    let waiter = thread::spawn({
        let (word, start) = (word.clone(), start.clone());
        move || {
            for round in 0..ROUNDS {
                start.wait();
                // This is the check. The other thread changes the word and wakes before it, between it and the wait, or later.
                while word.load(Ordering::Acquire) == round {
                    let outcome = futex::wait(&word, Scope::Shared, round, MATCH_ANY, None).unwrap();
                    assert_ne!(outcome, WaitOutcome::TimedOut);
                }
            }
        }
    });
    for round in 0..ROUNDS {
        start.wait();
        for _ in 0..round % 64 {
            std::hint::spin_loop();
        }
        word.store(round + 1, Ordering::Release);
        futex::wake(&word, Scope::Shared, 1).unwrap();
    }
    until("the waiter has seen every change", || waiter.is_finished());
    waiter.join().unwrap();
}

#[test]
fn wake_n_of_m_wakes_exactly_n() {
    let word = word();
    let threads: Vec<_> = (0..5).map(|_| blocked(&word)).collect();
    assert_eq!(futex::wake(&word, Scope::Shared, 2).unwrap(), 2);
    assert_eq!(waiters(&word, Scope::Shared), 3);
    assert_eq!(futex::wake(&word, Scope::Shared, 0).unwrap(), 0);
    assert_eq!(waiters(&word, Scope::Shared), 3);
    assert_eq!(futex::wake(&word, Scope::Shared, 9).unwrap(), 3);
    for thread in threads {
        assert_eq!(thread.join().unwrap(), WaitOutcome::Woken);
    }
}

#[test]
fn wake_treats_counts_beyond_i32_as_all() {
    for n in [1 << 31, u32::MAX] {
        let word = word();
        let threads: Vec<_> = (0..3).map(|_| blocked(&word)).collect();
        assert_eq!(futex::wake(&word, Scope::Shared, n).unwrap(), 3, "{n}");
        for thread in threads {
            assert_eq!(thread.join().unwrap(), WaitOutcome::Woken);
        }
    }
}

#[test]
fn the_longest_waiting_thread_is_woken_first() {
    let word = word();
    let woken = Arc::new(Mutex::new(Vec::new()));
    for number in 0..8 {
        let (of_thread, woken) = (word.clone(), woken.clone());
        thread::spawn(move || {
            let outcome = futex::wait(&of_thread, Scope::Shared, 0, MATCH_ANY, None).unwrap();
            woken.lock().unwrap().push((number, outcome));
        });
        until_waiters(&word, Scope::Shared, number + 1);
    }
    for number in 0..8 {
        assert_eq!(futex::wake(&word, Scope::Shared, 1).unwrap(), 1);
        until("a thread ran", || woken.lock().unwrap().len() > number);
    }
    assert_eq!(*woken.lock().unwrap(), (0..8).map(|number| (number, WaitOutcome::Woken)).collect::<Vec<_>>());
}

#[test]
fn a_wake_reaches_the_waiters_that_share_a_bit_with_its_mask() {
    let word = word();
    let low = blocked_with(&word, Scope::Shared, mask(0b001));
    let both = blocked_with(&word, Scope::Shared, mask(0b011));
    let top = blocked_with(&word, Scope::Shared, mask(1 << 31));
    let wake = |n, bits| futex::wake_masked(&word, Scope::Shared, n, mask(bits)).unwrap();

    assert_eq!(wake(u32::MAX, 0b100), 0);
    assert_eq!(wake(0, 0b001), 0);
    assert_eq!(wake(u32::MAX, 0b010), 1);
    assert_eq!(both.join().unwrap(), WaitOutcome::Woken);
    assert_eq!(wake(u32::MAX, 1 << 31), 1);
    assert_eq!(top.join().unwrap(), WaitOutcome::Woken);
    assert_eq!(futex::wake(&word, Scope::Shared, 1).unwrap(), 1);
    assert_eq!(low.join().unwrap(), WaitOutcome::Woken);
}

#[test]
fn private_wakes_and_shared_wakes_do_not_reach_each_others_waiters() {
    let word = word();
    let private = blocked_with(&word, Scope::Private, MATCH_ANY);
    assert_eq!(futex::wake(&word, Scope::Shared, u32::MAX).unwrap(), 0);
    let shared = blocked_with(&word, Scope::Shared, MATCH_ANY);

    assert_eq!(futex::wake(&word, Scope::Private, u32::MAX).unwrap(), 1);
    assert_eq!(private.join().unwrap(), WaitOutcome::Woken);
    assert_eq!(futex::wake(&word, Scope::Shared, u32::MAX).unwrap(), 1);
    assert_eq!(shared.join().unwrap(), WaitOutcome::Woken);
}

#[test]
fn a_wait_ends_at_its_deadline_and_not_before() {
    let word = word();
    for scope in [Scope::Shared, Scope::Private] {
        let start = Instant::now();
        let deadline = Deadline::after(Duration::from_millis(30));
        assert_eq!(futex::wait(&word, scope, 0, MATCH_ANY, Some(deadline)).unwrap(), WaitOutcome::TimedOut);
        assert!(start.elapsed() >= Duration::from_millis(30));
        assert_eq!(waiters(&word, scope), 0);
    }
}

#[test]
fn a_deadline_that_has_passed_ends_a_wait_but_does_not_hide_a_mismatch() {
    let word = word();
    let passed = Deadline::after(Duration::ZERO);
    assert_eq!(futex::wait(&word, Scope::Shared, 0, MATCH_ANY, Some(passed)).unwrap(), WaitOutcome::TimedOut);
    assert_eq!(futex::wait(&word, Scope::Shared, 1, MATCH_ANY, Some(passed)).unwrap(), WaitOutcome::Mismatch);
}

#[test]
fn the_longest_deadline_is_accepted_and_waits() {
    let word = word();
    let waiter = thread::spawn({
        let word = word.clone();
        move || futex::wait(&word, Scope::Shared, 0, MATCH_ANY, Some(Deadline::after(Duration::MAX))).unwrap()
    });
    until("the waiter is woken", || futex::wake(&word, Scope::Shared, 1).unwrap() == 1);
    assert_eq!(waiter.join().unwrap(), WaitOutcome::Woken);
}

#[test]
fn deadlines_are_ordered_by_time() {
    let (now, soon, never) =
        (Deadline::after(Duration::ZERO), Deadline::after(Duration::from_secs(9)), Deadline::after(Duration::MAX));
    assert!(now < soon && soon < never);
    assert!(format!("{now:?}").starts_with("Deadline("));
}
