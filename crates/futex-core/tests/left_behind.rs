//! Threads that were left behind end by themselves, and waits that have an owner go on.
#![cfg(not(loom))]

mod common;

use common::{reactor, until, until_waiting, waiters, word};
use futex_core::{Backend, MATCH_ANY, Outcome, Reactor, Waiter, Word};
use futex_sys::futex::{Scope, requeue};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

/// Returns reactors, with masks under which each wait has a thread of its own.
fn thread_per_wait() -> impl Iterator<Item = (Reactor, NonZeroU32)> {
    let kinds = [(Backend::Thread, MATCH_ANY), (Backend::Waitv, NonZeroU32::MIN)];
    kinds.into_iter().filter_map(|(kind, mask)| Some((reactor(kind)?, mask)))
}

fn poll(reactor: &Reactor, word: &Word, mask: NonZeroU32, waiter: &mut Waiter) -> Poll<Outcome> {
    let cx = &mut Context::from_waker(Waker::noop());
    waiter.poll_wait_masked(reactor, word, 0, mask, cx).map(|ended| ended.expect("a wait without an error"))
}

/// Arms a wait, and waits until it is in the kernel.
#[track_caller]
fn armed(reactor: &Reactor, word: &Word, mask: NonZeroU32) -> Waiter {
    let mut waiter = Waiter::new();
    assert!(poll(reactor, word, mask, &mut waiter).is_pending());
    until_waiting(word, 1);
    waiter
}

#[track_caller]
fn outcome(reactor: &Reactor, word: &Word, mask: NonZeroU32, waiter: &mut Waiter) -> Outcome {
    let mut polled = Poll::Pending;
    until("the wait ends", || {
        polled = poll(reactor, word, mask, waiter);
        polled.is_ready()
    });
    let Poll::Ready(outcome) = polled else { unreachable!() };
    outcome
}

/// Moves the kernel's waiter of `word` to `other`, so that no wake of `word` finds it.
#[track_caller]
fn move_away(word: &Word, other: &Word) {
    until("the waiter is moved", || requeue(word, other, Scope::Shared, 0, 1).expect("both words are mapped") == 1);
}

/// Regression: the thread stayed parked until a wake found it, and kept the word's memory.
#[test]
fn a_thread_that_was_left_behind_ends_by_itself_and_releases_the_word() {
    for (reactor, mask) in thread_per_wait() {
        let memory = Arc::new(AtomicU32::new(0));
        let word = Word::from(memory.clone());
        drop(armed(&reactor, &word, mask));
        until("the kernel has no waiter", || waiters(&word) == 0);
        drop(word);
        until("the memory is free", || Arc::strong_count(&memory) == 1);
        until("the thread ends", || reactor.stats().units == 0);
        assert_eq!(reactor.stats().handed_on, 0, "there was no wake");
    }
}

#[test]
fn a_closed_reactor_releases_the_words_of_its_waits() {
    for (reactor, mask) in thread_per_wait() {
        let memory = Arc::new(AtomicU32::new(0));
        let word = Word::from(memory.clone());
        let waiter = armed(&reactor, &word, mask);
        reactor.close();
        until("the kernel has no waiter", || waiters(&word) == 0);
        drop((word, waiter));
        until("the memory is free", || Arc::strong_count(&memory) == 1);
    }
}

#[test]
fn a_wait_parks_anew_each_time_its_park_ends() {
    for (reactor, mask) in thread_per_wait() {
        let (word, other) = (word(), word());
        let mut waiter = armed(&reactor, &word, mask);
        for _ in 0..4 {
            move_away(&word, &other);
            until_waiting(&word, 1);
            assert!(poll(&reactor, &word, mask, &mut waiter).is_pending());
        }
        until("a wake finds the wait", || word.wake(1) == 1);
        assert_eq!(outcome(&reactor, &word, mask, &mut waiter), Outcome::Woken);
    }
}

/// Regression: the wait slept on the other word and missed the change of its own word.
#[test]
fn a_wait_that_was_moved_to_another_word_sees_a_change_of_its_own_without_a_wake() {
    for (reactor, mask) in thread_per_wait() {
        let (word, other) = (word(), word());
        let mut waiter = armed(&reactor, &word, mask);
        move_away(&word, &other);
        word.store(1, Ordering::Release);
        assert_eq!(outcome(&reactor, &word, mask, &mut waiter), Outcome::Mismatch);
    }
}

/// Regression: a wait took over a thread whose waiter had been moved, and slept until the other word was woken.
#[test]
fn a_wait_that_takes_over_a_thread_on_another_word_sees_a_change_of_its_own() {
    for (reactor, mask) in thread_per_wait() {
        let (word, other) = (word(), word());
        let first = armed(&reactor, &word, mask);
        move_away(&word, &other);
        drop(first);
        let mut waiter = Waiter::new();
        assert!(poll(&reactor, &word, mask, &mut waiter).is_pending());
        word.store(1, Ordering::Release);
        assert_eq!(outcome(&reactor, &word, mask, &mut waiter), Outcome::Mismatch);
    }
}

#[test]
fn the_wakes_that_threads_have_handed_on_count_after_the_reactor_is_closed() {
    for (reactor, mask) in thread_per_wait() {
        let word = word();
        until("a wake finds a thread that was left behind", || {
            drop(armed(&reactor, &word, mask));
            word.wake(1) == 1
        });
        until("the threads have ended", || reactor.stats().units == 0);
        let handed_on = reactor.stats().handed_on;
        assert!(handed_on > 0);
        reactor.close();
        assert_eq!(reactor.stats().handed_on, handed_on);
    }
}
