//! Wakes at the same moment as owners leave, on the real kernel.
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

/// Turns the reactor and polls. Returns true if the wait was woken.
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

/// On `Waitv` some of these waits share a thread, because there are more waits than threads to keep them apart. Regression: a
/// wake that one of two such waits had consumed was handed on while their thread was outside of the kernel. It found nobody, and
/// the other wait slept on.
#[test]
fn a_wake_that_meets_many_owners_that_leave_reaches_the_last_waiter() {
    for reactor in reactors() {
        let (rounds, others) = match reactor.backend() {
            Backend::Thread => (100, 4),
            _ => (150, 40),
        };
        for round in 0..rounds {
            // A new word each time, because wakes of the last round may still be handed on.
            let word = word();
            let mut leaving: Vec<Waiter> = (0..others).map(|_| armed(&reactor, &word)).collect();
            let mut last = armed(&reactor, &word);
            until_waiting(&word, others + 1);
            thread::scope(|scope| {
                // On `Waitv` all threads may be outside of the kernel. Then a wake is not counted.
                let waking = scope.spawn(|| until("the kernel counts a wake", || word.wake(1) == 1));
                // Alternately, the newest or the oldest wait is dropped first.
                if round % 2 == 0 {
                    leaving.reverse();
                }
                leaving.clear();
                waking.join().unwrap();
            });
            let (_, waker) = Flag::new();
            until("the wake reaches the last waiter", || is_woken(&reactor, &word, &mut last, &waker));
            word.wake(u32::MAX); // frees the threads that were left behind
        }
        until("all waits have ended", || {
            reactor.turn();
            reactor.stats().armed_now == 0
        });
    }
}
