//! Futexes and the tasks of one process, on each backend.

mod support;

use futex_tokio::{
    AsyncFutex, Backend, Changes, ProcessEnd, Reactor, ReactorBuilder, Spin, Target, WaitAny, WaitAsync,
    WaitAsyncOwned, Word, wait_any,
};
use futures_util::{FutureExt, StreamExt, future::join_all, stream::FusedStream};
use static_assertions::assert_impl_all;
use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use support::{futex, poll, reactors, wake_one};
use tokio::task::coop::{consume_budget, has_budget_remaining};

assert_impl_all!(AsyncFutex: Clone, Send, Sync, fmt::Debug, Unpin);
assert_impl_all!(WaitAsync<'static>: Send, Sync, fmt::Debug, Unpin);
assert_impl_all!(WaitAsyncOwned: Send, Sync, fmt::Debug, Unpin);
assert_impl_all!(WaitAny<'static>: Send, Sync, fmt::Debug, Unpin);
assert_impl_all!(ProcessEnd: Send, Sync, fmt::Debug, Unpin);
assert_impl_all!(Changes: Send, Sync, fmt::Debug, Unpin);
assert_impl_all!(Reactor: Clone, Send, Sync, fmt::Debug, Unpin);
assert_impl_all!(ReactorBuilder: Clone, Send, Sync, fmt::Debug, Unpin);
assert_impl_all!(Backend: Copy, Send, Sync, fmt::Debug);

const LEFT: NonZeroU32 = NonZeroU32::MIN;
const RIGHT: NonZeroU32 = LEFT.checked_add(1).unwrap();

#[tokio::test]
async fn a_wait_whose_word_differs_is_ready_at_the_first_poll_and_is_not_armed() {
    for reactor in reactors() {
        let futex = futex(&reactor);
        for _ in 0..40 {
            assert!(poll(&mut futex.wait_async(1)).is_ready()); // the task has budget for all of them
        }
        assert_eq!(reactor.stats().armed, 0);
    }
}

#[tokio::test]
async fn a_change_and_a_wake_end_a_wait() {
    for reactor in reactors() {
        let futex = futex(&reactor);
        let waiter = tokio::spawn({
            let futex = futex.clone();
            async move { futex.wait_until(|value| value == 3).await }
        });
        for value in 1..=3 {
            tokio::task::yield_now().await;
            futex.word().store(value, Ordering::Release);
            futex.wake_all();
        }
        assert_eq!(waiter.await.unwrap().unwrap(), 3);
    }
}

#[tokio::test]
async fn a_wake_without_a_change_ends_a_wait_that_is_armed() {
    for reactor in reactors() {
        let futex = futex(&reactor);
        let ((), outcome) = tokio::join!(wake_one(&futex), futex.wait_async(0));
        outcome.unwrap();
        assert_eq!(reactor.stats().armed_now, 0);
    }
}

#[tokio::test]
async fn a_wait_is_woken_through_its_own_mask_only() {
    for reactor in reactors() {
        let futex = futex(&reactor);
        let mut left = futex.wait_async_masked(0, LEFT);
        let mut right = futex.wait_async_masked(0, RIGHT);
        assert!(poll(&mut left).is_pending() && poll(&mut right).is_pending());
        while futex.wake_masked(u32::MAX, RIGHT) == 0 {
            tokio::task::yield_now().await;
        }
        right.await.unwrap();
        assert!(poll(&mut left).is_pending());
        // A plain wake matches every mask.
        wake_one(&futex).await;
        left.await.unwrap();
    }
}

#[tokio::test]
async fn a_wake_of_a_dropped_wait_goes_to_the_next_wait() {
    for reactor in reactors() {
        let futex = futex(&reactor);
        let mut first = futex.wait_async(0);
        assert!(poll(&mut first).is_pending());
        wake_one(&futex).await;
        let second = futex.wait_async(0);
        let handed_on = async {
            drop(first);
            // On the backends that park threads, the thread may not have seen the wake yet. Then it hands the wake on later.
            tokio::task::yield_now().await;
        };
        // `second` is polled first, so it is armed when `first` is dropped.
        let (outcome, ()) = tokio::join!(biased; second, handed_on);
        outcome.unwrap();
    }
}

#[tokio::test]
async fn wait_any_returns_the_index_of_the_ready_target() {
    for reactor in reactors() {
        let futexes: Vec<AsyncFutex> = (0..5).map(|_| futex(&reactor)).collect();
        let waits: Vec<(&AsyncFutex, u32)> = futexes.iter().map(|futex| (futex, 0)).collect();
        let (first, ()) = tokio::join!(wait_any(&waits), async {
            futexes[3].word().store(1, Ordering::Release);
            futexes[3].wake_one();
        });
        assert_eq!(first.unwrap(), (3, 1));
    }
}

#[tokio::test]
async fn wait_any_without_targets_is_refused() {
    let error = wait_any::<Target<'_>>([]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "a wait without any words would never end: pass at least one word");
}

#[tokio::test]
async fn a_stream_of_changes_skips_old_values_and_ends_after_the_reactor_is_closed() {
    for reactor in reactors() {
        let futex = futex(&reactor);
        let mut changes = futex.changes(0);
        futex.word().store(1, Ordering::Release);
        futex.word().store(2, Ordering::Release);
        assert_eq!(changes.next().await.unwrap().unwrap(), 2);
        assert_eq!(changes.last_seen(), 2);
        assert!(changes.next().now_or_never().is_none());

        reactor.close();
        assert_eq!(changes.next().await.unwrap().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(changes.next().await.is_none() && changes.is_terminated());
    }
}

#[tokio::test]
async fn one_call_of_wake_all_wakes_all_waiters() {
    for reactor in reactors() {
        let futex = futex(&reactor);
        let waits = join_all((0..50).map(|_| futex.wait_until(|value| value != 0)));
        let change = async {
            tokio::task::yield_now().await;
            futex.word().store(9, Ordering::Release);
            futex.wake_all();
        };
        let (values, ()) = tokio::join!(waits, change);
        assert!(values.into_iter().all(|value| value.unwrap() == 9));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tasks_that_take_turns_miss_no_change() {
    for reactor in reactors() {
        let (ping, pong) = (futex(&reactor), futex(&reactor));
        let answer = tokio::spawn({
            let (ping, pong) = (ping.clone(), pong.clone());
            async move {
                for round in 1..=2_000 {
                    ping.wait_until(|value| value == round).await?;
                    pong.word().store(round, Ordering::Release);
                    pong.wake_one();
                }
                io::Result::Ok(())
            }
        });
        for round in 1..=2_000 {
            ping.word().store(round, Ordering::Release);
            ping.wake_one();
            pong.wait_until(|value| value == round).await.unwrap();
        }
        answer.await.unwrap().unwrap();
    }
}

#[test]
fn waits_that_spin_miss_no_change() {
    // Two runtimes on two threads. Each side either sees the other's change while it spins, or sleeps until the wake.
    let home = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let spin = Spin::up_to(Duration::from_micros(50));
    let words = [(); 2].map(|()| Word::from(Arc::new(AtomicU32::new(0))));
    let answer = std::thread::spawn({
        let [ping, pong] = words.clone();
        move || {
            home().block_on(async {
                let ping = AsyncFutex::new(ping).unwrap().with_spin(spin);
                for round in 1..=10_000 {
                    ping.wait_until(|value| value == round).await.unwrap();
                    pong.store(round, Ordering::Release);
                    pong.wake(1);
                }
            });
        }
    });
    home().block_on(async {
        let [ping, pong] = words;
        let reactor = Reactor::builder().spin(spin).build().unwrap();
        let pong = AsyncFutex::with_reactor(&reactor, pong);
        for round in 1..=10_000 {
            ping.store(round, Ordering::Release);
            ping.wake(1);
            pong.wait_until(|value| value == round).await.unwrap();
        }
    });
    answer.join().unwrap();
}

#[tokio::test]
async fn a_task_that_is_answered_at_once_lets_other_tasks_run() {
    for reactor in reactors() {
        let futex = futex(&reactor);
        // Whenever this task waits, the word has just changed. Without a budget, the task would never let others run.
        let other = tokio::spawn(async { tokio::task::yield_now().await });
        let mut value = 0;
        futex
            .wait_until(|_| {
                value += 1;
                futex.word().store(value, Ordering::Release);
                other.is_finished()
            })
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_wait_that_yields_for_lack_of_budget_is_over_even_if_the_word_changes_back() {
    for reactor in reactors() {
        let futex = futex(&reactor);
        let waits = [(&futex, 1)];
        let (mut wait, mut any) = (futex.wait_async(1), pin!(wait_any(waits)));
        while has_budget_remaining() {
            consume_budget().await;
        }
        // The word differs, so only the budget keeps both waits from being ready.
        assert!(poll(&mut wait).is_pending() && poll(&mut any).is_pending());
        futex.word().store(1, Ordering::Release);
        assert!(poll(&mut wait).is_ready() && poll(&mut any).is_ready());
        assert_eq!(reactor.stats().armed, 0);
    }
}
