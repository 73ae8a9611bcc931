//! One wake at a time while waits come and go and parks end: each wake that was counted is seen.
#![cfg(not(loom))]

mod common;

use common::{BACKENDS, PATIENCE, Rng, reactor, word};
use futex_core::{MATCH_ANY, Reactor, Waiter, Word};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

fn poll(reactor: &Reactor, word: &Word, mask: NonZeroU32, waiter: &mut Waiter) -> bool {
    let cx = &mut Context::from_waker(Waker::noop());
    match waiter.poll_wait_masked(reactor, word, 0, mask, cx) {
        Poll::Pending => false,
        Poll::Ready(ended) => {
            ended.expect("a wait without an error");
            true
        }
    }
}

fn storm(reactor: &Reactor, mask: NonZeroU32, many: &[Word], length: Duration) {
    let (over, seen, counted) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let word = &many[0];
    thread::scope(|scope| {
        // Waits that come and go.
        scope.spawn(|| {
            let mut waiters: Vec<Waiter> = (0..6).map(|_| Waiter::new()).collect();
            let (mut rng, mut on) = (Rng(0), [0; 6]);
            while !over.load(Ordering::Relaxed) {
                let which = rng.below(waiters.len());
                if !waiters[which].is_armed() {
                    on[which] = rng.below(many.len());
                }
                let other = &many[on[which]];
                if waiters[which].is_armed() && rng.below(3) == 0 {
                    waiters[which].cancel();
                } else if poll(reactor, other, mask, &mut waiters[which]) && on[which] == 0 {
                    seen.fetch_add(1, Ordering::SeqCst);
                }
                if rng.below(8) == 0 {
                    thread::yield_now();
                }
            }
            // If a wait on `word` has ended unseen, its drop hands the wake on.
        });
        let mut patient = Waiter::new();
        let start = Instant::now();
        let mut wakes = 0;
        while start.elapsed() < length {
            while poll(reactor, word, mask, &mut patient) {
                seen.fetch_add(1, Ordering::SeqCst);
            }
            // `patient` is armed, and stays armed until it has seen a wake.
            let before = seen.load(Ordering::SeqCst);
            let asked = Instant::now();
            while word.wake(1) == 0 {
                assert!(asked.elapsed() < PATIENCE, "no wake finds the wait that is armed");
            }
            counted.fetch_add(1, Ordering::SeqCst);
            wakes += 1;
            let asked = Instant::now();
            loop {
                reactor.turn();
                if patient.is_armed() && poll(reactor, word, mask, &mut patient) {
                    seen.fetch_add(1, Ordering::SeqCst);
                }
                if seen.load(Ordering::SeqCst) > before {
                    break;
                }
                if asked.elapsed() > PATIENCE {
                    over.store(true, Ordering::Relaxed);
                    panic!("wake {wakes} was counted but not seen: {:?}, mask {mask}", reactor.stats());
                }
                thread::yield_now();
            }
        }
        over.store(true, Ordering::Relaxed);
        println!("{}: {wakes} wakes, {} seen, {:?}", reactor.backend(), seen.load(Ordering::SeqCst), reactor.stats());
    });
}

#[test]
fn each_wake_that_is_counted_is_seen_while_waits_come_and_go_and_parks_end() {
    let length = std::env::var("FUTEX_TESTS_STORM_SECS").ok().map_or(0.3, |secs| secs.parse().expect("a number"));
    for kind in BACKENDS {
        for mask in [MATCH_ANY, NonZeroU32::MIN] {
            for words in [1, 3] {
                let Some(reactor) = reactor(kind) else { continue };
                let words: Vec<_> = (0..words).map(|_| word()).collect();
                storm(&reactor, mask, &words, Duration::from_secs_f64(length));
            }
        }
    }
}
