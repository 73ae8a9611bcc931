//! The masks of threads that were left behind, and of wakes that are handed on and find nobody in the kernel.

use super::{Away, arm, mask, next_woken, no_turn, until, until_waiting, waiters, waitv, word};
use crate::backends::thread::Threads;
use crate::queue::{Ending, FutexWord as _, Queue};
use futex_sys::Word;
use futex_sys::futex::MATCH_ANY;

const LEFT: u32 = 0b01;
const RIGHT: u32 = 0b10;

/// Leaves a thread behind that is parked under a mask.
fn leave_behind(backend: &mut impl Queue<Word>, word: &Word, bits: u32) {
    let before = waiters(word);
    arm(backend, 90, word, mask(bits));
    until_waiting(word, before + 1);
    let completion = backend.cancel(90).expect("the wait is armed");
    assert!(matches!(completion.ending, Ending::Cancelled), "{completion:?}");
}

#[test]
fn a_wait_takes_over_no_thread_that_was_left_behind_under_another_mask() {
    let (mut threads, word) = (Threads::new(no_turn()), word());
    leave_behind(&mut threads, &word, LEFT);
    arm(&mut threads, 1, &word, mask(RIGHT));
    until_waiting(&word, 2);
    assert_eq!(word.wake_masked(1, mask(RIGHT)), 1);
    assert_eq!(next_woken(&mut threads), 1);
    // The thread that was left behind is still there, and a wait under its mask takes it over.
    let units = threads.usage().units;
    arm(&mut threads, 2, &word, mask(LEFT));
    assert_eq!((threads.usage().units, waiters(&word)), (units, 1));
    assert_eq!(word.wake_masked(1, mask(LEFT)), 1);
    assert_eq!(next_woken(&mut threads), 2);
    assert_eq!(threads.usage().handed_on, 0);
}

#[test]
fn a_thread_that_was_left_behind_hands_on_under_the_mask_of_its_wait() {
    let (mut threads, word) = (Threads::new(no_turn()), word());
    leave_behind(&mut threads, &word, LEFT);
    arm(&mut threads, 1, &word, mask(RIGHT));
    until_waiting(&word, 2);
    arm(&mut threads, 2, &word, MATCH_ANY);
    until_waiting(&word, 3);
    // A plain wake finds the first waiter: the thread that was left behind.
    assert_eq!(word.wake(1), 1);
    assert_eq!(next_woken(&mut threads), 2);
    until("the wake is counted as handed on", || threads.usage().handed_on == 1);
    assert_eq!(waiters(&word), 1, "the wait under another mask goes on");
    assert!(threads.reap().is_none());
}

/// A wake that is handed on and finds nobody in the kernel is offered to the waits outside of the kernel. It ends only a wait
/// that it would have found in the kernel.
#[test]
fn a_wake_that_finds_nobody_parked_ends_only_a_wait_whose_mask_matches() {
    fn check(backend: &mut impl Queue<Word>) {
        let word = word();
        for (slot, wait) in [(1, LEFT), (2, RIGHT)] {
            arm(backend, slot, &word, mask(wait));
            until_waiting(&word, slot);
        }
        let away = Away::take(&word, 2);
        word.hand_on(mask(0b100));
        assert!(backend.reap().is_none(), "no wait has this bit");
        word.hand_on(mask(RIGHT | 0b100));
        assert_eq!(next_woken(backend), 2);
        word.hand_on(mask(RIGHT));
        assert!(backend.reap().is_none(), "the wait with this bit has ended");
        word.hand_on(mask(LEFT));
        assert_eq!(next_woken(backend), 1);
        word.hand_on(MATCH_ANY);
        assert!(backend.reap().is_none(), "nobody waits");
        drop(away);
        word.wake(u32::MAX);
    }
    check(&mut Threads::new(no_turn()));
    if let Some(mut waitv) = waitv() {
        check(&mut waitv);
    }
}

#[test]
fn a_wake_under_any_mask_that_finds_nobody_parked_ends_a_wait_without_a_mask() {
    fn check(backend: &mut impl Queue<Word>) {
        for bits in [LEFT, RIGHT, 1 << 31, u32::MAX] {
            let word = word();
            arm(backend, 1, &word, MATCH_ANY);
            let away = Away::take(&word, 1);
            word.hand_on(mask(bits));
            assert_eq!(next_woken(backend), 1);
            assert!(backend.reap().is_none());
            drop(away);
            word.wake(u32::MAX);
        }
    }
    check(&mut Threads::new(no_turn()));
    if let Some(mut waitv) = waitv() {
        check(&mut waitv);
    }
}
