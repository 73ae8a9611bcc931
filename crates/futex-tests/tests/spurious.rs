//! Loops over waits, while there are many wakes without a change, or many changes.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use futex_tests::load::{Rng, runtime, zero};
use futex_tokio::{AsyncFutex, Word};
use futures_util::StreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::time::timeout;

/// A timeout that is longer than any wake takes.
const LONG: Duration = Duration::from_secs(60);

/// A thread that does something again and again until this is dropped.
struct Meanwhile {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Meanwhile {
    fn run(mut something: impl FnMut() + Send + 'static) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let over = over.clone();
            move || {
                while !over.load(Ordering::Relaxed) {
                    something();
                }
            }
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Meanwhile {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join).unwrap().unwrap();
    }
}

/// Wakes all waiters again and again, without a change.
fn wakes_for_nothing(word: &Word) -> Meanwhile {
    let word = word.clone();
    Meanwhile::run(move || {
        word.wake(u32::MAX);
        std::thread::yield_now();
    })
}

#[test]
fn wait_until_returns_a_value_that_satisfies_its_predicate_under_many_wakes() {
    const LAST: u32 = 4_000;
    let word = zero();
    let _wakes = wakes_for_nothing(&word);
    runtime().block_on(async {
        let futex = AsyncFutex::new(&word).unwrap();
        let waiters: Vec<_> = (0..8)
            .map(|offset| {
                let futex = futex.clone();
                tokio::spawn(async move {
                    for wanted in (offset..=LAST).step_by(8) {
                        let mut satisfied = None;
                        let value = futex
                            .wait_until(|value| {
                                satisfied = (value >= wanted).then_some(value);
                                satisfied.is_some()
                            })
                            .await
                            .unwrap();
                        // The result is the value of the last call of the predicate.
                        assert_eq!(Some(value), satisfied);
                        assert!(value >= wanted);
                    }
                })
            })
            .collect();
        let mut rng = Rng::new(1);
        for value in 1..=LAST {
            word.store(value, Ordering::Release);
            word.wake(u32::MAX);
            if rng.below(2) == 0 {
                tokio::task::yield_now().await;
            }
        }
        for waiter in waiters {
            timeout(LONG, waiter).await.expect("the last value satisfies all predicates").unwrap();
        }
    });
}

#[test]
fn changes_under_a_fast_producer_are_in_order_and_reach_the_last_value() {
    const LAST: u32 = 200_000;
    for _ in 0..3 {
        let word = zero();
        let _wakes = wakes_for_nothing(&word);
        let producer = std::thread::spawn({
            let word = word.clone();
            move || {
                let mut rng = Rng::new(1);
                for value in 1..=LAST {
                    word.store(value, Ordering::Release); // change the word,
                    word.wake(1); //                         then wake
                    if rng.below(512) == 0 {
                        std::thread::yield_now();
                    }
                }
            }
        });
        runtime().block_on(async {
            let mut changes = AsyncFutex::new(&word).unwrap().changes(0);
            let mut seen = 0;
            let mut last = 0;
            while last < LAST {
                let value = timeout(LONG, changes.next()).await.expect("the last value was missed").unwrap().unwrap();
                assert!(value > last, "{value} after {last}");
                last = value;
                seen += 1;
            }
            println!("{seen} of {LAST} values seen");
            assert_eq!(changes.last_seen(), LAST);
        });
        producer.join().unwrap();
    }
}

/// Checks that a task that runs `turn` again and again lets another task of its thread run.
fn lets_others_run(turn: impl AsyncFn(&AsyncFutex, u32) -> u32) {
    let word = zero();
    let _changes = Meanwhile::run({
        let word = word.clone();
        move || {
            word.fetch_add(1, Ordering::Release);
            word.wake(u32::MAX);
        }
    });
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ran = Arc::new(AtomicBool::new(false));
        let other = tokio::spawn({
            let ran = ran.clone();
            async move { ran.store(true, Ordering::Relaxed) }
        });
        let futex = AsyncFutex::new(&word).unwrap();
        let mut last = 0;
        let mut turns = 0;
        while !ran.load(Ordering::Relaxed) {
            last = turn(&futex, last).await;
            turns += 1;
            assert!(turns < 1_000_000, "another task did not run within a million turns");
        }
        other.await.unwrap();
    });
}

#[test]
fn wait_until_on_a_word_that_changes_all_the_time_lets_other_tasks_run() {
    lets_others_run(async |futex, last| futex.wait_until(|value| value != last).await.unwrap());
}

#[test]
fn changes_of_a_word_that_changes_all_the_time_let_other_tasks_run() {
    lets_others_run(async |futex, last| futex.changes(last).next().await.unwrap().unwrap());
}
