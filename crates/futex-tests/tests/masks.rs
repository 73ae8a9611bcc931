//! Waits with masks, together with threads that stay parked, and with wakes that are handed on while no thread is parked.
//!
//! `Waitv` and `Thread` park a thread for each wait with a mask. When the wait is dropped, the thread stays parked with the mask
//! of that wait for a limited time, or until it receives a wake.

use futex_tests::load::{backend, runtime, zero};
use futex_tests::{arm, eventually, is_pending, on_each_runtime, until_waiters, wake_bare_masked, within};
use futex_tokio::{AsyncFutex, Backend, Reactor, WaitAsync};
use std::future::Future as _;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Waker};

fn mask(bits: u32) -> NonZeroU32 {
    NonZeroU32::new(bits).expect("a mask has a bit")
}

fn futex() -> AsyncFutex {
    let reactor = Reactor::builder().backend(backend()).build().expect("a reactor");
    AsyncFutex::with_reactor(&reactor, zero())
}

/// Polls a wait once, with a waker that does nothing.
fn begin(wait: &mut WaitAsync<'_>) {
    assert!(Pin::new(wait).poll(&mut Context::from_waker(Waker::noop())).is_pending(), "a wait is over already");
}

#[test]
fn a_parked_thread_with_one_mask_is_not_used_for_a_wait_with_another() {
    on_each_runtime(async || {
        for second in [0b10, 0b11, u32::MAX].map(mask) {
            let futex = futex();
            let mut dropped = futex.wait_async_masked(0, mask(0b01));
            arm(&mut dropped).await;
            until_waiters(futex.word(), 1);
            drop(dropped);
            let mut wait = futex.wait_async_masked(0, second);
            arm(&mut wait).await;
            // The thread that is parked for the first bit does not receive this wake.
            eventually(|| futex.wake_masked(1, mask(0b10)) == 1).await;
            within(wait).await.expect("the wait receives the wake that was counted");
            futex.wake_all();
        }
    });
}

/// The wake finds this thread first. The thread must not hand it on to a wait with another mask.
#[test]
fn a_parked_thread_hands_on_a_wake_with_its_mask() {
    let [left, right] = [0b01, 0b10].map(mask);
    on_each_runtime(async || {
        let futex = futex();
        let mut dropped = futex.wait_async_masked(0, left);
        arm(&mut dropped).await;
        until_waiters(futex.word(), 1);
        let mut other = futex.wait_async_masked(0, right);
        arm(&mut other).await;
        until_waiters(futex.word(), 2);
        let mut last = futex.wait_async_masked(0, left);
        arm(&mut last).await;
        until_waiters(futex.word(), 3);

        drop(dropped);
        wake_bare_masked(futex.word(), 1, left);
        within(last).await.expect("the wait receives the wake that was counted");
        assert!(is_pending(&mut other).await, "a wake has ended a wait with another mask");
        wake_bare_masked(futex.word(), 1, right);
        within(other).await.expect("the wait receives the wake that was counted");
    });
}

#[test]
fn a_wake_passes_along_parked_threads_to_the_wait_with_its_mask() {
    let [left, right] = [0b01, 0b10].map(mask);
    on_each_runtime(async || {
        for _ in 0..20 {
            let futex = futex();
            let mut dropped = Vec::new();
            for index in 0..10 {
                let mut wait = futex.wait_async_masked(0, if index % 2 == 0 { left } else { right });
                arm(&mut wait).await;
                until_waiters(futex.word(), index + 1);
                dropped.push(wait);
            }
            let mut other = futex.wait_async_masked(0, right);
            arm(&mut other).await;
            until_waiters(futex.word(), 11);
            let mut last = futex.wait_async_masked(0, left);
            arm(&mut last).await;
            until_waiters(futex.word(), 12);
            drop(dropped);

            wake_bare_masked(futex.word(), 1, left);
            within(last).await.expect("the wait receives the wake that was counted");
            assert!(is_pending(&mut other).await, "a wake has ended a wait with another mask");
            // If this wake finds a parked thread of a dropped wait, that thread hands it on.
            wake_bare_masked(futex.word(), 1, right);
            within(other).await.expect("a wake");
        }
    });
}

/// 1. A wait is armed. Then waits with two masks begin, and their threads are about to park.
/// 2. A wake is counted for the first wait.
/// 3. The first wait is dropped. Its wake is handed on, and may find no parked thread. It must reach the wait with its mask,
///    which began last.
#[test]
fn a_wake_that_is_handed_on_and_finds_nobody_parked_goes_to_a_wait_with_its_mask() {
    let [left, right] = [0b01, 0b10].map(mask);
    runtime().block_on(async {
        let reactor = Reactor::builder().backend(backend()).build().expect("a reactor");
        for _ in 0..2_000 {
            let futex = AsyncFutex::with_reactor(&reactor, zero());
            let mut dropped = futex.wait_async_masked(0, left);
            begin(&mut dropped);
            until_waiters(futex.word(), 1);
            let mut others = [0; 3].map(|_| futex.wait_async_masked(0, right));
            others.iter_mut().for_each(begin);
            let mut live = futex.wait_async_masked(0, left);
            begin(&mut live);

            wake_bare_masked(futex.word(), 1, left);
            drop(dropped);
            within(live).await.expect("the wait receives the wake that was counted");
            drop(others);
            futex.wake_all(); // ends threads that are still parked
        }
    });
}

/// The first wait is dropped before the others begin. The wait that replaces it may also take over its thread.
#[test]
fn a_counted_masked_wake_reaches_the_wait_that_replaces_a_dropped_wait() {
    let [left, right] = [0b01, 0b10].map(mask);
    runtime().block_on(async {
        let reactor = Reactor::builder().backend(backend()).build().expect("a reactor");
        let mut counted = 0;
        for _ in 0..2_000 {
            let futex = AsyncFutex::with_reactor(&reactor, zero());
            let mut dropped = futex.wait_async_masked(0, left);
            begin(&mut dropped);
            until_waiters(futex.word(), 1);
            drop(dropped);
            let mut other = futex.wait_async_masked(0, right);
            begin(&mut other);
            let mut live = futex.wait_async_masked(0, left);
            begin(&mut live);
            if futex.wake_masked(1, left) == 1 {
                counted += 1;
                within(live).await.expect("the wait receives the wake that was counted");
            } else {
                assert_ne!(reactor.backend(), Backend::Uring, "a wake missed a wait that is armed");
            }
            drop(other);
            futex.wake_all(); // ends threads that are still parked
        }
        assert!(counted > 0);
    });
}

/// A wake is handed on with the mask of the wait for which it was counted. This mask may have more bits than that of the wake.
#[test]
fn a_wake_that_is_handed_on_and_finds_nobody_parked_goes_to_a_wait_that_shares_a_bit() {
    // The masks of the dropped wait, of the wake, and of the remaining wait. A wait with all bits is a wait without a mask.
    let masks =
        [(u32::MAX, u32::MAX, 0b100), (0b110, u32::MAX, u32::MAX), (0b110, 0b010, 0b100), (u32::MAX, 0b1, u32::MAX)];
    runtime().block_on(async {
        let reactor = Reactor::builder().backend(backend()).build().expect("a reactor");
        for _ in 0..500 {
            for masks in masks {
                let (first, wake, second) = (mask(masks.0), mask(masks.1), mask(masks.2));
                let futex = AsyncFutex::with_reactor(&reactor, zero());
                let mut dropped = futex.wait_async_masked(0, first);
                begin(&mut dropped);
                until_waiters(futex.word(), 1);
                let mut live = futex.wait_async_masked(0, second);
                begin(&mut live);
                wake_bare_masked(futex.word(), 1, wake);
                drop(dropped);
                within(live).await.expect("the wait receives the wake that was counted");
                futex.wake_all(); // ends threads that are still parked
            }
        }
    });
}
