//! Dropping waits and closing reactors never wait for the thread that armed a wait, whatever it does.
//!
//! The story: a completion is posted by the thread that submitted the wait, when it next enters or leaves the kernel. While it
//! was in `vfork` (for a child that did not `exec` yet) or in `fsync`, another thread that closed the reactor slept as long,
//! and a wake which the kernel had counted for a dropped wait was handed on as late: after 3.0 s in a test.
//!
//! The other backends wait with threads of their own.

use futex_tests::load::{Boxed, arms, backend, boxed, runtime, zero};
use futex_tests::{Stuck, until, until_waiters, waiters, wake_bare, within, without_a_hang};
use futex_tokio::{AsyncFutex, Backend, Reactor, Word};
use std::io;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use tokio::runtime::{Builder, Runtime};

/// A runtime that goes on meanwhile, and a reactor of it.
fn scene() -> (Runtime, Reactor) {
    let home = runtime();
    let reactor = home.block_on(async { reactor() });
    (home, reactor)
}

fn reactor() -> Reactor {
    Reactor::builder().backend(backend()).build().expect("a reactor")
}

/// Futexes on new words. (A thread that `Thread` left behind may hand on a wake later, so no word is taken twice.)
fn futexes(reactor: &Reactor, count: usize) -> Vec<AsyncFutex> {
    (0..count).map(|_| AsyncFutex::with_reactor(reactor, zero())).collect()
}

/// A wait on each of the futexes, armed by a thread that is in `vfork` now.
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

/// Arms a wait by this thread, the last of `count` waits on its word.
fn line_up(futex: &AsyncFutex, count: u32) -> Boxed {
    let mut wait = boxed(futex);
    assert!(arms(&mut wait), "a wait is over already");
    until_waiters(futex.word(), count);
    wait
}

/// No waiter of a reactor is in the kernel. (`Thread` leaves its threads, until they are woken.)
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
        panic!("a wait goes on with a reactor that is closed");
    };
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn dropping_waits_and_closing_return_while_the_thread_that_armed_is_stuck() {
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
fn dropping_the_last_handle_returns_while_the_thread_that_armed_is_stuck() {
    let (home, reactor) = scene();
    let futexes = futexes(&reactor, 1);
    let word = futexes[0].word().clone();
    let (waits, stuck) = arm_and_get_stuck(&futexes);
    without_a_hang(move || drop((waits, futexes, reactor)));
    none_is_left(&home.block_on(async { self::reactor() }), &word);
    stuck.release();
}

#[test]
fn a_runtime_ends_while_a_thread_that_armed_is_stuck() {
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
        home.block_on(within(live)).expect("the wake that was counted");
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
        home.block_on(within(live)).expect("the wake that was counted");
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
            // The owner would see the wake. It is gone, so the wake is handed on.
            drop(waits);
        });
        home.block_on(within(live)).expect("the wake that was counted");
        stuck.release();
    }
}

/// The completions come when the thread is released, or when it ends, and nobody needs them any more.
#[test]
fn a_reactor_goes_on_after_a_thread_that_armed_was_stuck() {
    let (home, reactor) = scene();
    for _ in 0..20 {
        let futexes = futexes(&reactor, 100);
        let (waits, stuck) = arm_and_get_stuck(&futexes);
        without_a_hang(|| drop(waits));
        stuck.release();
        for futex in &futexes {
            none_is_left(&reactor, futex.word());
        }
        // Others go on as before.
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
