//! `wait_until` and `changes`: waits that load the word again.

use futex_sys::futex::WaitOutcome;
use futex_tests::peer::Peer;
use futex_tests::{
    arm, blocked, change_and_wake, eventually, is_pending, keeps_places, on_each_runtime, until_waiters, waiters,
    wake_bare, within,
};
use futex_tokio::{AsyncFutex, MATCH_ANY, Reactor, SharedMemory};
use futures_util::stream::FusedStream as _;
use futures_util::{FutureExt as _, StreamExt as _};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const PEER: &str = env!("CARGO_BIN_EXE_peer");

fn futex() -> AsyncFutex {
    AsyncFutex::new(Arc::new(AtomicU32::new(0))).expect("a futex")
}

#[test]
fn wait_until_loads_the_word_at_the_first_poll() {
    on_each_runtime(async || {
        let futex = futex();
        futex.word().store(5, Ordering::Release);
        assert_eq!(futex.wait_until(|value| value == 5).await.expect("a value"), 5);
        assert_eq!(futex.reactor().stats().armed, 0);
    });
}

#[test]
fn wait_until_continues_after_wakes_without_the_awaited_value() {
    on_each_runtime(async || {
        let futex = futex();
        let mut loads = Vec::new();
        let value = {
            let mut wait = pin!(futex.wait_until(|value| {
                loads.push(value);
                value >= 3
            }));
            arm(&mut wait).await;
            for value in [0, 1, 2] {
                until_waiters(futex.word(), 1);
                if value == 0 {
                    wake_bare(futex.word(), 1);
                } else {
                    change_and_wake(futex.word(), value);
                }
                // The wait sleeps again, as a new waiter.
                let armed = futex.reactor().stats().armed;
                while futex.reactor().stats().armed == armed {
                    assert!(is_pending(&mut wait).await);
                    tokio::task::yield_now().await;
                }
            }
            until_waiters(futex.word(), 1);
            change_and_wake(futex.word(), 4);
            within(wait).await.expect("a value")
        };
        assert_eq!(value, 4);
        // The wake without a change has caused one more load. Further loads without a reason are allowed.
        assert!(loads.len() >= 5);
        loads.dedup();
        assert_eq!(loads, [0, 1, 2, 4]);
    });
}

#[test]
fn wait_until_sees_the_changes_of_another_process() {
    on_each_runtime(async || {
        let memory = SharedMemory::anonymous(4096).expect("memory");
        let futex = AsyncFutex::new(memory.word(0).expect("a word")).expect("a futex");
        let mut peer = Peer::start(PEER, &memory);
        let waiter = tokio::spawn({
            let futex = futex.clone();
            async move { futex.wait_until(|value| value == 50).await }
        });
        for value in 1..=50 {
            peer.tell(format_args!("store 0 {value}"));
            peer.ask("wake 0 1");
            tokio::task::yield_now().await;
        }
        assert_eq!(within(waiter).await.expect("no panic").expect("a value"), 50);
    });
}

#[test]
fn a_stream_returns_the_latest_of_several_changes() {
    on_each_runtime(async || {
        let futex = futex();
        let mut changes = futex.changes(0);
        assert_eq!(changes.last_seen(), 0);
        for value in [1, 2, 3] {
            futex.word().store(value, Ordering::Release);
            futex.wake_all();
        }
        assert_eq!(within(changes.next()).await.expect("an item").expect("a value"), 3);
        assert_eq!(changes.last_seen(), 3);
        assert!(changes.next().now_or_never().is_none());
        assert_eq!(futex.reactor().stats().armed_now, 1);
        drop(changes);
        eventually(|| futex.reactor().stats().armed_now == 0).await;
    });
}

#[test]
fn a_stream_returns_a_value_that_differs_from_its_first_one_at_once() {
    on_each_runtime(async || {
        let futex = futex();
        assert_eq!(futex.changes(9).next().await.expect("an item").expect("a value"), 0);
    });
}

#[test]
fn a_wake_without_a_change_is_not_an_item() {
    on_each_runtime(async || {
        let futex = futex();
        let mut changes = futex.changes(0);
        let mut next = changes.next();
        arm(&mut next).await;
        until_waiters(futex.word(), 1);
        wake_bare(futex.word(), 1);
        let armed = futex.reactor().stats().armed;
        while futex.reactor().stats().armed == armed {
            assert!(is_pending(&mut next).await);
            tokio::task::yield_now().await;
        }
        until_waiters(futex.word(), 1);
        change_and_wake(futex.word(), 1);
        assert_eq!(within(next).await.expect("an item").expect("a value"), 1);
    });
}

/// 1. The wait of a stream is armed, and another waiter is behind it.
/// 2. The word changes. Before the wake, the stream's task is woken for another reason and polls the stream.
/// 3. One waiter is woken.
///
/// A stream that loads the word in (2) returns the value while its wait is still armed. In (3) this wait receives the wake, which
/// nobody needs and which is therefore handed on. So one wake wakes two waiters.
#[test]
fn a_stream_whose_wait_is_armed_returns_a_value_only_after_a_wake() {
    if !keeps_places(MATCH_ANY) {
        // This is not a skip. A thread that parks again sees the change, and ends the wait before the wake.
        return;
    }
    on_each_runtime(async || {
        let futex = futex();
        let mut changes = futex.changes(0);
        let mut next = changes.next();
        arm(&mut next).await;
        until_waiters(futex.word(), 1);
        let behind = blocked(futex.word(), 2);

        futex.word().store(1, Ordering::Release);
        assert!(is_pending(&mut next).await, "the stream has returned a value before the wake");
        assert!(futex.wake_one());
        assert_eq!(within(next).await.expect("an item").expect("a value"), 1);
        drop(changes);
        assert_eq!((waiters(futex.word()), futex.reactor().stats().handed_on), (1, 0));
        assert!(futex.wake_one());
        assert_eq!(behind.join().expect("no panic"), WaitOutcome::Woken);
    });
}

#[test]
fn a_stream_reaches_the_last_value_of_a_writer_that_never_waits() {
    const LAST: u32 = 20_000;
    on_each_runtime(async || {
        let futex = futex();
        let writer = std::thread::spawn({
            let word = futex.word().clone();
            move || {
                for value in 1..=LAST {
                    word.store(value, Ordering::Release);
                    word.wake(1);
                }
            }
        });
        let mut changes = futex.changes(0);
        let mut last = 0;
        within(async {
            while last != LAST {
                let value = changes.next().await.expect("an item").expect("a value");
                assert!(value > last, "{value} after {last}");
                last = value;
            }
        })
        .await;
        writer.join().expect("the writer ends");
    });
}

#[test]
fn an_error_ends_a_stream() {
    on_each_runtime(async || {
        let backend = Reactor::current().expect("a reactor").backend();
        let reactor = Reactor::builder().backend(backend).build().expect("a reactor");
        let futex = AsyncFutex::with_reactor(&reactor, Arc::new(AtomicU32::new(0)));
        let mut changes = futex.changes(0);
        assert!(changes.next().now_or_never().is_none());
        assert!(!changes.is_terminated());
        reactor.close();
        let error = within(changes.next()).await.expect("an item").expect_err("the reactor is closed");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(changes.is_terminated());
        futex.word().store(1, Ordering::Release);
        assert!(changes.next().await.is_none());
    });
}
