//! The random sequences of `sequence.rs`, on the real kernel.
//!
//! `Uring` behaves like the naive model at each step.
//!
//! `Thread` differs, because it parks threads:
//!
//! - A wait reaches the kernel, and its end reaches the owner, a little later. The comparison waits for both.
//! - If an owner leaves, the thread of its wait stays parked. A wake counts it, and the thread hands the wake on. The naive model
//!   leaves such waits behind too.
//! - The kernel queues the threads in the order in which they park, which may differ from the order of the waits.
//! - The end of a park costs a wait its place in the queue. In the unit tests a park lasts longer than a sequence; in
//!   `tests/kernel_properties.rs` it does not.

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../../tests/common/subject.rs"]
mod subject;

use super::sequence::{self, End, Figures, Naive, OWNERS, Op, Owner, WORDS, sequences};
use crate::Backend;
use common::{Away, until, until_waiting, waiters};
use proptest::prelude::*;
use std::num::NonZeroU32;
use std::panic::{catch_unwind, resume_unwind};
use subject::Subject;

/// Compares a backend with the naive model: `Uring`, or `Thread`, whose `parks` is true.
fn compare(kind: Backend, ops: &[Op], close: bool) {
    let Some(mut subject) = Subject::new(kind) else { return };
    let parks = kind == Backend::Thread;
    let mut naive = Naive::new(parks);
    for &op in ops {
        match op {
            Op::Poll { owner, word, expected, mask } => {
                let away = parks.then(|| Away::take(&subject.words[word]));
                poll(&mut naive, &mut subject, parks, (owner, word, expected, mask));
                if let Some(away) = away {
                    away.bring_back(naive.waiters(word));
                }
            }
            Op::Drop { owner } => {
                if parks {
                    until_reported(&naive, &subject, Some(owner));
                }
                naive.leave(owner);
                subject.owners[owner].cancel();
            }
            // One wake at a time: several threads that hand on at once would do so in any order.
            Op::Wake { word, n, mask } if parks => {
                for _ in 0..n.min(10) {
                    until_reported(&naive, &subject, None);
                    assert_eq!(subject.wake(word, 1, mask), naive.wake(word, 1, mask), "{op:?}");
                    settle(&naive, &subject);
                }
            }
            Op::Wake { word, n, mask } => {
                assert_eq!(subject.wake(word, n, mask), naive.wake(word, n, mask), "{op:?}");
            }
            Op::Set { word, value } => {
                naive.values[word] = value;
                subject.set(word, value);
            }
            Op::Turn => {
                naive.reap();
                subject.reactor.turn();
            }
            // The real kernel can't be made to do this here.
            Op::Lose { .. } => {}
        }
        if parks {
            settle(&naive, &subject);
        } else {
            for (word, handle) in subject.words.iter().enumerate() {
                assert_eq!(waiters(handle), naive.waiters(word), "after {op:?}");
            }
            assert_eq!(Figures::of(&subject.reactor.stats()), naive.figures, "after {op:?}");
        }
    }
    if close {
        if parks {
            close_threads(&mut naive, &mut subject);
        } else {
            naive.close();
            subject.reactor.close();
            assert!((0..WORDS).all(|word| subject.wake(word, u32::MAX, NonZeroU32::MAX) == 0), "a wait is left");
        }
    } else {
        naive.reap();
        subject.reactor.turn();
    }
    for owner in 0..OWNERS {
        if naive.owners[owner] != Owner::Idle {
            poll(&mut naive, &mut subject, parks, (owner, 0, 0, NonZeroU32::MIN));
        }
    }
    check(Figures::of(&subject.reactor.stats()), naive.figures, parks);
    if !close {
        assert_eq!(subject.reactor.stats().handed_on, naive.handed_on);
        assert_eq!(naive.counted, naive.seen + naive.evaporated, "no wake is lost or invented");
    }
    subject.end();
}

/// Compares the statistics with those of the naive model. On `Thread`, a thread may be returning with a wake when its owner
/// leaves or the reactor is closed. It hands that wake on, and the wait counts as cancelled or closed.
fn check(figures: Figures, naive: Figures, parks: bool) {
    if !parks {
        return assert_eq!(figures, naive);
    }
    let ended_early = |figures: &Figures| figures.cancelled + figures.closed;
    assert!(figures.woken <= naive.woken && ended_early(&figures) >= ended_early(&naive), "{figures:?}, {naive:?}");
    let Figures { woken, cancelled, closed, .. } = figures;
    let sum = woken + cancelled + closed;
    let expected = naive.woken + ended_early(&naive);
    assert_eq!((figures.armed, figures.mismatched, sum), (naive.armed, naive.mismatched, expected));
}

/// Closes the reactor. The threads stay parked. A thread that is returning with a wake hands it on, perhaps to a parked one.
fn close_threads(naive: &mut Naive, subject: &mut Subject) {
    let left: Vec<u32> = (0..WORDS).map(|word| naive.waiters(word)).collect();
    let before = naive.owners;
    naive.close();
    subject.reactor.close();
    let mut on_their_way = 0;
    for (owner, before) in before.into_iter().enumerate() {
        if let Owner::Ended { wait, end: End::Woken, .. } = before {
            let seen = subject.poll(owner, wait.word, wait.expected, wait.mask);
            assert!(matches!(seen, Some(End::Woken | End::Closed)), "{seen:?}");
            on_their_way += u32::from(seen == Some(End::Closed));
            naive.see_end(owner, End::Woken);
        }
    }
    let woken: u32 = (0..WORDS).map(|word| subject.wake(word, u32::MAX, NonZeroU32::MAX)).sum();
    let left = left.into_iter().sum::<u32>();
    assert!(
        woken == left || woken < left && on_their_way > 0,
        "{left} waits, {on_their_way} threads returning, {woken} woken"
    );
}

fn poll(naive: &mut Naive, subject: &mut Subject, parks: bool, wait: (usize, usize, u32, NonZeroU32)) {
    let (owner, word, expected, mask) = wait;
    if parks {
        // The wait's thread reports the end by itself.
        if let Owner::Ended { wait, .. } = naive.owners[owner] {
            naive.report(owner);
            let mut seen = None;
            until("a wait that was woken ends", || {
                seen = subject.poll(owner, word, expected, mask);
                seen.is_some()
            });
            assert_eq!(seen, naive.poll(owner, word, expected, mask), "{wait:?}");
            return;
        }
    }
    let expectation = naive.poll(owner, word, expected, mask);
    assert_eq!(subject.poll(owner, word, expected, mask), expectation, "{wait:?}");
}

/// Waits until each woken wait has woken its task. (Otherwise a wake that is handed on could go to a wait whose thread is
/// returning with a wake of its own, which is then handed on too, and the number of such steps would vary.)
fn until_reported(naive: &Naive, subject: &Subject, except: Option<usize>) {
    for (index, owner) in naive.owners.iter().enumerate() {
        if except != Some(index) && matches!(owner, Owner::Ended { end: End::Woken, .. }) {
            until("a task is woken", || subject.tasks[index].0.is_set());
        }
    }
}

/// Waits until the threads have handed on their wakes and all others are parked.
fn settle(naive: &Naive, subject: &Subject) {
    until("wakes are handed on", || subject.reactor.stats().handed_on == naive.handed_on);
    for (word, handle) in subject.words.iter().enumerate() {
        until_waiting(handle, naive.waiters(word));
    }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn uring_does_what_a_list_of_waiters_would_do(ops in sequences(60), close: bool) {
        compare(Backend::Uring, &ops, close);
    }
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn thread_does_what_a_list_of_waiters_would_do(ops in sequences(40), close: bool) {
        // In one of some thousands of sequences the order of two threads that have just parked differs. The assumed cause, which
        // was not observed: a wake-up that was meant for the thread's previous wait (on the lock of the backend) comes late, and
        // the kernel queues the thread again, behind the others (`retry` in `__futex_wait`). To a user this looks like a wait
        // that began later. So each sequence has three tries.
        for last in [false, false, true] {
            match catch_unwind(|| compare(Backend::Thread, &ops, close)) {
                Ok(()) => break,
                Err(panic) if last => resume_unwind(panic),
                Err(_) => eprintln!("the sequence is tried again"),
            }
        }
    }
}
