//! One word in two mappings. The kernel has one queue for both mappings, so a wake through one mapping finds the waits of the
//! other. But each mapping can be unmapped alone, and its address may then belong to another word.

use super::{Away, arm, mapped_twice, next_woken, no_turn, until_waiting, waiters, waitv};
use crate::backends::thread::Threads;
use crate::queue::{FutexWord as _, Queue};
use futex_sys::Word;
use futex_sys::futex::MATCH_ANY;

/// Regression: a wake was counted for a wait that was dropped, while the other waiter's thread was about to park through the
/// other mapping. In the test that found it, 1,791 of 3,000 such wakes were lost.
#[test]
fn a_wake_that_finds_nobody_parked_ends_a_wait_on_the_other_mapping() {
    fn check(backend: &mut impl Queue<Word>) {
        for waited in [0, 1] {
            let words = mapped_twice();
            arm(backend, 1, &words[waited], MATCH_ANY);
            let away = Away::take(&words[waited], 1);
            words[1 - waited].hand_on(MATCH_ANY);
            assert_eq!(next_woken(backend), 1);
            drop(away);
            words[waited].wake(u32::MAX);
        }
    }
    check(&mut Threads::new(no_turn()));
    if let Some(mut waitv) = waitv() {
        check(&mut waitv);
    }
}

#[test]
fn waits_on_both_mappings_that_share_a_thread_are_woken_in_their_order() {
    const WAITS: u32 = 20;
    let Some(mut waitv) = waitv() else { return };
    let words = mapped_twice();
    for slot in 0..WAITS {
        arm(&mut waitv, slot, &words[slot as usize % 2], MATCH_ANY);
    }
    for slot in 0..WAITS {
        until_waiting(&words[0], WAITS - slot);
        assert_eq!(words[slot as usize / 2 % 2].wake(1), 1);
        assert_eq!(next_woken(&mut waitv), slot);
    }
}

/// Equality by [`Word::same_word`] is good enough to hand on a wake, since a false match does no harm there. But a wait that took
/// over a thread after a false match would sleep on the wrong word, so takeovers compare addresses.
#[test]
fn a_wait_takes_over_no_thread_that_was_left_behind_on_the_other_mapping() {
    let (mut threads, words) = (Threads::new(no_turn()), mapped_twice());
    arm(&mut threads, 0, &words[0], MATCH_ANY);
    until_waiting(&words[0], 1);
    assert!(threads.cancel(0).is_some());
    arm(&mut threads, 1, &words[1], MATCH_ANY);
    until_waiting(&words[0], 2);
    assert_eq!(threads.usage().units, 2);
    // A wait on the same mapping takes the thread over.
    arm(&mut threads, 2, &words[0], MATCH_ANY);
    assert_eq!((threads.usage().units, waiters(&words[0])), (2, 2));
    assert_eq!(words[1].wake(2), 2);
    let mut ended = [next_woken(&mut threads), next_woken(&mut threads)];
    ended.sort_unstable();
    assert_eq!(ended, [1, 2]);
}
