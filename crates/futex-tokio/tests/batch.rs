//! Several waits that begin in one tick of the scheduler.
#![cfg(feature = "uring")]

mod support;

use futex_tokio::{AsyncFutex, Backend, Reactor, WaitAsync};
use futures_util::future::join_all;
use std::sync::atomic::Ordering;
use support::{futex, poll, reactor};

const MANY: usize = 200;

/// Both kinds of reactor, where there is io_uring.
fn reactors() -> impl Iterator<Item = (bool, Reactor)> {
    [true, false].into_iter().filter_map(|batch| {
        let reactor = reactor(Reactor::builder().backend(Backend::Uring).batch(batch))?;
        Some((batch, reactor))
    })
}

fn futexes(reactor: &Reactor) -> Vec<AsyncFutex> {
    (0..MANY).map(|_| futex(reactor)).collect()
}

/// Begins a wait on each of them, in one tick.
fn begin(futexes: &[AsyncFutex]) -> Vec<WaitAsync<'_>> {
    let mut waits: Vec<_> = futexes.iter().map(|futex| futex.wait_async(0)).collect();
    assert!(waits.iter_mut().all(|wait| poll(wait).is_pending()));
    waits
}

/// Wakes by the bare word, which knows of no reactor. Returns how many there were.
fn wake_each(futexes: &[AsyncFutex]) -> u32 {
    futexes.iter().map(|futex| futex.word().wake(1)).sum()
}

#[tokio::test]
async fn they_are_armed_when_the_tick_is_over() {
    for (_, reactor) in reactors() {
        let futexes = futexes(&reactor);
        let waits = begin(&futexes);
        tokio::task::yield_now().await;
        assert_eq!(wake_each(&futexes), MANY as u32);
        for wait in join_all(waits).await {
            wait.unwrap();
        }
    }
}

#[tokio::test]
async fn the_first_one_is_armed_at_once_and_without_batches_all_are() {
    for (batch, reactor) in reactors() {
        let futexes = futexes(&reactor);
        let waits = begin(&futexes);
        let here = if batch { &futexes[..1] } else { &futexes };
        assert_eq!(wake_each(here), here.len() as u32);
        drop(waits);
        assert_eq!(wake_each(&futexes), 0);
    }
}

#[tokio::test]
async fn a_wake_by_a_futex_of_the_same_reactor_finds_them_before() {
    for (_, reactor) in reactors() {
        let one = futex(&reactor);
        let mut waits: Vec<_> = (0..MANY).map(|_| one.wait_async(0)).collect();
        assert!(waits.iter_mut().all(|wait| poll(wait).is_pending()));
        assert_eq!(one.wake(150), 150);
        assert_eq!(one.wake_all(), 50);
        for wait in waits {
            wait.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_change_before_the_tick_is_over_is_seen() {
    for (_, reactor) in reactors() {
        let futexes = futexes(&reactor);
        let waits = begin(&futexes);
        for futex in &futexes {
            futex.word().store(1, Ordering::Release);
            futex.word().wake(1);
        }
        for wait in join_all(waits).await {
            wait.unwrap();
        }
        let stats = reactor.stats();
        assert_eq!((stats.woken + stats.mismatched, stats.armed_now), (MANY as u64, 0), "{stats:?}");
    }
}

#[tokio::test]
async fn those_that_are_dropped_before_leave_nothing() {
    for (_, reactor) in reactors() {
        let futexes = futexes(&reactor);
        drop(begin(&futexes));
        tokio::task::yield_now().await;
        assert_eq!(wake_each(&futexes), 0);
        let stats = reactor.stats();
        assert_eq!((stats.armed, stats.cancelled, stats.armed_now), (MANY as u64, MANY as u64, 0), "{stats:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_of_a_multi_thread_runtime_lose_no_change() {
    for (_, reactor) in reactors() {
        let futexes = futexes(&reactor);
        let tasks: Vec<_> = futexes
            .chunks(20)
            .map(|chunk| {
                let chunk = chunk.to_vec();
                tokio::spawn(
                    async move { join_all(chunk.iter().map(|futex| futex.wait_until(|value| value == 3))).await },
                )
            })
            .collect();
        for value in 1..=3 {
            for futex in &futexes {
                futex.word().store(value, Ordering::Release);
                futex.word().wake(1);
            }
            tokio::task::yield_now().await;
        }
        for task in tasks {
            assert!(task.await.unwrap().into_iter().all(|value| value.unwrap() == 3));
        }
    }
}
