//! Wakers that panic. The panic of a waker must not affect others: every other waiter is woken, no wake is lost, and the process
//! continues. (For owners of words that panic, see `owners.rs`.)
//!
//! The stories: the reactor called and dropped wakers one after the other, and did not catch their panics.
//! 1. A panic in a turn inside Tokio's I/O driver left the turn before the driver had registered its waker for the next edge.
//!    Then all waits of that runtime slept forever, or `block_on` itself panicked.
//! 2. The rest of a batch was performed while the first panic unwound, so a second panic ended the process.
//! 3. A poll that arms a wait takes the completions that came before it. A panic there lost the slot of the new wait, so a wait
//!    without an owner stayed in the kernel and swallowed a wake.
//! 4. Closing stopped at the first queue that had such a waker.
//!
//! With `panic = "abort"` no panic can be caught, and the process ends.

use futex_tests::load::{Boxed, arms, backend, boxed, zero};
use futex_tests::{eventually, in_its_own_process, on_each_runtime, until_waiters, waiters, within, without_a_hang};
use futex_tokio::{AsyncFutex, Backend, Reactor, SharedMemory};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use tokio::runtime::Builder;

/// A waker that counts a call and then panics.
struct Panics {
    calls: Arc<AtomicU32>,
    when: When,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Woken,
    Dropped,
}

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        if self.when == When::Woken {
            self.calls.fetch_add(1, Ordering::Relaxed);
            panic!("a waker panics when it is called");
        }
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        if self.when == When::Dropped {
            self.calls.fetch_add(1, Ordering::Relaxed);
            panic!("a waker panics when it is dropped");
        }
    }
}

/// A waker that only counts its calls.
struct Counts(Arc<AtomicU32>);

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Arms a wait. It then has the last handle to the waker.
fn arm_with(wait: &mut Boxed, waker: Waker) {
    assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending(), "a wait is over already");
    // The wait has a clone, so this is not the last handle and does not panic.
    drop(waker);
}

/// Returns a reactor, and `count` futexes on words of the value 0.
fn futexes(count: usize) -> (Reactor, Vec<AsyncFutex>) {
    let reactor = Reactor::builder().backend(backend()).build().expect("a reactor");
    let memory = SharedMemory::anonymous(4 * count).expect("memory");
    let word = |index| memory.word(4 * index).expect("a word");
    let futexes = (0..count).map(|index| AsyncFutex::with_reactor(&reactor, word(index))).collect();
    (reactor, futexes)
}

/// Changes all words first, and wakes afterwards. A thread of `Waitv` that returns for the first wake finds all words changed, so
/// that one turn ends all waits.
fn change_and_wake_each(futexes: &[AsyncFutex]) {
    for futex in futexes {
        futex.word().store(1, Ordering::Release);
    }
    for futex in futexes {
        futex.word().wake(1);
    }
}

/// Checks that a wait on a new word with this reactor is armed and woken.
async fn still_works(reactor: &Reactor) {
    let futex = AsyncFutex::with_reactor(reactor, zero());
    let wait = tokio::spawn(boxed(&futex));
    eventually(|| waiters(futex.word()) == 1).await;
    change_and_wake_each(&[futex]);
    within(wait).await.expect("no panic").expect("a wake");
}

#[test]
fn all_other_waits_are_woken_if_a_waker_panics_in_a_turn_inside_tokio() {
    for when in [When::Woken, When::Dropped] {
        without_a_hang(move || {
            on_each_runtime(async || {
                for _ in 0..10 {
                    one_of_a_hundred_panics(when).await;
                }
            });
        });
    }
}

async fn one_of_a_hundred_panics(when: When) {
    // The index of a wait in the second batch of a turn, if the turn has all completions.
    const BAD: usize = 50;
    let (reactor, futexes) = futexes(100);
    let calls = Arc::new(AtomicU32::new(0));
    let mut bad = None;
    let mut others = Vec::new();
    for (index, futex) in futexes.iter().enumerate() {
        let mut wait = boxed(futex);
        if index == BAD {
            arm_with(&mut wait, Waker::from(Arc::new(Panics { calls: calls.clone(), when })));
            bad = Some(wait);
        } else {
            assert!(arms(&mut wait)); // armed here, so that the waits are armed in order
            others.push(tokio::spawn(wait));
        }
    }
    for futex in &futexes {
        eventually(|| waiters(futex.word()) == 1).await;
    }
    change_and_wake_each(&futexes);
    for other in others {
        within(other).await.expect("no panic").expect("a wake");
    }
    // The wait whose waker panicked has ended too.
    eventually(|| calls.load(Ordering::Relaxed) == 1).await;
    within(bad.expect("a wait")).await.expect("a wake");
    still_works(&reactor).await;
}

#[test]
fn a_batch_of_wakers_that_all_panic_does_not_end_the_process() {
    in_its_own_process("a_batch_of_wakers_that_all_panic_does_not_end_the_process", || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            for _ in 0..10 {
                let (reactor, futexes) = futexes(64);
                let calls = Arc::new(AtomicU32::new(0));
                let mut waits: Vec<_> = futexes.iter().map(boxed).collect();
                for (wait, when) in waits.iter_mut().zip([When::Woken, When::Dropped].into_iter().cycle()) {
                    arm_with(wait, Waker::from(Arc::new(Panics { calls: calls.clone(), when })));
                }
                change_and_wake_each(&futexes);
                eventually(|| calls.load(Ordering::Relaxed) == 64).await;
                for wait in waits {
                    within(wait).await.expect("a wake");
                }
                still_works(&reactor).await;
            }
        });
    });
}

#[test]
fn a_waker_that_panics_while_another_wait_is_armed_leaves_no_waiter_in_the_kernel() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (_reactor, futexes) = futexes(2);
        let [first, second] = &futexes[..] else { unreachable!("there are two") };
        for _ in 0..100 {
            let calls = Arc::new(AtomicU32::new(0));
            let mut woken = boxed(first);
            arm_with(&mut woken, Waker::from(Arc::new(Panics { calls: calls.clone(), when: When::Woken })));
            eventually(|| first.word().wake(1) == 1).await;
            // On `Uring` there is no turn before the next poll, so the poll that arms this wait finds the completion.
            let mut wait = boxed(second);
            let armed = catch_unwind(AssertUnwindSafe(|| arms(&mut wait)));
            drop(wait);

            let mut live = boxed(second);
            assert!(arms(&mut live));
            eventually(|| second.word().wake(1) == 1).await;
            within(live).await.expect("the live wait receives the wake");
            assert!(matches!(armed, Ok(true)), "the panic of a waker left the poll");
            within(woken).await.expect("a wake");
        }
    });
}

/// Arms more waits than a queue takes, closes the reactor, and checks that each of them has ended.
fn close_with(waker: impl Fn(usize) -> Waker) -> std::thread::Result<()> {
    let (reactor, futexes) = futexes(300);
    let mut waits: Vec<_> = futexes.iter().map(boxed).collect();
    for (index, wait) in waits.iter_mut().enumerate() {
        arm_with(wait, waker(index));
    }
    for futex in &futexes {
        until_waiters(futex.word(), 1);
    }
    let closed = catch_unwind(AssertUnwindSafe(|| reactor.close()));
    for (futex, mut wait) in futexes.iter().zip(waits) {
        let Poll::Ready(Err(error)) = wait.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("the wait of a closed reactor has not ended with an error");
        };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        if reactor.backend() == Backend::Thread {
            futex.word().wake(1); // ends the thread that is still parked
        } else {
            assert_eq!(waiters(futex.word()), 0, "a waiter was left in the kernel");
        }
    }
    assert_eq!(reactor.stats().armed_now, 0);
    closed
}

#[test]
fn closing_ends_the_waits_of_all_queues_although_a_waker_panics() {
    for bad in [0, 150, 299] {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _entered = runtime.enter();
        let (calls, others) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let closed = close_with(|index| match index == bad {
            true => Waker::from(Arc::new(Panics { calls: calls.clone(), when: When::Woken })),
            false => Waker::from(Arc::new(Counts(others.clone()))),
        });
        assert_eq!((calls.load(Ordering::Relaxed), others.load(Ordering::Relaxed)), (1, 299));
        closed.expect("the panic of a waker left `close`");
    }
}

#[test]
fn closing_ends_the_waits_of_all_queues_although_all_wakers_panic() {
    in_its_own_process("closing_ends_the_waits_of_all_queues_although_all_wakers_panic", || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _entered = runtime.enter();
        let calls = Arc::new(AtomicU32::new(0));
        let closed = close_with(|index| {
            let when = if index % 2 == 0 { When::Woken } else { When::Dropped };
            Waker::from(Arc::new(Panics { calls: calls.clone(), when }))
        });
        assert_eq!(calls.load(Ordering::Relaxed), 300);
        closed.expect("the panic of a waker left `close`");
    });
}

#[test]
fn the_shutdown_of_a_runtime_closes_its_reactors_although_all_wakers_panic() {
    in_its_own_process("the_shutdown_of_a_runtime_closes_its_reactors_although_all_wakers_panic", || {
        for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
            let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime");
            let (reactor, futexes) = runtime.block_on(async { futexes(300) });
            let calls = Arc::new(AtomicU32::new(0));
            let mut waits: Vec<_> = futexes.iter().map(boxed).collect();
            for wait in &mut waits {
                arm_with(wait, Waker::from(Arc::new(Panics { calls: calls.clone(), when: When::Woken })));
            }
            drop(runtime);
            assert_eq!(calls.load(Ordering::Relaxed), 300);
            drop(waits);
            assert_eq!(reactor.stats().armed_now, 0);
            for futex in &futexes {
                futex.word().wake(1); // ends the threads that `Thread` has left parked
            }
        }
    });
}

#[test]
fn the_next_wait_is_woken_although_the_waker_of_a_dropped_wait_panics() {
    on_each_runtime(async || {
        let (reactor, futexes) = futexes(1);
        let futex = &futexes[0];
        let calls = Arc::new(AtomicU32::new(0));
        let mut wait = boxed(futex);
        arm_with(&mut wait, Waker::from(Arc::new(Panics { calls: calls.clone(), when: When::Dropped })));
        until_waiters(futex.word(), 1);
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(wait)));
        eventually(|| calls.load(Ordering::Relaxed) == 1).await;

        let mut live = boxed(futex);
        assert!(arms(&mut live));
        eventually(|| futex.word().wake(1) == 1).await;
        within(live).await.expect("the live wait receives the wake");
        dropped.expect("the panic of a waker left the drop of a wait");
        still_works(&reactor).await;
    });
}
