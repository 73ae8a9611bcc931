//! Wakes that meet owners who leave, on the real kernel.
#![cfg(not(loom))]

mod common;

use common::{Flag, reactors, until, until_waiting, word};
use futex_core::{Backend, Outcome, Reactor, Waiter, Word};
use std::task::{Context, Poll, Waker};
use std::thread;

fn armed(reactor: &Reactor, word: &Word) -> Waiter {
    let mut waiter = Waiter::new();
    assert!(waiter.poll_wait(reactor, word, 0, &mut Context::from_waker(Waker::noop())).is_pending());
    waiter
}

/// Whether a wait has been woken by now.
fn is_woken(reactor: &Reactor, word: &Word, waiter: &mut Waiter, waker: &Waker) -> bool {
    reactor.turn();
    match waiter.poll_wait(reactor, word, 0, &mut Context::from_waker(waker)) {
        Poll::Pending => false,
        Poll::Ready(outcome) => {
            assert_eq!(outcome.expect("the reactor is open"), Outcome::Woken);
            true
        }
    }
}

/// Some waits share a thread on `Waitv`, more than it opens threads to keep the waits on one word apart. The wake that one of
/// them had consumed was handed on while the thread was out of the kernel, found nobody, and the other slept on.
#[test]
fn a_wake_that_meets_many_owners_that_leave_reaches_the_last_waiter() {
    for reactor in reactors() {
        let (rounds, others) = match reactor.backend() {
            Backend::Thread => (100, 4),
            _ => (150, 40),
        };
        for round in 0..rounds {
            // A new one each time, as wakes of the last round may still be on their way.
            let word = word();
            let mut leaving: Vec<Waiter> = (0..others).map(|_| armed(&reactor, &word)).collect();
            let mut last = armed(&reactor, &word);
            until_waiting(&word, others + 1);
            thread::scope(|scope| {
                // On `Waitv` a wake may find all threads out of the kernel, and is not counted then.
                let waking = scope.spawn(|| until("the kernel counts a wake", || word.wake(1) == 1));
                // The newest first, or the oldest.
                if round % 2 == 0 {
                    leaving.reverse();
                }
                leaving.clear();
                waking.join().unwrap();
            });
            let (_, waker) = Flag::new();
            until("the wake reaches the last waiter", || is_woken(&reactor, &word, &mut last, &waker));
            word.wake(u32::MAX); // threads that were left behind
        }
        until("all are gone", || {
            reactor.turn();
            reactor.stats().armed_now == 0
        });
    }
}
