//! Waits on runtimes of every kind, and without a runtime.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use futex_tests::load::{arms, boxed, runtime, zero};
use futex_tests::until_waiters;
use futex_tokio::{AsyncFutex, Reactor, Word};
use futures_util::future::join_all;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{LocalSet, coop, spawn_local, yield_now};
use tokio::time::timeout;

/// A timeout that is longer than any wake takes.
const LONG: Duration = Duration::from_secs(20);

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Changes the word, then wakes.
fn change(word: &Word) {
    word.fetch_add(1, Ordering::Release);
    word.wake(u32::MAX);
}

/// Waits by `wait_until` until the word has changed.
async fn changed(futex: &AsyncFutex) {
    let value = timeout(LONG, futex.wait_until(|value| value != 0)).await.expect("the change was not seen").unwrap();
    assert_ne!(value, 0);
}

#[test]
fn a_current_thread_runtime_sees_a_change_that_another_thread_makes() {
    current_thread().block_on(async {
        let futex = AsyncFutex::new(zero()).unwrap();
        let changer = std::thread::spawn({
            let word = futex.word().clone();
            move || {
                until_waiters(&word, 1);
                change(&word);
            }
        });
        changed(&futex).await;
        changer.join().unwrap();
    });
}

#[test]
fn each_of_several_runtimes_has_its_own_reactor_and_all_can_wait_on_one_word() {
    let word = zero();
    let runtimes = [runtime(), current_thread(), runtime(), current_thread()];
    let threads = runtimes.map(|runtime| {
        let word = word.clone();
        std::thread::spawn(move || {
            runtime.block_on(async {
                let futexes = [AsyncFutex::new(&word).unwrap(), AsyncFutex::new(&word).unwrap()];
                join_all(futexes.iter().map(changed)).await;
                futexes[0].reactor().stats().armed
            })
        })
    });
    until_waiters(&word, 8);
    change(&word);
    // Each reactor had the two waits of its own runtime, and no others.
    assert_eq!(threads.map(|thread| thread.join().unwrap()), [2; 4]);
}

#[test]
fn other_tasks_are_woken_while_a_worker_blocks_in_place() {
    let runtime = runtime();
    runtime.block_on(async {
        let (word, done) = (zero(), zero());
        let futex = AsyncFutex::new(&word).unwrap();
        let blocker = tokio::spawn({
            let (futex, done) = (futex.clone(), done.clone());
            async move {
                let mut wait = boxed(&futex);
                assert!(arms(&mut wait)); // the thread that blocks below has armed a wait
                tokio::task::block_in_place(|| done.wait(0, None)).map(drop).unwrap();
                wait.await
            }
        });
        let waiters = [0, 1].map(|_| {
            tokio::spawn({
                let futex = futex.clone();
                async move { changed(&futex).await }
            })
        });
        until_waiters(&word, 3);
        change(&word);
        for waiter in waiters {
            waiter.await.unwrap();
        }
        change(&done);
        timeout(LONG, blocker).await.expect("the wait of the blocked task was woken").unwrap().unwrap();
    });
}

#[test]
fn a_task_on_another_worker_is_woken_while_a_worker_computes() {
    let runtime = runtime();
    runtime.block_on(async {
        let futex = AsyncFutex::new(zero()).unwrap();
        let seen = Arc::new(AtomicBool::new(false));
        let busy = tokio::spawn({
            let (futex, seen) = (futex.clone(), seen.clone());
            async move {
                let mut wait = boxed(&futex);
                assert!(arms(&mut wait));
                change(futex.word());
                // This makes no system call, so the completion of this task's own wait is posted only at the next clock tick.
                while !seen.load(Ordering::Acquire) {
                    std::hint::spin_loop();
                }
                wait.await
            }
        });
        let watcher = tokio::spawn(async move { changed(&futex).await });
        timeout(LONG, watcher).await.expect("the other worker was not woken").unwrap();
        seen.store(true, Ordering::Release);
        busy.await.unwrap().unwrap();
    });
}

#[test]
fn tasks_of_a_local_set_can_wait() {
    current_thread().block_on(LocalSet::new().run_until(async {
        let futex = AsyncFutex::new(zero()).unwrap();
        let word = futex.word().clone();
        let waiter = spawn_local(async move {
            let not_send = std::rc::Rc::new(());
            changed(&futex).await;
            drop(not_send);
        });
        yield_now().await;
        change(&word);
        waiter.await.unwrap();
    }));
}

#[test]
fn a_task_without_budget_left_arms_its_wait_and_is_woken() {
    for runtime in [runtime(), current_thread()] {
        runtime.block_on(async {
            tokio::spawn(async {
                let futex = AsyncFutex::new(zero()).unwrap();
                let word = futex.word().clone();
                let mut wait = boxed(&futex);
                poll_fn(|cx| {
                    while coop::has_budget_remaining() {
                        let Poll::Ready(budget) = coop::poll_proceed(cx) else { break };
                        budget.made_progress();
                    }
                    assert!(wait.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                // Another task on the same thread changes the word, so the reactor turns between two polls of this task.
                tokio::spawn(async move {
                    until_waiters(&word, 1);
                    change(&word);
                });
                timeout(LONG, wait).await.expect("the wake arrives").unwrap();
            })
            .await
            .unwrap();
        });
    }
}

#[test]
fn a_reactor_from_a_builder_lives_as_long_as_it_is_used() {
    current_thread().block_on(async {
        let reactor = Reactor::builder().build().unwrap();
        let futex = AsyncFutex::with_reactor(&reactor, zero());
        assert_ne!(format!("{reactor:?}"), "");
        drop(reactor);
        let mut wait = boxed(&futex);
        let word = futex.word().clone();
        drop(futex);
        assert!(arms(&mut wait));
        change(&word);
        timeout(LONG, wait).await.expect("the runtime drives the reactor").unwrap();
        // The reactor of the runtime is another one, and no wait has used it.
        let stats = Reactor::current().unwrap().stats();
        assert_eq!(stats.armed, 0);
    });
}

#[test]
fn a_reactor_needs_a_runtime_with_an_io_driver() {
    let outside = AsyncFutex::new(zero()).unwrap_err();
    assert_eq!(outside.kind(), io::ErrorKind::Unsupported);
    assert_eq!(
        outside.to_string(),
        "there is no Tokio runtime here: call this within one, or give the futex a reactor that was made in one"
    );
    for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        let runtime = builder.enable_time().build().unwrap();
        let error = runtime.block_on(async { Reactor::current() }).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert_eq!(
            error.to_string(),
            "this Tokio runtime has no I/O driver: build it with `enable_io` or `enable_all`"
        );
        // The first failure has left nothing locked.
        assert!(runtime.block_on(async { Reactor::builder().build() }).is_err());
    }
}
