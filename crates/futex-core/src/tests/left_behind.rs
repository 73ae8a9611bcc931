//! The threads that `Thread` leaves parked.

use super::parked::{Away, arm, mask, next_woken, no_turn, until, until_waiting, word};
use crate::backends::thread::Threads;
use crate::queue::{Completion, Ending, FutexWord as _, Queue};
use futex_sys::Word;
use futex_sys::futex::MATCH_ANY;
use std::sync::atomic::Ordering;

/// Returns a backend with a thread that was left behind, parked while the word is 0.
fn left_behind() -> (Threads, Word) {
    let (mut threads, word) = (Threads::new(no_turn()), word());
    assert!(threads.arm(0, word.clone(), 0, MATCH_ANY).is_ok());
    until_waiting(&word, 1);
    assert!(matches!(threads.cancel(0), Some(Completion { slot: Some(0), ending: Ending::Cancelled, .. })));
    assert!(threads.reap().is_none());
    (threads, word)
}

#[test]
fn a_thread_that_was_left_behind_hands_its_wake_on() {
    let (threads, word) = left_behind();
    assert_eq!(word.wake(1), 1);
    until("the wake is handed on", || threads.usage().handed_on == 1);
}

#[test]
fn a_later_wait_takes_over_a_thread_that_was_left_behind() {
    let (mut threads, word) = left_behind();
    threads.arm(1, word.clone(), 0, MATCH_ANY).unwrap();
    assert_eq!(threads.usage().units, 1);
    assert_eq!(word.wake(1), 1);
    assert_eq!(next_woken(&mut threads), 1);
    assert_eq!(threads.usage().handed_on, 0);
}

/// Regression: the wait took over the thread without loading the word.
///
/// 1. A thread is left behind, parked while the word is 0. Another waiter is parked in front of it.
/// 2. A wait begins, and finds at its first poll that the word is 0.
/// 3. Somebody changes the word to 1 and wakes one waiter: the other one.
/// 4. The wait takes over the thread. Nobody compares the word, so the wait sleeps through the change.
#[test]
fn a_wait_that_takes_over_a_thread_sees_that_the_word_has_changed() {
    let (mut threads, word) = left_behind();
    word.store(1, Ordering::Release);
    threads.arm(1, word.clone(), 0, MATCH_ANY).unwrap();
    let completion = threads.reap();
    assert!(matches!(completion, Some(Completion { slot: Some(1), ending: Ending::Mismatch, .. })), "{completion:?}");
    // The thread is still parked, and hands its wake on.
    assert_eq!(word.wake(1), 1);
    until("the wake is handed on", || threads.usage().handed_on == 1);
}

/// A wake that is handed on and finds nobody in the kernel ends the longest waiting wait. The age of a wait that took over a
/// thread counts from its own beginning, not from that of the thread's park.
#[test]
fn a_wait_that_takes_over_a_thread_is_younger_than_the_waits_before_it() {
    let (mut threads, word) = (Threads::new(no_turn()), word());
    arm(&mut threads, 0, &word, mask(1));
    until_waiting(&word, 1);
    assert!(threads.cancel(0).is_some());
    arm(&mut threads, 1, &word, MATCH_ANY); // another mask, so this wait has a thread of its own
    arm(&mut threads, 2, &word, mask(1));
    assert_eq!(threads.usage().units, 2);
    let away = Away::take(&word, 2);
    word.hand_on(mask(1));
    assert_eq!(next_woken(&mut threads), 1);
    word.hand_on(mask(1));
    assert_eq!(next_woken(&mut threads), 2);
    drop(away);
    word.wake(u32::MAX);
}
