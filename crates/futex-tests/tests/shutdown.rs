//! Runtimes and reactors end in any order while waits are armed.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use futex_core::{Backend, Stats};
use futex_tests::load::{Boxed, arms, boxed, runtime, zero};
use futex_tests::{until, until_waiters, waiters, wake_bare};
use futex_tokio::{AsyncFutex, Reactor, Word};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// A timeout that is longer than anything takes in these tests.
const LONG: Duration = Duration::from_secs(20);

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Returns a runtime of each kind, and a futex with its reactor.
fn homes() -> [(Runtime, AsyncFutex); 2] {
    [runtime(), current_thread()].map(|home| {
        let futex = home.block_on(async { AsyncFutex::new(zero()).unwrap() });
        (home, futex)
    })
}

/// Checks that the kernel has no waiter on the word. (`Thread` leaves threads parked, which are woken first.)
fn none_is_left(futex: &AsyncFutex) {
    let word = futex.word();
    if futex.reactor().backend() == Backend::Thread {
        word.wake(u32::MAX);
        until_waiters(word, 0);
    } else {
        assert_eq!((waiters(word), word.wake(u32::MAX)), (0, 0));
    }
}

async fn is_broken(wait: Boxed) {
    let error = timeout(LONG, wait).await.expect("the end of the reactor ends its wait").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(
        error.to_string(),
        "the futex reactor was closed, or its runtime has shut down: wait with another reactor"
    );
}

#[test]
fn the_shutdown_of_a_runtime_ends_the_waits_of_other_runtimes_on_its_reactor() {
    let other = runtime();
    for (home, futex) in homes() {
        let mut armed = boxed(&futex);
        assert!(arms(&mut armed));
        let pending = other.spawn(is_broken(boxed(&futex)));
        until_waiters(futex.word(), 2);
        drop(home);
        none_is_left(&futex);
        other.block_on(pending).unwrap();
        other.block_on(is_broken(armed));
        // A new wait fails too.
        other.block_on(is_broken(boxed(&futex)));
        assert_eq!(futex.reactor().stats().armed_now, 0);
        // A word that differs needs no reactor.
        futex.word().store(1, Ordering::Relaxed);
        other.block_on(boxed(&futex)).unwrap();
    }
}

#[test]
fn the_shutdown_of_a_runtime_leaves_no_waiter_of_its_tasks_in_the_kernel() {
    for (home, futex) in homes() {
        for _ in 0..100 {
            let futex = futex.clone();
            home.spawn(async move { futex.wait_async(0).await });
        }
        home.block_on(async {
            while futex.reactor().stats().armed_now < 100 {
                tokio::task::yield_now().await;
            }
        });
        until_waiters(futex.word(), 100);
        drop(home);
        none_is_left(&futex);
        let Stats { armed_now, woken, cancelled, handed_on, .. } = futex.reactor().stats();
        // Linux 6.16 to 6.18.48 end a wait of a ring when the thread that submitted it exits, as the workers of a runtime do. The
        // cancel can't see whether such a wait was woken, so the wait counts as woken and hands a wake on.
        assert_eq!((armed_now, woken + cancelled, handed_on), (0, 100, woken));
        assert!(woken == 0 || futex.reactor().backend() == Backend::Uring, "{woken} waits were woken");
    }
}

#[test]
fn a_wake_for_a_runtime_that_shuts_down_is_handed_on() {
    let other = runtime();
    for (home, futex) in homes() {
        let survivor = other.block_on(async { AsyncFutex::new(futex.word()).unwrap() });
        let mut first = boxed(&futex);
        assert!(arms(&mut first));
        until_waiters(futex.word(), 1);
        let mut second = boxed(&survivor);
        assert!(arms(&mut second));
        until_waiters(futex.word(), 2);

        wake_bare(futex.word(), 1);
        drop((first, home));
        other.block_on(async { timeout(LONG, second).await }).expect("the wake is handed on").unwrap();
    }
}

#[test]
fn the_shutdown_of_a_runtime_in_the_background_ends_its_waits() {
    let other = runtime();
    for (home, futex) in homes() {
        let over = Arc::new(AtomicBool::new(false));
        home.spawn_blocking({
            let over = over.clone();
            move || until(|| over.load(Ordering::Acquire))
        });
        let pending = other.spawn(is_broken(boxed(&futex)));
        until_waiters(futex.word(), 1);
        home.shutdown_background();
        other.block_on(pending).unwrap();
        over.store(true, Ordering::Release);
        none_is_left(&futex);
    }
}

#[test]
fn a_reactor_may_be_dropped_before_its_runtime() {
    for home in [runtime(), current_thread()] {
        let word = zero();
        home.block_on(async {
            for _ in 0..50 {
                let reactor = Reactor::builder().build().unwrap();
                let futex = AsyncFutex::with_reactor(&reactor, &word);
                let mut wait = boxed(&futex);
                let is_thread = reactor.backend() == Backend::Thread;
                drop((reactor, futex));
                // A thread that an earlier round has left parked may hand its wake on to this wait at once.
                assert!(arms(&mut wait) || is_thread);
                drop(wait);
                word.wake(u32::MAX); // ends the thread that `Thread` has left parked
            }
        });
        until_waiters(&word, 0);
        // The runtime still works.
        let futex = home.block_on(async { AsyncFutex::new(&word).unwrap() });
        home.block_on(async {
            let waiter = tokio::spawn(boxed(&futex));
            tokio::task::yield_now().await;
            futex.word().store(1, Ordering::Release);
            futex.wake_all();
            timeout(LONG, waiter).await.expect("a new reactor waits").unwrap().unwrap();
        });
    }
}

#[test]
fn a_closed_reactor_is_replaced() {
    for (home, futex) in homes() {
        home.block_on(async {
            let mut wait = boxed(&futex);
            assert!(arms(&mut wait));
            futex.reactor().close();
            none_is_left(&futex);
            is_broken(wait).await;

            let fresh = AsyncFutex::new(futex.word()).unwrap();
            let waiter = tokio::spawn(boxed(&fresh));
            tokio::task::yield_now().await;
            fresh.word().store(1, Ordering::Release);
            fresh.wake_all();
            timeout(LONG, waiter).await.expect("a new reactor waits").unwrap().unwrap();
        });
    }
}

#[test]
fn a_runtime_may_shut_down_while_a_reactor_is_made_in_it() {
    const ROUNDS: usize = 400;
    // `Reactor::current` uses the registry of reactors, and a runtime that shuts down removes its reactor from it.
    let (send, over) = mpsc::channel();
    std::thread::spawn(move || {
        for _ in 0..ROUNDS {
            let home = current_thread();
            let makers = [0, 1].map(|_| {
                let handle = home.handle().clone();
                std::thread::spawn(move || {
                    let _entered = handle.enter();
                    while let Ok(reactor) = Reactor::current() {
                        reactor.close(); // the next call makes a new reactor
                    }
                })
            });
            std::thread::yield_now();
            drop(home);
            for maker in makers {
                maker.join().unwrap();
            }
            send.send(()).unwrap();
        }
    });
    // Each round has its own limit, because all rounds together took more than a minute on a busy machine.
    for _ in 0..ROUNDS {
        over.recv_timeout(LONG).expect("a deadlock between the shutdown of a runtime and the making of a reactor");
    }
}

#[test]
fn a_runtime_may_shut_down_while_other_threads_wait_and_wake_on_its_reactor() {
    for round in 0..40 {
        let home = if round % 2 == 0 { runtime() } else { current_thread() };
        let word = zero();
        let futex = home.block_on(async { AsyncFutex::new(&word).unwrap() });
        let threads = [0, 1].map(|_| {
            let futex = futex.clone();
            std::thread::spawn(move || {
                loop {
                    let mut waits: Vec<_> = (0..10).map(|_| boxed(&futex)).collect();
                    if !waits.iter_mut().all(is_pending_or_broken) {
                        return;
                    }
                    futex.wake(3);
                }
            })
        });
        std::thread::yield_now();
        drop(home);
        for thread in threads {
            thread.join().unwrap();
        }
        none_is_left(&futex);
        assert_eq!(futex.reactor().stats().armed_now, 0);
    }
}

/// Polls once. Returns false if the reactor is closed.
fn is_pending_or_broken(wait: &mut Boxed) -> bool {
    use std::task::{Context, Poll, Waker};
    match wait.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending | Poll::Ready(Ok(())) => true,
        Poll::Ready(Err(error)) => {
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            false
        }
    }
}

/// The reactors of two runtimes wait on one word, as those of two processes do. The end of one must not affect the waits of the
/// other.
#[test]
fn the_end_of_a_reactor_leaves_the_waiters_of_others_alone() {
    let word: Word = zero();
    let stays = runtime();
    let futex = stays.block_on(async { AsyncFutex::new(&word).unwrap() });
    let mut wait = boxed(&futex);
    assert!(arms(&mut wait));
    until_waiters(&word, 1);
    for home in [runtime(), current_thread()] {
        let guest = home.block_on(async { AsyncFutex::new(&word).unwrap() });
        let mut other = boxed(&guest);
        assert!(arms(&mut other));
        until_waiters(&word, 2);
        drop(home);
        drop(other);
        if guest.reactor().backend() == Backend::Thread {
            break; // its thread stays parked
        }
        until_waiters(&word, 1);
    }
    assert!(arms(&mut wait));
    wake_bare(&word, 1);
    stays.block_on(async { timeout(LONG, wait).await }).expect("the wait is still armed").unwrap();
}
