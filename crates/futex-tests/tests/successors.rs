//! A wake that a dropped wait has consumed goes to the next waiter.

use futex_core::Backend;
use futex_tests::load::{Account, Rng, arms, backend, boxed, runtime, turns, zero};
use futex_tests::{eventually, skip, until_waiters, wake_bare};
use futex_tokio::{AsyncFutex, Reactor};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A timeout that is longer than any wake takes.
const LONG: Duration = Duration::from_secs(20);

#[test]
fn wakes_of_waits_that_are_dropped_in_any_order_before_their_next_poll_are_handed_on() {
    const PATIENT: u32 = 8;
    // With so few waits, each has a thread of its own on `Waitv`: see `storms.rs`.
    const WAITS: u32 = 12;
    runtime().block_on(async {
        for seed in 0..100 {
            let word = zero();
            let reactor = Reactor::builder().backend(backend()).build().unwrap();
            let futex = AsyncFutex::with_reactor(&reactor, &word);
            let mut rng = Rng::new(seed);
            let mut waits: Vec<_> = (0..WAITS).map(|_| boxed(&futex)).collect();
            assert!(waits.iter_mut().all(arms));
            until_waiters(&word, WAITS);
            // The patient waiters are behind these waits, so they receive only wakes that are handed on.
            let Some((account, patient)) = Account::open(&word, PATIENT).await else {
                return skip(
                    "the account needs io_uring, because only there a wait is in the kernel when its poll returns",
                );
            };

            let wakes = 1 + rng.below(PATIENT as usize);
            for _ in 0..wakes {
                assert!(account.try_wake(1));
            }
            // A thread of `Thread` that has parked again meanwhile is behind the patient waiters, which receive its wake then.
            let keeps_places = reactor.backend() != Backend::Thread;
            // In every other round, the reactor knows of all wakes before the waits are dropped.
            while keeps_places && seed % 2 == 0 && reactor.stats().woken < wakes as u64 {
                tokio::task::yield_now().await;
            }
            rng.shuffle(&mut waits);
            drop(waits);
            account.balance();
            // A thread of a backend counts a wake after it has handed the wake on, so the account may have been balanced before.
            eventually(|| !keeps_places || reactor.stats().handed_on >= wakes as u64).await;
            while reactor.stats().armed_now > 0 {
                tokio::task::yield_now().await;
            }
            if keeps_places {
                until_waiters(&word, PATIENT);
                account.balance();
            }
            patient.leave().await;
            reactor.close();
            word.wake(u32::MAX); // ends the threads that are still parked
        }
    });
}

#[test]
fn a_counted_wake_reaches_the_wait_that_replaces_a_dropped_wait() {
    // 1. A wait is dropped, and the kernel may still have it.
    // 2. Another wait is armed, and the kernel may not have it yet.
    // 3. A wake is counted.
    //
    // On `Waitv` the wake was lost, because the thread handed it on while the thread's own waits were not in the kernel.
    let word = zero();
    runtime().block_on(async {
        let reactor = Reactor::builder().backend(backend()).build().unwrap();
        let futex = AsyncFutex::with_reactor(&reactor, &word);
        let mut counted = 0;
        while counted < 2_000 {
            let mut first = boxed(&futex);
            assert!(arms(&mut first));
            until_waiters(&word, 1);
            drop(first);
            let mut second = boxed(&futex);
            assert!(arms(&mut second));
            if futex.wake_one() {
                counted += 1;
                timeout(LONG, second).await.expect("the wait receives the wake that was counted").unwrap();
            } else {
                assert_ne!(reactor.backend(), Backend::Uring, "a wake missed a wait that is armed");
                drop(second);
            }
        }
    });
}

#[test]
fn a_wake_of_a_dropped_wait_reaches_the_next_wait_while_other_waits_begin_and_end() {
    runtime().block_on(async {
        let reactor = Reactor::builder().backend(backend()).build().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let busy = std::thread::spawn({
            let (reactor, over) = (reactor.clone(), over.clone());
            move || {
                let others: Vec<_> = (0..8).map(|_| AsyncFutex::with_reactor(&reactor, zero())).collect();
                while !over.load(Ordering::Relaxed) {
                    for other in &others {
                        let _ = arms(&mut boxed(other)); // on `Waitv` this may be ready at once, without a reason
                    }
                    std::thread::yield_now();
                }
            }
        });
        for _ in 0..500 {
            let word = zero();
            let futex = AsyncFutex::with_reactor(&reactor, &word);
            let (mut first, mut second) = (boxed(&futex), boxed(&futex));
            assert!(arms(&mut first) && arms(&mut second));
            if reactor.backend() == Backend::Waitv {
                // The threads leave the kernel and park again for the other waits, so a wake may find neither of the two waits.
                while !futex.wake_one() {
                    tokio::task::yield_now().await;
                }
            } else {
                until_waiters(&word, 2);
                wake_bare(&word, 1);
            }
            drop(first);
            timeout(LONG, second).await.expect("the wait receives the wake that was counted").unwrap();
        }
        over.store(true, Ordering::Relaxed);
        busy.join().unwrap();
    });
}

/// Tasks take items, as from a semaphore. If a task gives up, the wake that it has consumed must not be lost.
#[test]
fn all_items_are_taken_although_most_waits_are_dropped() {
    const ITEMS: u64 = 10_000;
    let word = zero();
    let taken = Arc::new(AtomicU64::new(0));
    runtime().block_on(async {
        let futex = AsyncFutex::new(&word).unwrap();
        let mut takers = JoinSet::new();
        for seed in 0..14 {
            let (futex, taken) = (futex.clone(), taken.clone());
            takers.spawn(async move {
                let mut rng = Rng::new(seed);
                loop {
                    if take(futex.word()) {
                        taken.fetch_add(1, Ordering::Relaxed);
                    } else if seed < 2 {
                        futex.wait_async(0).await.unwrap();
                    } else {
                        tokio::select! {
                            biased;
                            () = turns(1 + rng.below(4)) => turns(rng.below(64)).await, // does not wait for a time
                            woken = futex.wait_async(0) => woken.unwrap(),
                        }
                    }
                }
            });
        }
        let producer = std::thread::spawn({
            let word = word.clone();
            move || {
                let mut rng = Rng::new(7);
                for _ in 0..ITEMS {
                    word.fetch_add(1, Ordering::Release); // change the word,
                    word.wake(1); //                         then wake
                    if rng.below(16) == 0 {
                        std::thread::yield_now();
                    }
                }
            }
        });
        let all_taken = async {
            while taken.load(Ordering::Relaxed) < ITEMS {
                tokio::task::yield_now().await;
            }
        };
        timeout(3 * LONG, all_taken).await.expect("all items are taken");
        producer.join().unwrap();
        takers.shutdown().await;
    });
}

fn take(word: &AtomicU32) -> bool {
    word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |items| items.checked_sub(1)).is_ok()
}
