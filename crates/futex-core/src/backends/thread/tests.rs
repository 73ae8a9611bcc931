//! Waits whose thread has not taken its seat yet, or is returning from the kernel.

use super::*;
use crate::tests::parked::{arm, next_woken, no_turn, until, until_waiting, waiters, word};
use futex_sys::futex::MATCH_ANY;

/// Arms a wait whose seat no thread takes until the test calls [`start_thread`].
fn arm_without_a_thread(threads: &mut Threads, slot: u32, word: &Word) {
    // The backend believes that a thread is idle, so it starts none.
    threads.shared.lock().idle += 1;
    arm(threads, slot, word, MATCH_ANY);
    let state = threads.shared.lock();
    assert_eq!((state.jobs.len(), state.threads), (state.idle, 0));
}

/// Starts the thread that the backend believed to be idle.
fn start_thread(threads: &Threads) {
    let mut state = threads.shared.lock();
    threads.shared.start().expect("a thread");
    state.threads += 1;
}

#[track_caller]
fn assert_empty(threads: &Threads) {
    let state = threads.shared.lock();
    assert!(state.seats.is_empty() && state.owned.is_empty() && state.left.is_empty() && state.jobs.is_empty());
    assert!(state.completions.is_empty(), "{:?}", state.completions);
}

/// If a job were left, a thread would take the seat later although nobody waits, and consume a wake. Or the seat would belong to
/// another wait by then, and have two threads.
#[test]
fn a_wait_that_leaves_before_a_thread_takes_its_seat_leaves_nothing_behind() {
    let (mut threads, word) = (Threads::new(no_turn()), word());
    arm_without_a_thread(&mut threads, 1, &word);
    arm_without_a_thread(&mut threads, 2, &word);
    let completion = threads.cancel(1).unwrap();
    assert!(matches!(completion, Completion { slot: Some(1), ending: Ending::Cancelled, .. }), "{completion:?}");
    assert!(threads.cancel(1).is_none(), "the wait has already ended");
    let state = threads.shared.lock();
    assert_eq!((state.seats.len(), state.jobs.len(), state.left.len()), (1, 1, 0));
    drop(state);
    // The other wait keeps its seat, and a later wait gets the free seat.
    arm(&mut threads, 3, &word, MATCH_ANY);
    start_thread(&threads);
    start_thread(&threads);
    until_waiting(&word, 2);
    assert_eq!(word.wake(1), 1);
    assert_eq!(word.wake(1), 1);
    let mut ended = [next_woken(&mut threads), next_woken(&mut threads)];
    ended.sort_unstable();
    assert_eq!(ended, [2, 3]);
    assert_empty(&threads);
    assert_eq!((threads.usage().handed_on, waiters(&word)), (0, 0));
}

#[test]
fn a_wake_that_is_handed_on_ends_a_wait_whose_seat_no_thread_has_taken() {
    let (mut threads, word) = (Threads::new(no_turn()), word());
    arm_without_a_thread(&mut threads, 1, &word);
    word.hand_on(MATCH_ANY);
    assert_eq!(next_woken(&mut threads), 1);
    assert_empty(&threads);
    assert!(threads.cancel(1).is_none());
}

/// Regression: the wake ended the wait in the first matching seat. But a seat that became free is reused by a later wait.
#[test]
fn a_wake_that_is_handed_on_ends_the_longest_waiting_wait_outside_of_the_kernel() {
    let (mut threads, word) = (Threads::new(no_turn()), word());
    arm_without_a_thread(&mut threads, 1, &word);
    arm_without_a_thread(&mut threads, 2, &word);
    assert!(threads.cancel(1).is_some());
    arm(&mut threads, 3, &word, MATCH_ANY); // gets the seat of the first wait
    for slot in [2, 3] {
        word.hand_on(MATCH_ANY);
        assert_eq!(next_woken(&mut threads), slot);
    }
    assert_empty(&threads);
}

#[test]
fn closing_ends_a_wait_whose_seat_no_thread_has_taken() {
    let (mut threads, word) = (Threads::new(no_turn()), word());
    arm_without_a_thread(&mut threads, 1, &word);
    let mut ended = Vec::new();
    threads.close(&mut |completion| ended.push(completion));
    assert!(matches!(ended[..], [Completion { slot: Some(1), ending: Ending::Cancelled, .. }]), "{ended:?}");
    assert_empty(&threads);
    // A thread that is started after that has nothing to do.
    start_thread(&threads);
    until("the thread ends", || threads.usage().units == 0);
    assert_eq!(waiters(&word), 0);
}

/// Regression:
///
/// 1. A thread finds that the word differs. Before it can take the lock, the owner of its wait leaves.
/// 2. The word gets its old value again, and a wait for that value takes over the seat.
/// 3. The thread reported a mismatch to the new owner, although the word had not differed since that wait began.
#[test]
fn a_wait_that_takes_over_a_seat_ignores_the_answer_to_an_earlier_park() {
    let (mut threads, word) = (Threads::new(no_turn()), word());
    arm_without_a_thread(&mut threads, 1, &word);
    let seat = threads.shared.lock().jobs.pop_front().unwrap(); // as if a thread had taken the seat
    assert!(threads.cancel(1).is_some());
    arm(&mut threads, 2, &word, MATCH_ANY);
    let mut state = threads.shared.lock();
    assert_eq!((state.seats.len(), state.seats[seat].owner), (1, Some(2)));
    assert!(state.parks_again(seat, &Ok(futex::WaitOutcome::Mismatch)));
    assert!(!state.parks_again(seat, &Ok(futex::WaitOutcome::Mismatch)), "this park began after the wait");
    drop(state);

    assert!(threads.cancel(2).is_some());
    arm(&mut threads, 3, &word, MATCH_ANY);
    let mut state = threads.shared.lock();
    assert!(!state.parks_again(seat, &Ok(futex::WaitOutcome::Woken)), "the wake would be lost");
    assert!(state.parks_again(seat, &Ok(futex::WaitOutcome::TimedOut)));
    drop(state);
    assert!(threads.cancel(3).is_some());
    assert!(!threads.shared.lock().parks_again(seat, &Ok(futex::WaitOutcome::TimedOut)), "nobody waits");
}
