//! `futex::requeue` and `futex::cmp_requeue`.

use crate::support::{blocked, blocked_with, mask, waiters, word};
use futex_sys::futex::{self, MATCH_ANY, Scope, WaitOutcome};
use std::sync::atomic::Ordering;

#[test]
fn requeue_wakes_some_and_moves_some_and_counts_both() {
    let (from, to) = (word(), word());
    let mut threads: Vec<_> = (0..5).map(|_| blocked(&from)).collect();
    assert_eq!(futex::requeue(&from, &to, Scope::Shared, 1, 2).unwrap(), 3);
    assert_eq!((waiters(&from, Scope::Shared), waiters(&to, Scope::Shared)), (2, 2));

    // The longest waiting thread was woken, and the next two were moved.
    assert_eq!(threads.remove(0).join().unwrap(), WaitOutcome::Woken);
    assert_eq!(to.wake(u32::MAX), 2);
    for moved in threads.drain(..2) {
        assert_eq!(moved.join().unwrap(), WaitOutcome::Woken);
    }
    assert_eq!(from.wake(u32::MAX), 2);
    for left in threads {
        assert_eq!(left.join().unwrap(), WaitOutcome::Woken);
    }
}

#[test]
fn requeue_treats_counts_beyond_i32_as_all() {
    let (from, to) = (word(), word());
    let threads: Vec<_> = (0..3).map(|_| blocked(&from)).collect();
    assert_eq!(futex::requeue(&from, &to, Scope::Shared, 0, u32::MAX).unwrap(), 3);
    assert_eq!(futex::requeue(&to, &from, Scope::Shared, 1 << 31, 1 << 31).unwrap(), 3);
    assert_eq!((waiters(&from, Scope::Shared), waiters(&to, Scope::Shared)), (0, 0));
    for thread in threads {
        assert_eq!(thread.join().unwrap(), WaitOutcome::Woken);
    }
}

#[test]
fn cmp_requeue_moves_nobody_if_the_word_has_another_value() {
    let (from, to) = (word(), word());
    let thread = blocked(&from);
    from.store(7, Ordering::Release);
    assert_eq!(futex::cmp_requeue(&from, 8, &to, Scope::Shared, 1, 1).unwrap(), None);
    assert_eq!((waiters(&from, Scope::Shared), waiters(&to, Scope::Shared)), (1, 0));

    assert_eq!(futex::cmp_requeue(&from, 7, &to, Scope::Shared, 0, 1).unwrap(), Some(1));
    assert_eq!((waiters(&from, Scope::Shared), waiters(&to, Scope::Shared)), (0, 1));
    assert_eq!(to.wake(1), 1);
    assert_eq!(thread.join().unwrap(), WaitOutcome::Woken);
}

#[test]
fn requeue_without_waiters_returns_zero() {
    let (from, to) = (word(), word());
    assert_eq!(futex::requeue(&from, &to, Scope::Shared, 1, u32::MAX).unwrap(), 0);
    assert_eq!(futex::cmp_requeue(&from, 0, &to, Scope::Private, 1, u32::MAX).unwrap(), Some(0));
}

#[test]
fn requeue_from_a_word_to_itself_counts_its_waiters_and_keeps_their_order() {
    let word = word();
    let [first, second] = [(); 2].map(|()| blocked(&word));
    assert_eq!(futex::requeue(&word, &word, Scope::Shared, 0, u32::MAX).unwrap(), 2);
    assert_eq!(futex::requeue(&word, &word, Scope::Shared, 0, 1).unwrap(), 1);
    assert_eq!(word.wake(1), 1);
    assert_eq!(first.join().unwrap(), WaitOutcome::Woken);
    assert!(!second.is_finished());
    assert_eq!(word.wake(u32::MAX), 1);
    assert_eq!(second.join().unwrap(), WaitOutcome::Woken);
}

#[test]
fn a_waiter_that_is_moved_keeps_its_mask() {
    let (from, to) = (word(), word());
    let thread = blocked_with(&from, Scope::Shared, mask(0b01));
    assert_eq!(futex::requeue(&from, &to, Scope::Shared, 0, 1).unwrap(), 1);
    assert_eq!(to.wake_masked(1, mask(0b10)), 0);
    assert_eq!(to.wake_masked(1, mask(0b01)), 1);
    assert_eq!(thread.join().unwrap(), WaitOutcome::Woken);
}

#[test]
fn requeue_takes_waiters_of_its_own_scope_only() {
    let (from, to) = (word(), word());
    let private = blocked_with(&from, Scope::Private, MATCH_ANY);
    assert_eq!(futex::requeue(&from, &to, Scope::Shared, 1, 1).unwrap(), 0);
    assert_eq!(futex::requeue(&from, &to, Scope::Private, 0, 1).unwrap(), 1);
    assert_eq!(futex::wake(&to, Scope::Private, 1).unwrap(), 1);
    assert_eq!(private.join().unwrap(), WaitOutcome::Woken);
}
