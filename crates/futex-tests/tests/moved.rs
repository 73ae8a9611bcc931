//! Waits that move to other threads, runtimes and executors, and outlive the ones on which they began.

use futex_tests::load::{arms, boxed, runtime, zero};
use futex_tests::{block_on, until_waiters, wake_bare};
use futex_tokio::{AsyncFutex, Word};
use futures_util::future::poll_immediate;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// A timeout that is longer than any wake takes.
const LONG: Duration = Duration::from_secs(20);

/// Changes the word, then wakes.
fn change(word: &Word) {
    word.fetch_add(1, Ordering::Release);
    word.wake(u32::MAX);
}

#[test]
fn an_armed_wait_moves_between_runtimes_and_threads() {
    let (home, first, second) = (runtime(), runtime(), Builder::new_current_thread().enable_all().build().unwrap());
    let futex = home.block_on(async { AsyncFutex::new(zero()).unwrap() });
    let word = futex.word().clone();
    let mut wait = boxed(&futex);

    // The wait is polled here, and then by a task of `first`. Both wakers are out of date after the next poll.
    let stale = Arc::new(Flag::default());
    assert!(wait.as_mut().poll(&mut Context::from_waker(&Waker::from(stale.clone()))).is_pending());
    let [wait] = first
        .block_on(first.spawn(async move {
            assert!(poll_immediate(&mut wait).await.is_none());
            [wait]
        }))
        .unwrap();
    drop(first);

    let thread = std::thread::spawn(move || second.block_on(async { timeout(LONG, wait).await }));
    until_waiters(&word, 1);
    change(&word);
    thread.join().unwrap().expect("the latest waker is woken").unwrap();
    assert!(!stale.0.load(Ordering::Acquire), "a waker that was replaced was woken");
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn a_wait_outlives_the_thread_that_began_it() {
    // Linux 6.16 to 6.18.48 end a wait of a ring when the thread that submitted it exits.
    let runtime = runtime();
    let futex = runtime.block_on(async { AsyncFutex::new(zero()).unwrap() });
    let word = futex.word().clone();
    for _ in 0..100 {
        let threads = [0, 1, 2].map(|_| {
            let (handle, futex) = (runtime.handle().clone(), futex.clone());
            std::thread::spawn(move || {
                let mut wait = boxed(&futex);
                handle.block_on(async { assert!(poll_immediate(&mut wait).await.is_none()) });
                wait
            })
        });
        let waits = threads.map(|thread| thread.join().unwrap());
        until_waiters(&word, 3);
        wake_bare(&word, 3);
        for wait in waits {
            runtime.block_on(async { timeout(LONG, wait).await }).expect("the wait was armed again").unwrap();
        }
    }
    assert_eq!(futex.reactor().stats().armed_now, 0);
}

#[test]
fn a_wait_outlives_the_runtime_whose_worker_began_it() {
    let home = runtime();
    let futex = home.block_on(async { AsyncFutex::new(zero()).unwrap() });
    let word = futex.word().clone();
    for _ in 0..50 {
        let guest = runtime();
        let mut waits: Vec<_> = (0..4).map(|_| boxed(&futex)).collect();
        waits = guest
            .block_on(guest.spawn(async move {
                assert!(waits.iter_mut().all(arms));
                waits
            }))
            .unwrap();
        drop(guest);
        until_waiters(&word, 4);
        wake_bare(&word, 4);
        home.block_on(async {
            for wait in waits {
                timeout(LONG, wait).await.expect("the wait was armed again").unwrap();
            }
        });
    }
}

#[test]
fn many_threads_block_on_waits_of_one_runtime() {
    let runtime = runtime();
    let futex = runtime.block_on(async { AsyncFutex::new(zero()).unwrap() });
    let threads: Vec<_> = (0..20)
        .map(|n| {
            let (handle, futex) = (runtime.handle().clone(), futex.clone());
            std::thread::spawn(move || handle.block_on(futex.wait_until(|value| value >= n)).unwrap())
        })
        .collect();
    for (n, thread) in (0..).zip(threads) {
        futex.word().store(n, Ordering::Release);
        futex.wake_all();
        assert!(thread.join().unwrap() >= n);
    }
}

#[test]
fn a_wait_outlives_the_thread_of_the_blocking_task_that_began_it() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_keep_alive(Duration::from_millis(1))
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let word = zero();
        let mut wait = spawn_blocking({
            let word = word.clone();
            move || {
                let futex = AsyncFutex::new(&word).unwrap();
                let mut wait = boxed(&futex);
                Handle::current().block_on(async { assert!(poll_immediate(&mut wait).await.is_none()) });
                wait
            }
        })
        .await
        .unwrap();
        // The thread of the blocking task is idle now, and ends before or after this.
        until_waiters(&word, 1);
        assert!(arms(&mut wait));
        let changer = std::thread::spawn(move || change(&word));
        timeout(LONG, wait).await.expect("the change was not seen").unwrap();
        changer.join().unwrap();
    });
}

#[test]
fn a_wait_is_polled_by_an_executor_that_is_not_tokio() {
    let runtime = runtime();
    let futex = runtime.block_on(async { AsyncFutex::new(zero()).unwrap() });
    let word = futex.word().clone();
    let thread = std::thread::spawn(move || block_on(futex.wait_until(|value| value == 3)).unwrap());
    for _ in 0..3 {
        until_waiters(&word, 1);
        change(&word);
    }
    assert_eq!(thread.join().unwrap(), 3);
}

#[test]
fn a_current_thread_runtime_drives_the_waits_of_other_threads_while_it_blocks_on_something() {
    let home = Builder::new_current_thread().enable_all().build().unwrap();
    let futex = home.block_on(async { AsyncFutex::new(zero()).unwrap() });
    let word = futex.word().clone();
    std::thread::spawn(move || home.block_on(pending::<()>()));
    let thread = std::thread::spawn(move || block_on(futex.wait_async(0)).unwrap());
    until_waiters(&word, 1);
    change(&word);
    thread.join().unwrap();
}
