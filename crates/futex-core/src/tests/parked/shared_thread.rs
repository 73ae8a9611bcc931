//! Waits of `Waitv` that share a thread. Waits on one word do so if there are more of them than threads to keep them apart.

use super::{arm, next_woken, until_waiting, waitv, word};
use crate::backends::waitv::Waitv;
use crate::queue::Queue as _;
use futex_sys::Word;
use futex_sys::futex::{MATCH_ANY, Scope, requeue};

const WAITS: u32 = 20;

/// Slot of a wait on another word, which is the last in the thread's list.
const BEHIND: u32 = 100;

/// Returns a backend with one thread, its word with [`WAITS`] waits in the order of their slots, and the word of [`BEHIND`].
fn crowd() -> Option<(Waitv, Word, Word)> {
    let (mut waitv, word, other) = (waitv()?, word(), word());
    arm(&mut waitv, BEHIND, &other, MATCH_ANY);
    for slot in 0..WAITS {
        arm(&mut waitv, slot, &word, MATCH_ANY);
    }
    until_waiting(&word, WAITS);
    until_waiting(&other, 1);
    assert_eq!(waitv.usage().units, 1);
    Some((waitv, word, other))
}

/// The thread parks anew for its list after each wake, and the kernel wakes in the order of that list. Regression: a new wait was
/// put in front of the others on its word, and was woken before them.
#[test]
fn waits_on_one_word_that_share_a_thread_are_woken_one_by_one_in_their_order() {
    let Some((mut waitv, word, other)) = crowd() else { return };
    for slot in 0..WAITS {
        assert_eq!(word.wake(1), 1);
        assert_eq!(next_woken(&mut waitv), slot);
        until_waiting(&word, WAITS - 1 - slot);
        until_waiting(&other, 1);
    }
    assert!(waitv.reap().is_none(), "the wait on the other word goes on");
}

/// The kernel returns only the last of the entries that it woke. The others are found by their places in front of it.
#[test]
fn a_wake_of_several_waits_that_share_a_thread_ends_that_number_of_waits_in_order() {
    let Some((mut waitv, word, other)) = crowd() else { return };
    let mut first = 0;
    for count in [5, 1, 7, 2] {
        assert_eq!(word.wake(count), count);
        for slot in first..first + count {
            assert_eq!(next_woken(&mut waitv), slot);
        }
        first += count;
        until_waiting(&word, WAITS - first);
        until_waiting(&other, 1);
    }
    assert!(waitv.reap().is_none(), "the others go on");
}

/// One wake ends two entries on different words. The kernel returns only the second entry.
#[test]
fn a_wake_that_the_kernel_does_not_name_ends_its_wait_too() {
    let Some(mut waitv) = waitv() else { return };
    let (word, other) = (word(), word());
    arm(&mut waitv, 0, &word, MATCH_ANY);
    arm(&mut waitv, 1, &other, MATCH_ANY); // in front of the first wait in the thread's list
    until_waiting(&other, 1);
    until_waiting(&word, 1);
    // The waiter of `other` is moved to `word`, so that one wake finds both.
    assert_eq!(requeue(&other, &word, Scope::Shared, 0, 1).expect("both words are mapped"), 1);
    assert_eq!(word.wake(2), 2);
    assert_eq!([next_woken(&mut waitv), next_woken(&mut waitv)], [1, 0]);
}
