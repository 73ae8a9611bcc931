//! Waits that are over leave no slot, thread, descriptor or memory.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use futex_core::{Backend, MATCH_ANY};
use futex_tests::load::{Rng, arms, backend, boxed, descriptors, runtime, threads, turns, zero};
use futex_tests::{until, until_waiters, waiters};
use futex_tokio::{AsyncFutex, Reactor, Word};
use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// Lets one test run at a time, because the tests count the resources of the process. The harness runs each test in its own
/// thread, so the counts of threads may differ by one.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The resources of the process at an earlier time.
struct Before {
    descriptors: usize,
    threads: usize,
}

impl Before {
    /// Counts the resources. The caller has already made everything that stays.
    fn now() -> Self {
        Self { descriptors: descriptors(), threads: threads() }
    }

    /// Waits until the process has no more descriptors and threads than before. Idle threads end after a short time.
    fn check(&self) {
        until(|| descriptors() <= self.descriptors);
        // A thread of the harness that waits for its turn in `alone` may be new.
        until(|| threads() <= self.threads + 1);
    }
}

/// Ends the waits of threads that `Thread` has left parked. The change of the word ends the wait of a thread that has not parked
/// yet.
fn clear(words: &[Word]) {
    for word in words {
        word.store(1, Ordering::Release);
        word.wake(u32::MAX);
    }
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Opens all files that stay open, such as those of Tokio's signal handling.
fn warm_up() {
    current_thread().block_on(async {
        let futex = AsyncFutex::new(zero()).unwrap();
        assert!(arms(&mut boxed(&futex)));
        clear(&[futex.word().clone()]);
    });
}

#[test]
fn a_storm_leaves_no_slot_and_no_waiter() {
    let _alone = alone();
    warm_up();
    let before = Before::now();
    let words: Vec<_> = (0..100).map(|_| zero()).collect();
    let runtime = runtime();
    runtime.block_on(async {
        let reactor = Reactor::current().unwrap();
        let tasks = (0..20).map(|seed| {
            let words = words.clone();
            tokio::spawn(async move {
                let mut rng = Rng::new(seed);
                for _ in 0..1_000 {
                    let futex = AsyncFutex::new(&words[rng.below(words.len())]).unwrap();
                    let mut waits: Vec<_> = (0..rng.below(4)).map(|_| boxed(&futex)).collect();
                    for wait in &mut waits {
                        let _ = arms(wait); // false if the wait received a wake that was handed on
                    }
                    if rng.below(2) == 0 {
                        futex.wake(rng.below(3) as u32);
                    }
                    turns(rng.below(3)).await;
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        while reactor.stats().armed_now > 0 {
            tokio::task::yield_now().await;
        }
        let stats = reactor.stats();
        println!("{stats:?}");
        assert!(stats.armed > 10_000 && stats.woken > 0 && stats.cancelled > 0, "{stats:?}");
        if reactor.backend() != Backend::Thread {
            words.iter().for_each(|word| until_waiters(word, 0));
        }
    });
    clear(&words);
    words.iter().for_each(|word| until_waiters(word, 0));
    drop(runtime);
    before.check();
}

/// 201 threads of `Thread` were left parked, each until it received a wake. A wake of all counted 200 waiters, although nobody
/// waited.
#[test]
fn timeouts_on_a_word_that_changes_leave_few_threads_parked_and_soon_none() {
    let _alone = alone();
    warm_up();
    // `Waitv` has threads like those of `Thread` for waits with a mask.
    for mask in [MATCH_ANY, NonZeroU32::MIN] {
        let before = Before::now();
        let word = zero();
        let runtime = current_thread();
        runtime.block_on(async {
            let futex = AsyncFutex::new(&word).unwrap();
            for value in 0..200 {
                word.store(value, Ordering::Release);
                let ended = timeout(Duration::from_millis(1), futex.wait_async_masked(value, mask)).await;
                assert!(ended.is_err(), "the wait ended without a wake: {ended:?}");
            }
        });
        let (left, counted) = (threads().saturating_sub(before.threads), word.wake(u32::MAX));
        println!("{left} threads were left, and {counted} were woken");
        assert!(left <= 32 && counted <= 32, "{left} threads were left, and {counted} were woken");
        // Some threads are still parked when the runtime shuts down.
        runtime.block_on(async {
            let futex = AsyncFutex::new(&word).unwrap();
            for value in 200..220 {
                word.store(value, Ordering::Release);
                let _ = timeout(Duration::from_millis(1), futex.wait_async_masked(value, mask)).await;
            }
        });
        drop(runtime);
        until_waiters(&word, 0);
        before.check();
    }
}

#[test]
fn five_hundred_runtimes_that_end_with_waits_pending_leave_nothing() {
    let _alone = alone();
    warm_up();
    let before = Before::now();
    for n in 0..500 {
        // Each round has new words, because a thread that `Thread` has left parked may hand a wake on later.
        let words = [zero(), zero(), zero()];
        let runtime = if n % 10 == 0 { runtime() } else { current_thread() };
        let [first, second, third] = runtime.block_on(async { [0, 1, 2].map(|i| AsyncFutex::new(&words[i]).unwrap()) });
        let mut outlives = boxed(&third);
        runtime.block_on(async {
            tokio::spawn(async move { first.wait_async(0).await });
            tokio::task::yield_now().await;
            if n % 100 == 0 {
                let mut forgotten = boxed(&second);
                assert!(arms(&mut forgotten));
                std::mem::forget(forgotten);
            }
        });
        assert!(arms(&mut outlives));
        drop(runtime);
        if backend() == Backend::Thread {
            // The threads stay parked until their word is woken.
            clear(&words);
        } else {
            assert_eq!(words.iter().map(waiters).sum::<u32>(), 0);
        }
        drop(outlives);
    }
    // A forgotten wait keeps its reactor, which keeps the runtime's epoll. Other waits leave nothing.
    let forgotten = 5;
    Before { descriptors: before.descriptors + 10 * forgotten, ..before }.check();
}

#[test]
fn reactors_come_and_go_in_one_runtime() {
    let _alone = alone();
    warm_up();
    let runtime = current_thread();
    runtime.block_on(async {
        let before = Before::now();
        for _ in 0..500 {
            let words = [zero(), zero()];
            let reactor = Reactor::builder().build().unwrap();
            let [mut first, mut second] =
                [&words[0], &words[1]].map(|word| boxed(&AsyncFutex::with_reactor(&reactor, word)));
            assert!(arms(&mut first) && arms(&mut second));
            drop(second);
            drop(reactor); // the wait has another handle to it
            drop(first);
            if backend() == Backend::Thread {
                clear(&words);
            } else {
                assert_eq!(words.iter().map(waiters).sum::<u32>(), 0);
            }
        }
        before.check();
    });
}

/// Returns the number of bytes of memory that this process uses.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    1024 * line.trim().trim_end_matches(" kB").parse::<usize>().unwrap()
}

#[test]
fn a_long_loop_of_waits_needs_no_more_memory_than_a_short_one() {
    let _alone = alone();
    current_thread().block_on(async {
        let futex = AsyncFutex::new(zero()).unwrap();
        let mut rng = Rng::new(3);
        let mut rounds = async |n: usize| {
            for _ in 0..n {
                let mut waits: Vec<_> = (0..4).map(|_| boxed(&futex)).collect();
                for wait in &mut waits {
                    let _ = arms(wait); // false if the wait received a wake that was handed on
                }
                futex.wake(rng.below(4) as u32);
                tokio::task::yield_now().await;
            }
        };
        rounds(2_000).await;
        let before = resident();
        rounds(20_000).await;
        let grown = resident().saturating_sub(before);
        println!("grown by {grown} bytes");
        // For 80,000 waits, even 14 bytes per wait exceed this limit.
        assert!(grown < 1 << 20, "grown by {grown} bytes");
        clear(&[futex.word().clone()]);
    });
}
