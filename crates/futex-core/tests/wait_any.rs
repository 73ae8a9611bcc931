//! Waits on several words at once.
#![cfg(not(loom))]

mod common;

use common::{Flag, reactor, reactors, until, until_waiting, waiters, word};
use futex_core::{Backend, First, Outcome, Reactor, Stats, Target, WaitAny, Word};
use std::future::Future;
use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

fn targets<'a>(reactor: &'a Reactor, words: &'a [Word]) -> impl Iterator<Item = Target<'a>> {
    words.iter().map(move |word| Target::new(reactor, word, 0))
}

fn poll(any: &mut WaitAny<'_>, waker: &Waker) -> Poll<io::Result<(usize, Outcome)>> {
    Pin::new(any).poll(&mut Context::from_waker(waker)).map_ok(|first| (first.index, first.outcome))
}

/// Turns until the wait ends.
fn end(reactor: &Reactor, any: &mut WaitAny<'_>) -> (usize, Outcome) {
    let mut ended = None;
    until("the wait ends", || {
        reactor.turn();
        if let Poll::Ready(outcome) = poll(any, Waker::noop()) {
            ended = Some(outcome.expect("a wait without an error"));
        }
        ended.is_some()
    });
    ended.expect("the wait has ended")
}

#[test]
fn all_words_are_armed_when_the_first_poll_is_over() {
    // More words than a ring has room for, and than a submission queue has entries.
    let words: Vec<Word> = (0..150).map(|_| word()).collect();
    for reactor in reactors() {
        let (flag, waker) = Flag::new();
        let mut any = WaitAny::new(targets(&reactor, &words));
        assert!(poll(&mut any, &waker).is_pending() && any.is_armed());
        if reactor.backend() == Backend::Uring {
            assert!(words.iter().all(|word| waiters(word) == 1));
        } else {
            words.iter().for_each(|word| until_waiting(word, 1));
        }
        assert_eq!((reactor.stats().armed_now, flag.is_set()), (150, false));

        words[77].store(1, Ordering::Release);
        words[77].wake(1);
        let (index, _) = end(&reactor, &mut any);
        // `Waitv` may also end the waits in front of it in its thread as woken.
        assert!(index == 77 || reactor.backend() == Backend::Waitv, "{index}");
        assert!(!any.is_armed());
        // On the other backends, the poll may have replaced the waker before the wake arrived.
        assert!(flag.is_set() || reactor.backend() != Backend::Uring);
        until("the other waits have ended", || {
            reactor.turn();
            reactor.stats().armed_now == 0
        });
        words[77].store(0, Ordering::Release);
        words.iter().for_each(|word| _ = word.wake(u32::MAX)); // frees the threads that were left behind
    }
}

#[test]
fn the_lowest_index_that_differs_is_the_result_and_nothing_is_armed() {
    for reactor in reactors() {
        let words = [word(), word(), word()];
        words[1].store(1, Ordering::Release);
        words[2].store(1, Ordering::Release);
        let mut any = WaitAny::new(targets(&reactor, &words));
        assert!(matches!(poll(&mut any, Waker::noop()), Poll::Ready(Ok((1, Outcome::Mismatch)))));
        assert_eq!((reactor.stats().armed, any.is_armed()), (0, false));
        // The next poll begins anew.
        words[0].store(1, Ordering::Release);
        assert!(matches!(poll(&mut any, Waker::noop()), Poll::Ready(Ok((0, Outcome::Mismatch)))));
    }
}

#[test]
fn a_wake_that_another_target_has_consumed_is_handed_on() {
    let Some(reactor) = reactor(Backend::Uring) else { return };
    let words = [word(), word(), word()];
    let mut any = WaitAny::new(targets(&reactor, &words));
    assert!(poll(&mut any, Waker::noop()).is_pending());
    let mut behind = WaitAny::new(targets(&reactor, &words));
    assert!(poll(&mut behind, Waker::noop()).is_pending());
    assert_eq!((words[2].wake(1), words[0].wake(1)), (1, 1));
    // The result is the lowest index. The other wake goes to the next waiter of its word.
    assert_eq!(end(&reactor, &mut any), (0, Outcome::Woken));
    assert_eq!(end(&reactor, &mut behind), (2, Outcome::Woken));
    assert_eq!(reactor.stats().handed_on, 1);
}

#[test]
fn a_mask_keeps_other_wakes_away() {
    let Some(reactor) = reactor(Backend::Uring) else { return };
    let words = [word(), word()];
    let mask = NonZeroU32::new(0b10).unwrap();
    let mut any = WaitAny::new(targets(&reactor, &words).map(|target| target.with_mask(mask)));
    assert!(poll(&mut any, Waker::noop()).is_pending());
    assert_eq!(words[0].wake_masked(1, NonZeroU32::MIN), 0);
    assert_eq!(words[1].wake_masked(1, mask), 1);
    assert_eq!(end(&reactor, &mut any), (1, Outcome::Woken));
}

#[test]
fn targets_may_have_different_reactors_and_the_same_word() {
    let all: Vec<_> = reactors().collect();
    let word = word();
    let target = |reactor| Target::new(reactor, &word, 0);
    let mut any = WaitAny::new(all.iter().chain(&all).map(target));
    assert!(poll(&mut any, Waker::noop()).is_pending());
    until_waiting(&word, 2 * all.len() as u32);
    assert!(all.iter().all(|reactor| reactor.stats().armed_now == 2));
    drop(any);
    until("all waits have ended", || all.iter().all(|reactor| reactor.stats().armed_now == 0));
    word.wake(u32::MAX);
}

#[test]
fn nothing_is_armed_if_one_of_the_reactors_is_closed() {
    let Some(open) = reactor(Backend::Uring) else { return };
    let Some(closed) = reactor(Backend::Uring) else { return };
    closed.close();
    let word = word();
    let target = |reactor| Target::new(reactor, &word, 0);
    let mut any = WaitAny::new([&open, &closed, &open].map(target));
    let Poll::Ready(Err(error)) = poll(&mut any, Waker::noop()) else { panic!("a reactor is closed") };
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    assert_eq!((word.wake(u32::MAX), open.stats().armed_now, any.is_armed()), (0, 0, false));
}

#[test]
fn a_wait_any_without_targets_is_refused() {
    let Poll::Ready(Err(error)) = poll(&mut WaitAny::new([]), Waker::noop()) else { panic!("no error") };
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "a wait without any words would never end: pass at least one word");
}

fn mask(bits: u32) -> NonZeroU32 {
    NonZeroU32::new(bits).expect("a mask has a bit")
}

/// Adds a mask to a target, so that `Waitv` uses a thread of its own for the wait and does not end it when another wait is woken.
fn masked(target: Target<'_>) -> Target<'_> {
    target.with_mask(mask(u32::MAX >> 1))
}

/// Turns until the wait ends, and returns the whole result.
fn first(reactor: &Reactor, any: &mut WaitAny<'_>) -> First {
    let mut ended = None;
    until("the wait ends", || {
        reactor.turn();
        if let Poll::Ready(first) = Pin::new(&mut *any).poll(&mut Context::from_waker(Waker::noop())) {
            ended = Some(first.expect("a wait without an error"));
        }
        ended.is_some()
    });
    ended.expect("the wait has ended")
}

#[test]
fn each_target_has_the_mask_and_the_value_that_were_given_with_it() {
    for reactor in reactors() {
        let [bits, values] = [[0b001, 0b010, 0b100], [7, 8, 9]];
        for index in 0..3 {
            let words = [word(), word(), word()];
            for (word, value) in words.iter().zip(values) {
                word.store(value, Ordering::Release);
            }
            let target =
                |index: usize| Target::new(&reactor, &words[index], values[index]).with_mask(mask(bits[index]));
            let mut any = WaitAny::new((0..3).map(target));
            assert!(poll(&mut any, Waker::noop()).is_pending());
            words.iter().for_each(|word| until_waiting(word, 1));
            for (other, word) in words.iter().enumerate() {
                assert_eq!(word.wake_masked(1, mask(0b111 & !bits[other])), 0, "the mask does not match");
            }
            // (A thread may be parking anew. Then the wake is repeated.)
            until("the kernel counts a wake", || words[index].wake_masked(1, mask(bits[index])) == 1);
            let First { index: found, outcome, value, .. } = first(&reactor, &mut any);
            assert_eq!((found, outcome, value), (index, Outcome::Woken, values[index]));
            words.iter().for_each(|word| _ = word.wake_all()); // frees the threads that were left behind
        }
    }
}

#[test]
fn the_value_after_a_wake_is_loaded_by_the_poll_that_returns_it() {
    for reactor in reactors() {
        let words = [word(), word()];
        let mut any = WaitAny::new(targets(&reactor, &words).map(masked));
        assert!(poll(&mut any, Waker::noop()).is_pending());
        words.iter().for_each(|word| until_waiting(word, 1));
        words[1].store(5, Ordering::Release);
        words[1].wake_one();
        until("the reactor has taken the completion", || {
            reactor.turn();
            reactor.stats().armed_now == 1
        });
        // The value includes changes that were made after the wake.
        words[1].store(6, Ordering::Release);
        words[0].store(1, Ordering::Release);
        let first = first(&reactor, &mut any);
        assert_eq!((first.index, first.value), (1, 6));
        words.iter().for_each(|word| _ = word.wake_all());
    }
}

#[test]
fn the_first_poll_returns_the_value_of_the_lowest_index_that_differs() {
    for reactor in reactors() {
        let words = [word(), word(), word()];
        words[1].store(4, Ordering::Release);
        words[2].store(5, Ordering::Release);
        let mut any = WaitAny::new(targets(&reactor, &words));
        assert_eq!(first(&reactor, &mut any), first(&reactor, &mut any), "each poll begins anew");
        let First { index, outcome, value, .. } = first(&reactor, &mut any);
        assert_eq!((index, outcome, value), (1, Outcome::Mismatch, 4));
    }
}

#[test]
fn waits_on_one_word_are_woken_in_the_order_of_the_targets() {
    let Some(reactor) = reactor(Backend::Uring) else { return };
    let word = word();
    // With a target on another word in between, another wait in front, and another wait behind.
    let other = common::word();
    let begin = || {
        let mut any = WaitAny::new([Target::new(&reactor, &word, 0)]);
        assert!(poll(&mut any, Waker::noop()).is_pending());
        any
    };
    let mut before = begin();
    let list = [&word, &other, &word, &word].map(|word| Target::new(&reactor, word, 0));
    let mut any = WaitAny::new(list);
    assert!(poll(&mut any, Waker::noop()).is_pending());
    let mut behind = begin();
    assert_eq!(word.wake(2), 2);
    assert_eq!(first(&reactor, &mut before).outcome, Outcome::Woken);
    assert_eq!(first(&reactor, &mut any).index, 0);
    // The other waits of `any` have ended without a wake.
    assert_eq!((waiters(&word), waiters(&other)), (1, 0));
    assert!(poll(&mut behind, Waker::noop()).is_pending());
    assert_eq!(word.wake_all(), 1);
    assert_eq!(first(&reactor, &mut behind).outcome, Outcome::Woken);
    let Stats { armed, woken, cancelled, handed_on, .. } = common::stats(&reactor);
    assert_eq!((armed, woken, cancelled, handed_on), (6, 3, 3, 0));
}

/// All three waits of one `WaitAny` are woken. It sees one wake, and the other two wakes go to the waits behind it.
#[test]
fn one_of_several_wakes_for_a_wait_any_is_seen_and_the_others_are_handed_on() {
    let Some(reactor) = reactor(Backend::Uring) else { return };
    let word = word();
    let mut any = WaitAny::new([&word, &word, &word].map(|word| Target::new(&reactor, word, 0)));
    assert!(poll(&mut any, Waker::noop()).is_pending());
    let mut behind: Vec<_> = (0..2).map(|_| WaitAny::new([Target::new(&reactor, &word, 0)])).collect();
    for any in &mut behind {
        assert!(poll(any, Waker::noop()).is_pending());
    }
    assert_eq!(word.wake(3), 3);
    assert_eq!(first(&reactor, &mut any).index, 0);
    for any in &mut behind {
        assert_eq!(first(&reactor, any).outcome, Outcome::Woken);
    }
    assert_eq!(common::stats(&reactor).handed_on, 2);
}

#[test]
fn a_wait_any_can_be_reused_and_arms_each_word_once() {
    for reactor in reactors() {
        let words = [word(), word()];
        let mut any = WaitAny::new(targets(&reactor, &words).map(masked));
        for round in 0..5 {
            assert!(poll(&mut any, Waker::noop()).is_pending() && any.is_armed());
            words.iter().for_each(|word| until_waiting(word, 1));
            assert!(poll(&mut any, Waker::noop()).is_pending());
            assert_eq!(common::stats(&reactor).armed, 2 * (round + 1));
            until("the kernel counts a wake", || words[round as usize % 2].wake_one());
            let first = first(&reactor, &mut any);
            assert_eq!((first.index, first.outcome, any.is_armed()), (round as usize % 2, Outcome::Woken, false));
            // (The next round takes over a thread that was left behind.)
        }
        words.iter().for_each(|word| _ = word.wake_all());
    }
}

#[test]
fn a_wait_any_without_targets_is_refused_at_each_poll() {
    let mut any = WaitAny::new([]);
    for _ in 0..3 {
        assert!(
            matches!(poll(&mut any, Waker::noop()), Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::InvalidInput)
        );
        assert!(!any.is_armed());
    }
}

#[test]
fn a_wait_any_fails_if_one_of_its_reactors_is_closed_and_leaves_nothing_armed() {
    for open in reactors() {
        let closing = reactor(open.backend()).expect("the backend was available before");
        let words = [word(), word()];
        let list = [Target::new(&open, &words[0], 0), Target::new(&closing, &words[1], 0)];
        let mut any = WaitAny::new(list);
        let (flag, waker) = Flag::new();
        assert!(poll(&mut any, &waker).is_pending());
        closing.close();
        assert!(flag.is_set());
        let Poll::Ready(Err(error)) = poll(&mut any, &waker) else { panic!("a reactor is closed") };
        assert_eq!((error.kind(), any.is_armed()), (io::ErrorKind::BrokenPipe, false));
        assert_eq!((common::stats(&open).cancelled, common::stats(&closing).closed), (1, 1));
        words.iter().for_each(|word| _ = word.wake_all());
    }
}
