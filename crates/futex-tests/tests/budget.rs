//! Tokio's cooperative budget: waits that are always ready let other tasks run, and no wake is lost for lack of budget.

use futex_tests::load::{backend, zero};
use futex_tests::{
    arm, block_on, blocked, eventually, keeps_places, on_each_runtime, until_waiters, waiters, within, without_a_hang,
};
use futex_tokio::{AsyncFutex, MATCH_ANY, Reactor, Stats, WaitOutcome, wait_any};
use futures_util::StreamExt as _;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use tokio::runtime::Builder;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::coop::{consume_budget, has_budget_remaining};
use tokio::task::{LocalSet, spawn_local, yield_now};

/// Returns a futex that has its own reactor, so that the figures of the reactor count only the waits of this futex.
fn alone() -> AsyncFutex {
    let reactor = Reactor::builder().backend(backend()).build().expect("a reactor");
    AsyncFutex::with_reactor(&reactor, zero())
}

/// Changes the word, wakes one waiter, and returns when the reactor knows that its only wait has ended. Nobody polls this wait
/// meanwhile. A blocked thread is behind it in the queue.
///
/// (If the backend's thread for the wait parks again at that moment, it sees the change, and the wake goes to the blocked
/// thread.)
async fn change_and_wake_one(futex: &AsyncFutex) {
    futex.word().store(1, Ordering::Release);
    assert_eq!(futex.word().wake(1), 1);
    let ended = |stats: Stats| if keeps_places(MATCH_ANY) { stats.woken } else { stats.woken + stats.mismatched };
    eventually(|| ended(futex.reactor().stats()) == 1).await;
}

/// Runs a `select!` between a branch that receives 200 messages, which is more than the budget of one poll, and a wait. A thread
/// is blocked behind the wait. Returns true if a wake that was counted for the wait is lost.
async fn select_loses_a_wake(wait: &impl AsyncFn(&AsyncFutex) -> u32) -> bool {
    const MESSAGES: usize = 200;
    yield_now().await; // gets a new budget, because without budget `select!` polls nothing
    let futex = alone();
    let (send, mut receive) = unbounded_channel();
    let mut select = pin!(async {
        tokio::select! {
            biased;
            () = async {
                for _ in 0..MESSAGES {
                    receive.recv().await.expect("a message");
                }
            } => None,
            value = wait(&futex) => Some(value),
        }
    });
    arm(&mut select).await;
    until_waiters(futex.word(), 1);
    let behind = blocked(futex.word(), 2);

    for message in 0..MESSAGES {
        send.send(message).expect("the receiver is there");
    }
    change_and_wake_one(&futex).await;
    let is_lost = match within(select).await {
        // The wait has seen the wake.
        Some(value) => {
            assert_eq!(value, 1);
            false
        }
        // The wait was dropped. The reactor knew of the wake, so the drop must have handed it on.
        None => waiters(futex.word()) == 1,
    };
    futex.wake_all();
    assert_eq!(behind.join().expect("no panic"), WaitOutcome::Woken);
    is_lost
}

fn a_select_loses_no_wake(wait: impl AsyncFn(&AsyncFutex) -> u32) {
    on_each_runtime(async || {
        let mut lost = 0;
        for _ in 0..20 {
            lost += u32::from(select_loses_a_wake(&wait).await);
        }
        assert_eq!(lost, 0, "of 20 wakes");
    });
}

/// 1. The wait took the outcome of its wake, and then yielded for lack of budget.
/// 2. In the next poll the other branch was ready, so `select!` dropped the wait, and the wake was lost.
///
/// This happened in 20 of 20 tries.
#[test]
fn a_select_that_drops_wait_until_in_favour_of_a_busy_channel_loses_no_wake() {
    a_select_loses_no_wake(async |futex| futex.wait_until(|value| value != 0).await.expect("a wait"));
}

#[test]
fn a_select_that_drops_wait_async_in_favour_of_a_busy_channel_loses_no_wake() {
    a_select_loses_no_wake(async |futex| {
        futex.wait_async(0).await.expect("a wait");
        futex.word().load(Ordering::Acquire)
    });
}

#[test]
fn a_select_that_drops_wait_any_in_favour_of_a_busy_channel_loses_no_wake() {
    a_select_loses_no_wake(async |futex| {
        wait_any([(futex, 0)]).await.expect("a wait");
        futex.word().load(Ordering::Acquire)
    });
}

#[test]
fn a_select_that_drops_changes_in_favour_of_a_busy_channel_loses_no_wake() {
    a_select_loses_no_wake(async |futex| futex.changes(0).next().await.expect("no end").expect("a wait"));
}

/// The wait has consumed the wake when it calls the predicate. If the predicate panicked, the wake was lost.
#[test]
fn a_predicate_that_panics_hands_on_the_wake() {
    on_each_runtime(async || {
        let futex = alone();
        let mut wait = pin!(futex.wait_until(|value| {
            assert_eq!(value, 0, "the predicate panics");
            false
        }));
        arm(&mut wait).await;
        until_waiters(futex.word(), 1);
        let behind = blocked(futex.word(), 2);

        change_and_wake_one(&futex).await;
        let panicked = poll_fn(|cx| Poll::Ready(catch_unwind(AssertUnwindSafe(|| wait.as_mut().poll(cx))).is_err()));
        assert!(panicked.await, "the word has changed, but the predicate was not called");
        assert_eq!(waiters(futex.word()), 0, "the wake was not handed on");
        assert_eq!(behind.join().expect("no panic"), WaitOutcome::Woken);
    });
}

/// Makes 100,000 waits in a row that are ready at once. Returns how often another task of the current-thread runtime runs
/// meanwhile.
fn runs_meanwhile(wait: impl AsyncFn(&AsyncFutex, u32)) -> u32 {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(LocalSet::new().run_until(async {
        let runs = Rc::new(Cell::new(0));
        let other = spawn_local({
            let runs = runs.clone();
            async move {
                loop {
                    runs.set(runs.get() + 1);
                    yield_now().await;
                }
            }
        });
        let futex = alone();
        for value in 1..=100_000 {
            futex.word().store(value, Ordering::Release);
            wait(&futex, value).await;
        }
        other.abort();
        assert_eq!(futex.reactor().stats().armed, 0, "a wait was not ready at once");
        runs.get()
    }))
}

/// The other task never ran.
#[test]
fn waits_that_are_ready_at_once_let_other_tasks_run() {
    let wait_async = runs_meanwhile(async |futex, _| futex.wait_async(0).await.expect("a wait"));
    let wait_until = runs_meanwhile(async |futex, value| {
        assert_eq!(futex.wait_until(|now| now != 0).await.expect("a wait"), value);
    });
    let any = runs_meanwhile(async |futex, _| assert_eq!(wait_any([(futex, 0)]).await.expect("a wait").0, 0));
    let changes = runs_meanwhile(async |futex, value| {
        assert_eq!(futex.changes(0).next().await.expect("no end").expect("a wait"), value);
    });
    // At present, Tokio's budget is 128 such steps.
    let all = [wait_async, wait_until, any, changes];
    assert!(
        all.iter().all(|&runs| runs >= 10),
        "wait_async, wait_until, wait_any, changes: {all:?} runs of another task"
    );
}

/// Runs `wait` in an executor that blocks inside a task. The task has no budget left, and runs on one of two workers.
fn without_budget<F: Future<Output = ()>>(wait: impl FnOnce(AsyncFutex) -> F + Send + 'static) {
    without_a_hang(|| {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let task = runtime.spawn(async {
            let futex = alone();
            while has_budget_remaining() {
                consume_budget().await;
            }
            block_on(wait(futex));
        });
        runtime.block_on(task).expect("the task ends");
    });
}

fn change_when_one_waits(futex: &AsyncFutex) {
    let word = futex.word().clone();
    std::thread::spawn(move || {
        until_waiters(&word, 1);
        word.store(1, Ordering::Release);
        word.wake(1);
    });
}

/// If a task is out of budget, Tokio wakes it only after it has returned to the scheduler. An executor that blocks inside the
/// task would sleep until that wake, which never came.
#[test]
fn a_nested_executor_without_budget_gets_a_result_that_is_ready_at_once() {
    without_budget(async |futex| futex.wait_async(1).await.expect("a wait"));
    without_budget(async |futex| assert_eq!(futex.wait_until(|_| true).await.expect("a wait"), 0));
    without_budget(async |futex| assert_eq!(wait_any([(&futex, 1)]).await.expect("a wait"), (0, 0)));
    without_budget(async |futex| {
        assert_eq!(futex.changes(1).next().await.expect("no end").expect("a wait"), 0);
    });
}

/// As above, but the wait sleeps first.
#[test]
fn a_nested_executor_without_budget_gets_the_value_that_it_slept_for() {
    without_budget(async |futex| {
        change_when_one_waits(&futex);
        futex.wait_async(0).await.expect("a wait");
    });
    without_budget(async |futex| {
        change_when_one_waits(&futex);
        assert_eq!(wait_any([(&futex, 0)]).await.expect("a wait").0, 0);
    });
    without_budget(async |futex| {
        change_when_one_waits(&futex);
        assert_eq!(futex.wait_until(|value| value != 0).await.expect("a wait"), 1);
    });
    without_budget(async |futex| {
        change_when_one_waits(&futex);
        assert_eq!(futex.changes(0).next().await.expect("no end").expect("a wait"), 1);
    });
}
