//! Waits whose thread has not sat down yet, or is on its way out.

use super::*;
use crate::tests::parked::{arm, next_woken, no_turn, until, until_waiting, waiters, word};
use futex_sys::futex::MATCH_ANY;

/// Arms a wait that no thread sits down for, as long as the test does not [let one](let_sit_down).
fn arm_without_a_thread(threads: &mut Threads, slot: u32, word: &Word) {
    // A thread that is said to be on its way.
    threads.shared.lock().idle += 1;
    arm(threads, slot, word, MATCH_ANY);
    let state = threads.shared.lock();
    assert_eq!((state.jobs.len(), state.threads), (state.idle, 0));
}

/// Starts the thread that was said to be on its way.
fn let_sit_down(threads: &Threads) {
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

/// A thread would come later, sit down for nobody, and take a wake. Or it would sit down for another wait, which has the seat
/// by then.
#[test]
fn a_wait_that_leaves_before_its_thread_sat_down_leaves_nothing_behind() {
    let (mut threads, word) = (Threads::new(no_turn()), word());
    arm_without_a_thread(&mut threads, 1, &word);
    arm_without_a_thread(&mut threads, 2, &word);
    let completion = threads.cancel(1).unwrap();
    assert!(matches!(completion, Completion { slot: Some(1), ending: Ending::Cancelled, .. }), "{completion:?}");
    assert!(threads.cancel(1).is_none(), "it is over");
    let state = threads.shared.lock();
    assert_eq!((state.seats.len(), state.jobs.len(), state.left.len()), (1, 1, 0));
    drop(state);
    // The other one keeps its seat, and a later one takes the free one.
    arm(&mut threads, 3, &word, MATCH_ANY);
    let_sit_down(&threads);
    let_sit_down(&threads);
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
fn a_wake_that_is_handed_on_ends_a_wait_whose_thread_has_not_sat_down() {
    let (mut threads, word) = (Threads::new(no_turn()), word());
    arm_without_a_thread(&mut threads, 1, &word);
    word.hand_on(MATCH_ANY);
    assert_eq!(next_woken(&mut threads), 1);
    assert_empty(&threads);
    assert!(threads.cancel(1).is_none());
}

/// The wait in the first seat that matched was taken, and a seat that came free is taken again.
#[test]
fn a_wake_that_is_handed_on_ends_the_longest_waiting_wait_outside_of_the_kernel() {
    let (mut threads, word) = (Threads::new(no_turn()), word());
    arm_without_a_thread(&mut threads, 1, &word);
    arm_without_a_thread(&mut threads, 2, &word);
    assert!(threads.cancel(1).is_some());
    arm(&mut threads, 3, &word, MATCH_ANY); // in the seat of the first
    for slot in [2, 3] {
        word.hand_on(MATCH_ANY);
        assert_eq!(next_woken(&mut threads), slot);
    }
    assert_empty(&threads);
}

#[test]
fn closing_ends_a_wait_whose_thread_has_not_sat_down() {
    let (mut threads, word) = (Threads::new(no_turn()), word());
    arm_without_a_thread(&mut threads, 1, &word);
    let mut ended = Vec::new();
    threads.close(&mut |completion| ended.push(completion));
    assert!(matches!(ended[..], [Completion { slot: Some(1), ending: Ending::Cancelled, .. }]), "{ended:?}");
    assert_empty(&threads);
    // The thread that comes then has nothing to do.
    let_sit_down(&threads);
    until("the thread ends", || threads.usage().units == 0);
    assert_eq!(waiters(&word), 0);
}

/// 1. A thread finds that the word differs. Before it can take the lock, the owner of its wait leaves.
/// 2. The word gets its old value again, and a wait for that value takes the seat over.
/// 3. The thread reported to the new owner that its word differs, which it had never done since the wait began.
#[test]
fn a_wait_that_takes_over_a_seat_ignores_the_answer_to_an_earlier_park() {
    let (mut threads, word) = (Threads::new(no_turn()), word());
    arm_without_a_thread(&mut threads, 1, &word);
    let seat = threads.shared.lock().jobs.pop_front().unwrap(); // a thread has sat down
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
    assert!(!state.parks_again(seat, &Ok(futex::WaitOutcome::Woken)), "the wake must reach somebody");
    assert!(state.parks_again(seat, &Ok(futex::WaitOutcome::TimedOut)));
    drop(state);
    assert!(threads.cancel(3).is_some());
    assert!(!threads.shared.lock().parks_again(seat, &Ok(futex::WaitOutcome::TimedOut)), "nobody waits");
}
