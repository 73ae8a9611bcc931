//! Words that change, with a wake of all waiters after each change: every wait sees the last change.
#![cfg(not(loom))]

mod common;

use common::{BACKENDS, Rng, reactor, word};
use futex_core::{MATCH_ANY, Reactor, Waiter, Word};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

fn storm(reactor: &Reactor, mask: NonZeroU32, words: &[Word], values: u32, length: Duration) {
    const WAITERS: usize = 8;
    let over = AtomicBool::new(false);
    let round = AtomicU32::new(0);
    let arrived: Vec<AtomicU32> = (0..words.len() * WAITERS).map(|_| AtomicU32::new(0)).collect();
    thread::scope(|scope| {
        for half in 0..2 {
            let (over, round, arrived) = (&over, &round, &arrived);
            scope.spawn(move || {
                let mut waits: Vec<(Waiter, u32, u32)> = arrived.iter().map(|_| (Waiter::new(), 0, 0)).collect();
                let mut rng = Rng(half as u64 + 1);
                while !over.load(Ordering::Relaxed) {
                    for (index, (waiter, expected, since)) in waits.iter_mut().enumerate() {
                        if index % 2 != half {
                            continue;
                        }
                        let word = &words[index % words.len()];
                        if waiter.is_armed() && rng.below(16) == 0 {
                            waiter.cancel();
                        }
                        if !waiter.is_armed() {
                            *since = round.load(Ordering::Acquire);
                            *expected = word.load(Ordering::Acquire);
                        }
                        let cx = &mut Context::from_waker(Waker::noop());
                        while let Poll::Ready(ended) = waiter.poll_wait_masked(reactor, word, *expected, mask, cx) {
                            ended.expect("a wait without an error");
                            *since = round.load(Ordering::Acquire);
                            *expected = word.load(Ordering::Acquire);
                        }
                        // This wait expects a value of this round or a later one.
                        arrived[index].store(*since, Ordering::Release);
                    }
                    thread::yield_now();
                }
            });
        }
        let (start, mut now, mut rng) = (Instant::now(), 0, Rng(7));
        while start.elapsed() < length {
            now += 1;
            for word in words {
                word.store((word.load(Ordering::Relaxed) + 1) % values, Ordering::Release);
                if rng.below(2) == 0 {
                    word.wake(1); // some are woken before all are
                }
            }
            round.store(now, Ordering::Release);
            for word in words {
                word.wake(u32::MAX);
            }
            let asked = Instant::now();
            while arrived.iter().any(|arrived| arrived.load(Ordering::Acquire) < now) {
                reactor.turn();
                thread::yield_now();
                if asked.elapsed() > Duration::from_secs(5) {
                    over.store(true, Ordering::Relaxed);
                    panic!(
                        "{}: a wait sleeps through change {now}: {:?}, mask {mask}",
                        reactor.backend(),
                        reactor.stats()
                    );
                }
            }
        }
        over.store(true, Ordering::Relaxed);
        println!("{}: {now} changes, {:?}", reactor.backend(), reactor.stats());
    });
}

#[test]
fn no_wait_sleeps_through_a_change_while_waits_come_and_go() {
    let length = std::env::var("FUTEX_TESTS_STORM_SECS").ok().map_or(0.3, |secs| secs.parse().expect("a number"));
    for kind in BACKENDS {
        for mask in [MATCH_ANY, NonZeroU32::MIN] {
            for (words, values) in [(1, 2), (1, 1000), (20, 3)] {
                let Some(reactor) = reactor(kind) else { continue };
                let words: Vec<_> = (0..words).map(|_| word()).collect();
                storm(&reactor, mask, &words, values, Duration::from_secs_f64(length));
            }
        }
    }
}
