//! The threads of waits end after the waits are over.
//!
//! `Thread`, and `Waitv` for a wait with a mask, park one thread per wait, which can't be called back. When a wait is dropped,
//! its thread stays parked, at most for as long as the wait had lasted, and for at most ten seconds.
//!
//! Earlier, such a thread stayed parked until it received a wake. 200 timeouts on a word whose value changed left 200 threads,
//! each with a stack and a handle to the word's memory, and `wake_all` counted 200 waiters although nobody waited. The shutdown
//! of a runtime left the threads too.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use futex_core::Backend;
use futex_sys::SharedMemory;
use futex_tests::holdings::{Object, backend_threads, until_within};
use futex_tests::load::{backend, descriptors, zero};
use futex_tests::{arm, eventually, is_pending, on_each_runtime, until, until_waiters, waiters, within};
use futex_tokio::{AsyncFutex, Reactor, WaitAsync, Word};
use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::time::timeout;

/// Maximum number of threads that may stay parked after 200 timeouts of a millisecond.
const LEFT_BEHIND: usize = 32;
/// Time after which no thread is left parked: 10 s, and one second for a busy machine.
const LONGEST_PARK: Duration = Duration::from_secs(10 + 1);

/// Lets one test run at a time, because the tests count threads, and waits until the threads of earlier tests have ended. Returns
/// `None` on `Uring`, which parks no threads. This is not a skip.
fn alone() -> Option<MutexGuard<'static, ()>> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = (backend() != Backend::Uring).then(|| ALONE.lock().unwrap_or_else(PoisonError::into_inner))?;
    until_within(LONGEST_PARK, || backend_threads() == 0);
    Some(alone)
}

fn futex(word: impl Into<Word>) -> AsyncFutex {
    let reactor = Reactor::builder().backend(backend()).build().unwrap();
    AsyncFutex::with_reactor(&reactor, word)
}

/// Returns a wait for which the backend parks a separate thread.
fn lone(futex: &AsyncFutex, expected: u32) -> WaitAsync<'_> {
    match futex.reactor().backend() {
        Backend::Thread => futex.wait_async(expected),
        _ => futex.wait_async_masked(expected, NonZeroU32::MIN),
    }
}

/// Makes 200 waits that time out after a millisecond. The word has another value each time, so that no wait can take over the
/// thread of an earlier wait.
async fn time_out_200_times(futex: &AsyncFutex) {
    let before = futex.reactor().stats();
    let mut wait = lone(futex, 0);
    arm(&mut wait).await;
    until_waiters(futex.word(), 1); // A thread is counted only when it has its name.
    drop(wait);
    for value in 1..200 {
        futex.word().store(value, Ordering::Release);
        assert!(
            timeout(Duration::from_millis(1), lone(futex, value)).await.is_err(),
            "the wait ended although nobody woke it"
        );
    }
    let stats = futex.reactor().stats();
    assert_eq!(
        (stats.armed - before.armed, stats.cancelled - before.cancelled, stats.woken),
        (200, 200, 0),
        "{stats:?}"
    );
}

#[test]
fn two_hundred_timeouts_leave_few_threads_parked_which_end_by_themselves() {
    let Some(_alone) = alone() else { return };
    on_each_runtime(async || {
        let before = backend_threads();
        let futex = futex(zero());
        time_out_200_times(&futex).await;
        let (left, counted) = (backend_threads() - before, waiters(futex.word()) as usize);
        println!("{left} threads are left, {counted} of them parked");
        assert!(left <= LEFT_BEHIND && counted <= LEFT_BEHIND, "{left} threads, {counted} of them parked");
        until_within(LONGEST_PARK, || backend_threads() <= before);
        until_waiters(futex.word(), 0); // A thread without a name was not counted above.
        assert_eq!(futex.wake_all(), 0);
        until(|| futex.reactor().stats().units == 0);
    });
}

#[test]
fn a_wake_after_two_hundred_timeouts_counts_few_waiters() {
    let Some(_alone) = alone() else { return };
    on_each_runtime(async || {
        let before = backend_threads();
        let futex = futex(zero());
        time_out_200_times(&futex).await;
        let counted = futex.wake_all() as usize;
        assert!(counted <= LEFT_BEHIND, "{counted} waiters were woken although nobody waits");
        until_within(LONGEST_PARK, || backend_threads() <= before);
    });
}

#[test]
fn a_runtime_that_shuts_down_after_timeouts_leaves_no_thread_mapping_or_descriptor() {
    let Some(_alone) = alone() else { return };
    // The first runtime of a process opens two descriptors for signals, which stay open.
    drop(Builder::new_current_thread().enable_all().build().unwrap());
    for mut kind in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        let (before, open) = (backend_threads(), descriptors());
        let memory = SharedMemory::anonymous(4096).unwrap();
        let mapped = Object::of(&memory);
        let runtime = kind.worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let futex = futex(memory.word(0).unwrap());
            // A wait that is armed until the runtime shuts down.
            let pending = AsyncFutex::with_reactor(futex.reactor(), memory.word(64).unwrap());
            tokio::spawn(async move { lone(&pending, 0).await });
            eventually(|| waiters(&memory.word(64).unwrap()) == 1).await;
            time_out_200_times(&futex).await;
        });
        drop((runtime, memory));
        until_within(LONGEST_PARK, || backend_threads() <= before);
        until(|| !mapped.is_mapped());
        until(|| descriptors() <= open);
    }
}

/// A park lasts as long as the age of the wait at its begin. That limits the time for which a thread stays parked after a drop.
#[test]
fn the_thread_of_an_old_wait_ends_soon_after_the_wait_is_dropped() {
    const OLD: Duration = Duration::from_secs(2);
    let Some(_alone) = alone() else { return };
    on_each_runtime(async || {
        let before = backend_threads();
        let futex = futex(zero());
        assert!(timeout(OLD, lone(&futex, 0)).await.is_err(), "the wait ended although nobody woke it");
        until_within(OLD + Duration::from_secs(1), || backend_threads() <= before);
        until_waiters(futex.word(), 0);
    });
}

/// The parks of these waits end several times while nothing happens, which does not end the waits. A bare wake may come between
/// two parks, and its count shows that.
#[test]
fn waits_outlast_the_parks_of_their_threads() {
    const WAITS: usize = 20;
    let Some(_alone) = alone() else { return };
    on_each_runtime(async || {
        let reactor = Reactor::builder().backend(backend()).build().unwrap();
        let futexes: Vec<_> = (0..WAITS).map(|_| AsyncFutex::with_reactor(&reactor, zero())).collect();
        let mut waits: Vec<_> = futexes.iter().map(|futex| lone(futex, 0)).collect();
        for wait in &mut waits {
            arm(wait).await;
        }
        assert!(
            timeout(Duration::from_millis(1_500), &mut waits[0]).await.is_err(),
            "the wait ended although nobody woke it"
        );
        for wait in &mut waits {
            assert!(is_pending(wait).await, "the wait ended although nobody woke it");
        }
        assert_eq!((reactor.stats().armed, reactor.stats().armed_now), (WAITS as u64, WAITS));

        for (i, (futex, wait)) in futexes.iter().zip(waits).enumerate() {
            if i % 2 == 0 {
                futex.word().store(1, Ordering::Release); // change the word,
                futex.wake(1); //                            then wake
            } else {
                until(|| futex.wake(1) == 1);
            }
            within(wait).await.unwrap();
        }
        let stats = reactor.stats();
        assert_eq!((stats.woken + stats.mismatched, stats.handed_on), (WAITS as u64, 0), "{stats:?}");
        assert!(stats.woken >= WAITS as u64 / 2, "{stats:?}");
    });
}

/// Arms waits on many words, and after some milliseconds drops `left_behind` waits per word. Then tries a bare wake on each word
/// until the kernel counts it. The last wait of the word must see that wake. The first park of a thread lasts ten milliseconds,
/// so parks end while the wakes come.
async fn wake_while_parks_end(left_behind: usize) {
    const WORDS: usize = 40;
    const ROUNDS: u64 = 60;
    let reactor = Reactor::builder().backend(backend()).build().unwrap();
    for round in 0..ROUNDS {
        // Each round has new words, because a thread that is still parked from an earlier round may hand a wake on.
        let futexes: Vec<_> = (0..WORDS).map(|_| AsyncFutex::with_reactor(&reactor, zero())).collect();
        let begin = || futexes.iter().map(|futex| lone(futex, 0));
        let mut dropped: Vec<_> = (0..left_behind).flat_map(|_| begin()).collect();
        let mut waits: Vec<_> = begin().collect();
        for wait in dropped.iter_mut().chain(&mut waits) {
            arm(wait).await;
        }
        // The waits are older than this time, because arming takes time too.
        assert!(
            timeout(Duration::from_millis(2 + round % 10), &mut waits[0]).await.is_err(),
            "the wait ended although nobody woke it"
        );
        drop(dropped);
        for (futex, wait) in futexes.iter().zip(waits) {
            until(|| futex.wake(1) == 1);
            within(wait).await.unwrap();
        }
    }
    let stats = reactor.stats();
    println!("{stats:?}");
    let (waits, dropped) = (ROUNDS * WORDS as u64, ROUNDS * (WORDS * left_behind) as u64);
    assert_eq!((stats.armed, stats.cancelled, stats.mismatched), (waits + dropped, dropped, 0), "{stats:?}");
    assert_eq!(stats.handed_on > 0, left_behind > 0, "{stats:?}");
}

/// 1. The park of a thread ends.
/// 2. Before the thread knows that, a bare wake comes. If the kernel still has the thread, the wake is counted and the wait ends.
///    Otherwise the wake is not counted and the wait stays armed.
#[test]
fn a_wait_sees_a_bare_wake_that_is_counted_when_a_park_ends() {
    let Some(_alone) = alone() else { return };
    on_each_runtime(async || wake_while_parks_end(0).await);
}

/// 1. A wait is dropped, and its thread stays parked.
/// 2. This thread receives a bare wake and hands it on.
/// 3. The thread of the remaining wait is between two parks. Both threads parked at the same time, so their parks end at the same
///    time.
#[test]
fn a_wait_whose_park_ends_sees_a_bare_wake_that_a_parked_thread_hands_on() {
    let Some(_alone) = alone() else { return };
    on_each_runtime(async || wake_while_parks_end(1).await);
}

/// On `Waitv`, these threads have up to 127 waits each, and can be called back.
#[test]
fn the_threads_of_many_waits_end_when_the_waits_are_dropped() {
    let Some(_alone) = alone() else { return };
    on_each_runtime(async || {
        let before = backend_threads();
        let reactor = Reactor::builder().backend(backend()).build().unwrap();
        let memory = SharedMemory::anonymous(4 * 500).unwrap();
        let futexes = (0..500).map(|i| AsyncFutex::with_reactor(&reactor, memory.word(4 * i).unwrap()));
        let futexes: Vec<_> = futexes.collect();
        let mut waits: Vec<_> = futexes.iter().map(|futex| futex.wait_async(0)).collect();
        for wait in &mut waits {
            arm(wait).await;
        }
        futexes.iter().for_each(|futex| until_waiters(futex.word(), 1));
        assert!(backend_threads() >= before + 4, "{} threads", backend_threads());
        drop(waits);
        until_within(LONGEST_PARK, || backend_threads() <= before);
        until(|| reactor.stats().units == 0);
        futexes.iter().for_each(|futex| until_waiters(futex.word(), 0));
    });
}

/// `Waitv` calls all its threads back at once, and each leaves the kernel before `close` returns. `Thread` can't call its threads
/// back.
#[test]
fn closing_a_reactor_with_many_waits_leaves_no_waiter_and_soon_no_thread() {
    let Some(_alone) = alone() else { return };
    let waits = if backend() == Backend::Waitv { 2_000 } else { 200 };
    on_each_runtime(async || {
        let before = backend_threads();
        let reactor = Reactor::builder().backend(backend()).build().unwrap();
        let memory = SharedMemory::anonymous(4 * waits).unwrap();
        let futexes = (0..waits).map(|i| AsyncFutex::with_reactor(&reactor, memory.word(4 * i).unwrap()));
        let futexes: Vec<_> = futexes.collect();
        let mut pending: Vec<_> = futexes.iter().map(|futex| futex.wait_async(0)).collect();
        for wait in &mut pending {
            arm(wait).await;
        }
        futexes.iter().for_each(|futex| until_waiters(futex.word(), 1));
        assert!(backend_threads() >= before + 16, "{} threads", backend_threads());

        reactor.close();
        if reactor.backend() == Backend::Waitv {
            futexes.iter().for_each(|futex| assert_eq!(waiters(futex.word()), 0));
        }
        for wait in pending {
            assert_eq!(within(wait).await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        }
        until_within(LONGEST_PARK, || backend_threads() <= before);
        futexes.iter().for_each(|futex| assert_eq!(waiters(futex.word()), 0));
        until(|| (reactor.stats().units, reactor.stats().armed_now) == (0, 0));
    });
}
