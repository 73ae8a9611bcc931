//! Several words at once: all armed before the first `Pending`, in as few submissions as possible, or none.
#![cfg(not(loom))]

mod common;

use common::{Flag, reactor, reactors, until, until_waiting, waiters, word};
use futex_core::{Backend, Outcome, Reactor, Target, WaitAny, Word};
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

/// Turns until the wait is over.
fn end(reactor: &Reactor, any: &mut WaitAny<'_>) -> (usize, Outcome) {
    let mut ended = None;
    until("the wait is over", || {
        reactor.turn();
        if let Poll::Ready(outcome) = poll(any, Waker::noop()) {
            ended = Some(outcome.expect("a wait that nothing disturbs"));
        }
        ended.is_some()
    });
    ended.expect("it ended")
}

#[test]
fn all_words_are_armed_when_the_first_poll_is_over() {
    // More than a ring has room for, and more than a submission queue.
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
        // `Waitv` may take the waits in front of it in its thread for woken too.
        assert!(index == 77 || reactor.backend() == Backend::Waitv, "{index}");
        assert!(!any.is_armed());
        // (With threads, the poll may have replaced the waker before.)
        assert!(flag.is_set() || reactor.backend() != Backend::Uring);
        until("nothing is left of the others", || {
            reactor.turn();
            reactor.stats().armed_now == 0
        });
        words[77].store(0, Ordering::Release);
        words.iter().for_each(|word| _ = word.wake(u32::MAX)); // threads that were left behind
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
        // It begins anew.
        words[0].store(1, Ordering::Release);
        assert!(matches!(poll(&mut any, Waker::noop()), Poll::Ready(Ok((0, Outcome::Mismatch)))));
    }
}

#[test]
fn a_wake_that_one_of_the_others_has_consumed_is_handed_on() {
    let Some(reactor) = reactor(Backend::Uring) else { return };
    let words = [word(), word(), word()];
    let mut any = WaitAny::new(targets(&reactor, &words));
    assert!(poll(&mut any, Waker::noop()).is_pending());
    let mut behind = WaitAny::new(targets(&reactor, &words));
    assert!(poll(&mut behind, Waker::noop()).is_pending());
    assert_eq!((words[2].wake(1), words[0].wake(1)), (1, 1));
    // The lowest index first; the other wake goes to the next in line.
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
fn the_targets_may_be_of_different_reactors_and_the_same_word() {
    let all: Vec<_> = reactors().collect();
    let word = word();
    let target = |reactor| Target::new(reactor, &word, 0);
    let mut any = WaitAny::new(all.iter().chain(&all).map(target));
    assert!(poll(&mut any, Waker::noop()).is_pending());
    until_waiting(&word, 2 * all.len() as u32);
    assert!(all.iter().all(|reactor| reactor.stats().armed_now == 2));
    drop(any);
    until("nothing is left", || all.iter().all(|reactor| reactor.stats().armed_now == 0));
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
fn a_wait_for_none_is_refused() {
    let Poll::Ready(Err(error)) = poll(&mut WaitAny::new([]), Waker::noop()) else { panic!("it would never end") };
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "a wait for any of no words would never end: give it at least one word");
}
