//! Dropping waits and closing reactors never wait for the thread that armed a wait, whatever that thread does.
//!
//! The story: on `Uring`, the thread that submitted a wait posts its completion when it next enters or leaves the kernel. While
//! such a thread was in `vfork` (for a child that had not called `exec` yet) or in `fsync`, another thread that closed the
//! reactor slept for the same time. A wake that the kernel had counted for a dropped wait was handed on with the same delay (3.0 s
//! in a test).
//!
//! The other backends wait with their own threads.

use futex_tests::load::{Boxed, arms, backend, boxed, runtime, zero};
use futex_tests::{Stuck, until, until_waiters, waiters, wake_bare, within, without_a_hang};
use futex_tokio::{AsyncFutex, Backend, Reactor, Word};
use std::io;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use tokio::runtime::{Builder, Runtime};

/// A runtime that is not stuck, and a reactor of this runtime.
fn scene() -> (Runtime, Reactor) {
    let home = runtime();
    let reactor = home.block_on(async { reactor() });
    (home, reactor)
}

fn reactor() -> Reactor {
    Reactor::builder().backend(backend()).build().expect("a reactor")
}

/// Returns futexes on new words. No word is used twice, because a thread that `Thread` has left parked may hand on a wake later.
fn futexes(reactor: &Reactor, count: usize) -> Vec<AsyncFutex> {
    (0..count).map(|_| AsyncFutex::with_reactor(reactor, zero())).collect()
}

/// Returns a wait on each futex. The thread that has armed them is in `vfork` now.
fn arm_and_get_stuck(futexes: &[AsyncFutex]) -> (Vec<Boxed>, Stuck) {
    let mut waits: Vec<_> = futexes.iter().map(boxed).collect();
    let (waits, stuck) = Stuck::after(move || {
        assert!(waits.iter_mut().all(arms), "a wait is over already");
        waits
    });
    for futex in futexes {
        until_waiters(futex.word(), 1);
    }
    (waits, stuck)
}

/// Arms a wait in this thread. It is the last of `count` waits on its word.
fn line_up(futex: &AsyncFutex, count: u32) -> Boxed {
    let mut wait = boxed(futex);
    assert!(arms(&mut wait), "a wait is over already");
    until_waiters(futex.word(), count);
    wait
}

/// Checks that the kernel has no waiter on the word. (`Thread` leaves threads parked, which are woken first.)
fn none_is_left(reactor: &Reactor, word: &Word) {
    if reactor.backend() == Backend::Thread {
        word.wake(u32::MAX);
        until_waiters(word, 0);
    } else {
        until(|| waiters(word) == 0);
    }
}

fn is_broken(mut wait: Boxed) {
    let Poll::Ready(Err(error)) = wait.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("the wait of a closed reactor has not ended with an error");
    };
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn dropping_waits_and_closing_do_not_wait_for_a_stuck_thread_that_armed_them() {
    let (_home, reactor) = scene();
    let futexes = futexes(&reactor, 100);
    let (mut waits, stuck) = arm_and_get_stuck(&futexes);
    let left = waits.split_off(50);
    without_a_hang({
        let reactor = reactor.clone();
        move || {
            drop(waits);
            reactor.close();
            left.into_iter().for_each(is_broken);
        }
    });
    for futex in &futexes {
        none_is_left(&reactor, futex.word());
    }
    assert_eq!(reactor.stats().armed_now, 0);
    stuck.release();
}

#[test]
fn dropping_the_last_handle_does_not_wait_for_a_stuck_thread_that_armed_its_waits() {
    let (home, reactor) = scene();
    let futexes = futexes(&reactor, 1);
    let word = futexes[0].word().clone();
    let (waits, stuck) = arm_and_get_stuck(&futexes);
    without_a_hang(move || drop((waits, futexes, reactor)));
    none_is_left(&home.block_on(async { self::reactor() }), &word);
    stuck.release();
}

#[test]
fn the_shutdown_of_a_runtime_does_not_wait_for_a_stuck_thread_that_armed_its_waits() {
    for home in [runtime(), Builder::new_current_thread().enable_all().build().expect("a runtime")] {
        let futexes = home.block_on(async { futexes(&Reactor::current().expect("a reactor"), 10) });
        let (waits, stuck) = arm_and_get_stuck(&futexes);
        without_a_hang(move || drop(home));
        for (futex, wait) in futexes.iter().zip(waits) {
            none_is_left(futex.reactor(), futex.word());
            is_broken(wait);
        }
        stuck.release();
    }
}

#[test]
fn a_wake_after_the_drop_reaches_the_next_wait_while_the_thread_that_armed_is_stuck() {
    let (home, reactor) = scene();
    for _ in 0..20 {
        let futexes = futexes(&reactor, 1);
        let (waits, stuck) = arm_and_get_stuck(&futexes);
        let live = line_up(&futexes[0], 2);
        without_a_hang(|| drop(waits));
        wake_bare(futexes[0].word(), 1);
        home.block_on(within(live)).expect("the live wait receives the wake");
        stuck.release();
    }
}

#[test]
fn a_wake_before_the_drop_is_handed_on_while_the_thread_that_armed_is_stuck() {
    let (home, reactor) = scene();
    for _ in 0..20 {
        let futexes = futexes(&reactor, 1);
        let (waits, stuck) = arm_and_get_stuck(&futexes);
        let live = line_up(&futexes[0], 2);
        wake_bare(futexes[0].word(), 1);
        without_a_hang(|| drop(waits));
        home.block_on(within(live)).expect("the live wait receives the wake");
        stuck.release();
    }
}

#[test]
fn a_wake_before_the_reactor_is_closed_is_handed_on_while_the_thread_that_armed_is_stuck() {
    let home = runtime();
    for _ in 0..20 {
        let [reactor, other] = home.block_on(async { [reactor(), reactor()] });
        let futexes = futexes(&reactor, 1);
        let word = futexes[0].word().clone();
        let (waits, stuck) = arm_and_get_stuck(&futexes);
        let live = line_up(&AsyncFutex::with_reactor(&other, &word), 2);
        wake_bare(&word, 1);
        without_a_hang(move || {
            reactor.close();
            // If the owner polled again, it would see the wake. It drops the wait instead, so the wake is handed on.
            drop(waits);
        });
        home.block_on(within(live)).expect("the live wait receives the wake");
        stuck.release();
    }
}

/// The completions come when the thread is released or ends. Their waits are gone by then.
#[test]
fn a_reactor_works_after_a_stuck_thread_that_armed_waits_is_released() {
    let (home, reactor) = scene();
    for _ in 0..20 {
        let futexes = futexes(&reactor, 100);
        let (waits, stuck) = arm_and_get_stuck(&futexes);
        without_a_hang(|| drop(waits));
        stuck.release();
        for futex in &futexes {
            none_is_left(&reactor, futex.word());
        }
        // New waits work as before.
        let futexes = self::futexes(&reactor, 100);
        let waits: Vec<_> = futexes.iter().map(|futex| line_up(futex, 1)).collect();
        for futex in &futexes {
            futex.word().store(1, Ordering::Release);
            futex.word().wake(1);
        }
        for wait in waits {
            home.block_on(within(wait)).expect("the change");
        }
        until(|| reactor.stats().armed_now == 0);
    }
}
