//! Very many waits at one time, which are woken or cancelled in random order.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use futex_core::Backend;
use futex_sys::SharedMemory;
use futex_tests::load::{Boxed, Rng, arms, backend, boxed, runtime, zero};
use futex_tests::{until, until_waiters, waiters};
use futex_tokio::{AsyncFutex, Reactor, Word};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// A timeout that is longer than any wake takes.
const LONG: Duration = Duration::from_secs(30);

/// Lets one test run at a time, because each needs many threads or rings.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn many(backend: Backend) -> u32 {
    match backend {
        Backend::Uring => 100_000,
        Backend::Waitv => 10_000,
        _ => 500,
    }
}

/// Returns a reactor on the backend under test, and the number of waits for the test.
fn reactor() -> (Reactor, u32) {
    let reactor = Reactor::builder().backend(backend()).build().unwrap();
    let n = many(reactor.backend());
    (reactor, n)
}

fn words(n: u32) -> Vec<Word> {
    let memory = SharedMemory::anonymous(4 * n as usize).unwrap();
    (0..n as usize).map(|i| memory.word(4 * i).unwrap()).collect()
}

/// Arms a wait on each word.
fn arm(reactor: &Reactor, words: &[Word]) -> Vec<Boxed> {
    let mut waits: Vec<_> = words.iter().map(|word| boxed(&AsyncFutex::with_reactor(reactor, word))).collect();
    assert!(waits.iter_mut().all(arms));
    assert_eq!(reactor.stats().armed_now, words.len());
    waits
}

/// Returns some of the words, with the first and the last one among them.
fn samples(words: &[Word]) -> impl Iterator<Item = &Word> {
    words.iter().step_by(words.len() / 50 + 1).chain(words.last())
}

async fn all(waits: Vec<Boxed>) {
    for wait in waits {
        timeout(LONG, wait).await.expect("a wake was lost").unwrap();
    }
}

/// Checks that the waits have left nothing, and that the reactor can make another wait.
async fn check_afterwards(reactor: &Reactor, words: &[Word]) {
    while reactor.stats().armed_now > 0 {
        tokio::task::yield_now().await;
    }
    if reactor.backend() != Backend::Thread {
        // `Thread` leaves the thread of a cancelled wait parked.
        samples(words).for_each(|word| until_waiters(word, 0));
    }
    let word = zero();
    let mut fresh = boxed(&AsyncFutex::with_reactor(reactor, &word));
    assert!(arms(&mut fresh));
    word.store(1, Ordering::Release);
    word.wake(1);
    all(vec![fresh]).await;
}

#[test]
fn many_waits_with_one_word_each_are_all_woken() {
    let _alone = alone();
    runtime().block_on(async {
        let (reactor, n) = reactor();
        let words = words(n);
        let waits = arm(&reactor, &words);
        samples(&words).for_each(|word| until_waiters(word, 1));

        let mut counted = 0;
        for word in &words {
            word.store(1, Ordering::Release); // change the word,
            counted += word.wake(1); //          then wake
        }
        all(waits).await;

        let stats = reactor.stats();
        println!("{n} waits, {counted} wakes counted, {stats:?}");
        assert_eq!(stats.armed, u64::from(n));
        match reactor.backend() {
            Backend::Uring => {
                assert_eq!((u64::from(counted), stats.woken, stats.mismatched), (u64::from(n), u64::from(n), 0));
            }
            // A thread that is not parked at that moment finds the word changed.
            _ => assert_eq!(stats.woken + stats.mismatched, u64::from(n)),
        }
        check_afterwards(&reactor, &words).await;
    });
}

#[test]
fn many_waits_on_one_word_are_all_woken_by_one_call() {
    let _alone = alone();
    runtime().block_on(async {
        let (reactor, n) = reactor();
        let words = vec![zero(); n as usize];
        let waits = arm(&reactor, &words);
        until_waiters(&words[0], n);

        if reactor.backend() == Backend::Thread {
            // A thread that parks again is out of the kernel for a moment, and then finds the word changed. (Without the change
            // it sometimes missed the wake, and the test failed.)
            words[0].store(1, Ordering::Release);
            words[0].wake(u32::MAX);
        } else {
            assert_eq!(words[0].wake(u32::MAX), n);
        }
        all(waits).await;
        let stats = reactor.stats();
        assert_eq!(stats.woken + stats.mismatched, u64::from(n), "{stats:?}");
        assert!(stats.mismatched == 0 || reactor.backend() == Backend::Thread, "{stats:?}");
        assert_eq!(stats.handed_on, 0);
        assert_eq!(waiters(&words[0]), 0);
        check_afterwards(&reactor, &words[..1]).await;
    });
}

#[test]
fn many_waits_with_one_word_each_are_cancelled_in_random_order() {
    let _alone = alone();
    runtime().block_on(async {
        let (reactor, n) = reactor();
        let words = words(n);
        let mut waits = arm(&reactor, &words);
        Rng::new(1).shuffle(&mut waits);
        drop(waits);
        check_afterwards(&reactor, &words).await;
        let stats = reactor.stats();
        assert_eq!((stats.cancelled, stats.handed_on), (u64::from(n), 0), "{stats:?}");
        for word in &words {
            word.wake(u32::MAX); // ends the threads that `Thread` has left parked
        }
    });
}

#[test]
fn half_of_many_waits_on_one_word_are_cancelled_and_the_others_are_woken() {
    let _alone = alone();
    runtime().block_on(async {
        let (reactor, n) = reactor();
        let n = n / 10;
        let words = vec![zero(); n as usize];
        let mut waits = arm(&reactor, &words);
        until_waiters(&words[0], n);
        Rng::new(2).shuffle(&mut waits);
        waits.truncate(n as usize / 2);
        while reactor.stats().armed_now > waits.len() {
            tokio::task::yield_now().await;
        }

        match reactor.backend() {
            Backend::Uring => {
                until_waiters(&words[0], n / 2);
                assert_eq!(words[0].wake(u32::MAX), n / 2);
            }
            // Threads that park again, or that are about to leave the kernel, find the word changed. (The thread of a cancelled
            // wait hands its wake on, but the same call has woken all other waits.)
            _ => {
                words[0].store(1, Ordering::Release);
                words[0].wake(u32::MAX);
            }
        }
        all(waits).await;
        check_afterwards(&reactor, &words[..1]).await;
    });
}

/// Returns a reactor for each of the backends that works here.
fn reactors<const N: usize>(backends: [Backend; N]) -> Vec<Reactor> {
    backends.into_iter().filter_map(|backend| Reactor::builder().backend(backend).build().ok()).collect()
}

/// Arms four waits of each reactor on one word. The reactors take turns.
fn arm_in_turns(reactors: &[Reactor], word: &Word) -> Vec<Boxed> {
    let mut waits = Vec::new();
    for reactor in reactors.iter().cycle().take(4 * reactors.len()) {
        let mut wait = boxed(&AsyncFutex::with_reactor(reactor, word));
        assert!(arms(&mut wait));
        waits.push(wait);
        until_waiters(word, waits.len() as u32);
    }
    waits
}

#[test]
fn each_wake_ends_one_of_the_waits_of_all_backends_in_one_process() {
    let _alone = alone();
    runtime().block_on(async {
        let word = zero();
        let reactors = reactors([Backend::Uring, Backend::Waitv, Backend::Thread]);
        let waits = arm_in_turns(&reactors, &word);
        for _ in &waits {
            until(|| word.wake(1) == 1); // again, if only waits are left whose threads park again at that moment
        }
        all(waits).await;
        assert_eq!(waiters(&word), 0);
    });
}

/// `Thread` is not in this test, because its waits lose their places when their threads park again.
#[test]
fn waits_of_two_backends_in_one_process_are_woken_in_the_order_of_arming() {
    let _alone = alone();
    runtime().block_on(async {
        let word = zero();
        let reactors = reactors([Backend::Uring, Backend::Waitv]);
        let waits = arm_in_turns(&reactors, &word);
        for (i, mut wait) in waits.into_iter().enumerate() {
            if i % 2 == 0 {
                assert_eq!(word.wake(1), 1);
                timeout(LONG, wait).await.expect("the oldest wait is woken first").unwrap();
            } else {
                // This wait would be the next one. It is dropped, and if its thread receives a wake, the thread hands it on.
                assert!(arms(&mut wait));
                drop(wait);
            }
        }
        for reactor in &reactors {
            while reactor.stats().armed_now > 0 {
                tokio::task::yield_now().await;
            }
        }
        word.wake(u32::MAX);
        until_waiters(&word, 0);
    });
}
