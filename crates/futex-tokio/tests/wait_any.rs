//! The results of `wait_any`, on each backend.

mod support;

use futex_tokio::{AsyncFutex, Backend, Reactor, wait_any};
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use support::{futex, poll, reactors};
use tokio::task::coop::{consume_budget, has_budget_remaining};

const LEFT: NonZeroU32 = NonZeroU32::MIN;
const RIGHT: NonZeroU32 = LEFT.checked_add(1).unwrap();

fn futexes<const N: usize>(reactor: &Reactor) -> [AsyncFutex; N] {
    std::array::from_fn(|_| futex(reactor))
}

/// Returns when the kernel has a wait on each futex.
async fn until_waiting<const N: usize>(futexes: [&AsyncFutex; N]) {
    for futex in futexes {
        while futex.word().waiters().expect("a count") == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// A wake with the mask of another target wakes nobody. A wake with the mask of a target returns the index of this target.
#[tokio::test]
async fn a_masked_wake_reaches_the_target_that_has_its_mask() {
    for reactor in reactors() {
        let [one, other] = futexes(&reactor);
        one.word().store(3, Ordering::Release);
        let list = [(&one, 3, LEFT), (&other, 0, RIGHT)];
        for index in [1, 0] {
            let mut any = wait_any(list);
            assert!(poll(&mut any).is_pending());
            until_waiting([&one, &other]).await;
            assert_eq!((one.wake_masked(1, RIGHT), other.wake_masked(1, LEFT)), (0, 0));
            let (futex, value, mask) = list[index];
            // The thread of a wait on `Thread` may be about to park again.
            while futex.wake_masked(1, mask) == 0 {
                tokio::task::yield_now().await;
            }
            assert_eq!(any.await.unwrap(), (index, value), "woken without a change");
        }
        one.wake_all();
        other.wake_all();
    }
}

#[tokio::test]
async fn one_futex_may_be_in_two_targets_with_different_values_or_masks() {
    for reactor in reactors() {
        let futex = futex(&reactor);
        // The word can't have both values, so one target is ready at once.
        assert_eq!(wait_any([(&futex, 0), (&futex, 1)]).await.unwrap(), (1, 0));
        assert_eq!(wait_any([(&futex, 1), (&futex, 0)]).await.unwrap(), (0, 0));
        let mut any = wait_any([(&futex, 0, LEFT), (&futex, 0, RIGHT)]);
        assert!(poll(&mut any).is_pending());
        while futex.word().waiters().unwrap() < 2 {
            tokio::task::yield_now().await;
        }
        while futex.wake_masked(1, RIGHT) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(any.await.unwrap(), (1, 0));
        futex.wake_all();
    }
}

#[tokio::test]
async fn the_value_is_loaded_after_the_wake() {
    for reactor in reactors() {
        for first in [true, false] {
            let [one, other] = futexes(&reactor);
            let list = if first { [(&other, 0), (&one, 0)] } else { [(&one, 0), (&other, 0)] };
            let mut any = wait_any(list);
            assert!(poll(&mut any).is_pending());
            until_waiting([&one, &other]).await;
            other.word().store(9, Ordering::Release);
            other.wake_one();
            let (index, value) = any.await.unwrap();
            // On `Waitv`, the wait in front may end as woken too, and have the lower index.
            assert!(std::ptr::eq(list[index].0, &raw const other) && value == 9 || reactor.backend() == Backend::Waitv);
            one.wake_all(); // ends a thread of `Thread` that is still parked
            other.wake_all();
        }
    }
}

/// If the first poll holds its result back for lack of budget, the next poll returns the same index and value, even if the words
/// have changed meanwhile.
#[tokio::test]
async fn a_result_that_is_held_back_for_budget_is_that_of_the_first_poll() {
    for reactor in reactors() {
        let [one, other] = futexes(&reactor);
        other.word().store(5, Ordering::Release);
        let mut any = wait_any([(&one, 0), (&other, 0)]);
        while has_budget_remaining() {
            consume_budget().await;
        }
        assert!(poll(&mut any).is_pending());
        one.word().store(1, Ordering::Release);
        other.word().store(0, Ordering::Release);
        assert!(matches!(poll(&mut any), Poll::Ready(Ok((1, 5)))));
        assert_eq!(reactor.stats().armed, 0);
        // The next poll begins a new wait.
        tokio::task::yield_now().await;
        assert!(matches!(poll(&mut any), Poll::Ready(Ok((0, 1)))));
        assert_eq!(reactor.stats().armed, 0);
    }
}

#[tokio::test]
async fn a_wait_for_any_that_a_timeout_borrows_stays_armed_and_can_go_on() {
    for reactor in reactors() {
        let [one, other] = futexes(&reactor);
        let mut any = wait_any([(&one, 0), (&other, 0)]);
        assert!(tokio::time::timeout(Duration::from_millis(1), &mut any).await.is_err());
        assert_eq!(reactor.stats().armed_now, 2, "the timeout has cancelled the waits");
        other.word().store(1, Ordering::Release);
        other.wake_one();
        let (index, value) = any.await.unwrap();
        assert!((index, value) == (1, 1) || reactor.backend() == Backend::Waitv);
        let stats = reactor.stats();
        assert_eq!((stats.armed, stats.armed_now), (2, 0), "{stats:?}");
        one.wake_all();
        other.wake_all();
    }
}

#[tokio::test]
async fn a_wait_for_no_targets_is_an_error_at_each_poll() {
    let mut any = wait_any([] as [(&AsyncFutex, u32); 0]);
    for _ in 0..3 {
        let polled = Pin::new(&mut any).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Err(error)) if error.kind() == std::io::ErrorKind::InvalidInput));
    }
}
