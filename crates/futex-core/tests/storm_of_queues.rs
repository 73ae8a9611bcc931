//! Threads that arm and drop many waits, so that queues are opened and closed all the time.
#![cfg(all(not(loom), feature = "uring"))]

mod common;

use common::{BACKENDS, PATIENCE, Rng, reactor, word};
use futex_core::{Backend, Outcome, Reactor, Target, WaitAny, Waiter, Word};
use rustix::event::{PollFd, PollFlags, Timespec, poll as poll_events};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

fn poll(reactor: &Reactor, word: &Word, waiter: &mut Waiter) -> Poll<std::io::Result<Outcome>> {
    waiter.poll_wait(reactor, word, 0, &mut Context::from_waker(Waker::noop()))
}

/// Runs one round: arms waits, drops some, wakes the others, and sees each wake. Returns the first error, which is the one of a
/// closed reactor.
fn round(reactor: &Reactor, rng: &mut Rng, most: usize, turns: bool) -> std::io::Result<()> {
    let mut waits: Vec<(Word, Waiter)> = (0..1 + rng.below(most)).map(|_| (word(), Waiter::new())).collect();
    for (word, waiter) in &mut waits {
        match poll(reactor, word, waiter) {
            Poll::Pending => {}
            // `Waitv` may end the wait together with another one of its thread.
            Poll::Ready(ended) => {
                let ended = ended?;
                assert_eq!(reactor.backend(), Backend::Waitv, "the wait has already ended: {ended:?}");
            }
        }
    }
    waits.retain(|(_, waiter)| waiter.is_armed());
    if rng.below(4) == 0 {
        // A `WaitAny` on all words, which is dropped at once.
        if waits.is_empty() {
            return Ok(());
        }
        let targets = waits.iter().map(|(word, _)| Target::new(reactor, word, 0));
        let mut any = WaitAny::new(targets);
        if let Poll::Ready(ended) = Pin::new(&mut any).poll(&mut Context::from_waker(Waker::noop())) {
            let ended = ended?;
            assert_eq!(reactor.backend(), Backend::Waitv, "the wait has already ended: {ended:?}");
        }
    }
    let keep = rng.below(waits.len() + 1);
    while waits.len() > keep {
        let index = rng.below(waits.len());
        waits.swap_remove(index);
    }
    for (word, waiter) in &mut waits {
        let start = Instant::now();
        if rng.below(2) == 0 {
            word.store(1, Ordering::Release);
            word.wake(1);
        } else {
            while word.wake(1) == 0 {
                assert!(
                    start.elapsed() < PATIENCE || reactor.is_closed(),
                    "no wake finds the wait on {kind}",
                    kind = reactor.backend()
                );
                if reactor.is_closed() {
                    break;
                }
                assert_ne!(reactor.backend(), Backend::Uring, "no wake finds the armed wait");
                if let Poll::Ready(ended) = poll(reactor, word, waiter) {
                    let _ = ended?; // the next poll, below, begins anew and ends at once
                    word.store(1, Ordering::Release);
                    break;
                }
            }
        }
    }
    for (word, waiter) in &mut waits {
        let start = Instant::now();
        while poll(reactor, word, waiter)?.is_pending() {
            if turns {
                reactor.turn();
            }
            thread::yield_now();
            assert!(start.elapsed() < PATIENCE, "a woken wait does not end: {:?}", reactor.stats());
        }
    }
    Ok(())
}

struct OnDrop<'a>(&'a AtomicUsize);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn secs() -> Duration {
    Duration::from_secs_f64(
        std::env::var("FUTEX_TESTS_STORM_SECS").ok().map_or(0.5, |secs| secs.parse().expect("a number")),
    )
}

fn most(kind: Backend) -> usize {
    match kind {
        Backend::Uring => 2500,
        Backend::Waitv => 600,
        _ => 20,
    }
}

#[test]
fn waits_end_while_queues_are_opened_and_closed() {
    for kind in BACKENDS {
        let Some(reactor) = reactor(kind) else { continue };
        let over = AtomicUsize::new(0);
        thread::scope(|scope| {
            for seed in 1..4 {
                let (reactor, over) = (&reactor, &over);
                scope.spawn(move || {
                    let _over = OnDrop(over);
                    let (mut rng, start, mut rounds) = (Rng(seed), Instant::now(), 0);
                    while start.elapsed() < secs() {
                        round(reactor, &mut rng, most(kind), false).expect("nobody closes the reactor");
                        rounds += 1;
                    }
                    println!("{kind}: {rounds} rounds");
                });
            }
            // Turns only when the descriptor is readable, like a driver.
            while over.load(Ordering::Relaxed) < 3 {
                let mut readable = [PollFd::new(&reactor, PollFlags::IN)];
                poll_events(&mut readable, Some(&Timespec { tv_sec: 0, tv_nsec: 50_000_000 })).expect("a poll");
                if !readable[0].revents().is_empty() {
                    reactor.clear().expect("an eventfd");
                    reactor.turn();
                }
            }
        });
        let stats = reactor.stats();
        println!("{stats:?}");
        assert_eq!(stats.armed_now, 0);
        if kind == Backend::Uring {
            common::until("few rings are left", || {
                reactor.turn();
                reactor.stats().units <= 8
            });
        }
    }
}

#[test]
fn a_reactor_that_is_closed_while_queues_are_opened_and_closed_ends_all_waits() {
    for kind in BACKENDS {
        let Some(_) = reactor(kind) else { continue };
        let (start, mut rng, mut times) = (Instant::now(), Rng(7), 0);
        while start.elapsed() < secs() {
            let reactor = reactor(kind).expect("the backend was available before");
            thread::scope(|scope| {
                for seed in 1..4 {
                    let reactor = reactor.clone();
                    scope.spawn(move || {
                        let mut rng = Rng(seed);
                        while round(&reactor, &mut rng, most(kind) / 2, true).is_ok() {}
                    });
                }
                for _ in 0..rng.below(20_000) {
                    std::hint::spin_loop();
                }
                for _ in 0..rng.below(200) {
                    reactor.turn();
                }
                if rng.below(2) == 0 {
                    let reactor = reactor.clone();
                    scope.spawn(move || reactor.close());
                }
                reactor.close();
                assert_eq!(reactor.stats().units, 0, "{kind}");
            });
            assert_eq!(reactor.stats().armed_now, 0);
            times += 1;
        }
        println!("{kind}: closed {times} times");
    }
}

/// One wake ends thousands of waits at once. The threads that armed them have ended before.
#[test]
fn thousands_of_waits_on_one_word_end_if_only_signals_cause_turns() {
    for kind in [Backend::Uring, Backend::Waitv] {
        let Some(reactor) = reactor(kind) else { continue };
        let over = AtomicUsize::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                let _over = OnDrop(&over);
                let (start, mut rng, mut rounds) = (Instant::now(), Rng(5), 0);
                while start.elapsed() < secs() {
                    let shared = word();
                    let many = 1 + rng.below(if kind == Backend::Uring { 5000 } else { 400 });
                    let mut halves = [(); 2].map(|()| {
                        thread::scope(|scope| {
                            let arming = scope.spawn(|| {
                                let mut waits: Vec<_> = (0..many).map(|_| Waiter::new()).collect();
                                waits.iter_mut().for_each(|waiter| {
                                    let polled = poll(&reactor, &shared, waiter);
                                    assert!(polled.is_pending() || kind == Backend::Waitv);
                                });
                                waits
                            });
                            arming.join().expect("no panic")
                        })
                    });
                    shared.store(1, Ordering::Release);
                    shared.wake(u32::MAX);
                    let start = Instant::now();
                    for waiter in halves.iter_mut().flatten() {
                        while waiter.is_armed() && poll(&reactor, &shared, waiter).is_pending() {
                            thread::yield_now();
                            assert!(start.elapsed() < PATIENCE, "{many} waits: {:?}", reactor.stats());
                        }
                    }
                    rounds += 1;
                }
                println!("{kind}: {rounds} rounds, {:?}", reactor.stats());
            });
            while over.load(Ordering::Relaxed) < 1 {
                let mut readable = [PollFd::new(&reactor, PollFlags::IN)];
                poll_events(&mut readable, Some(&Timespec { tv_sec: 0, tv_nsec: 50_000_000 })).expect("a poll");
                if !readable[0].revents().is_empty() {
                    reactor.clear().expect("an eventfd");
                    reactor.turn();
                }
            }
        });
    }
}
