//! Waits are dropped while wakes come. Every wake that the kernel has counted must be seen by a waiter.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use futex_core::Backend;
use futex_tests::load::{Account, Boxed, Rng, backend, boxed, runtime, turns, zero};
use futex_tests::{skip, until_waiters};
use futex_tokio::{AsyncFutex, Reactor, Word};
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Number of waiters that never give up, which is also the maximum number of wakes that are not seen yet.
const PATIENT: u32 = 32;
/// Number of tasks that wait and give up. With so few, each wait on `Waitv` has a thread of its own. If several waits shared a
/// thread, a wait could end without a wake, and the account would not be exact.
const LEAVERS: usize = 12;

/// Number of bursts. The account is balanced after each one.
const BURSTS: usize = 10;

/// Returns the number of waits that a storm drops, for the backend under test.
fn drops() -> usize {
    match backend() {
        Backend::Uring => 100_000,
        // On these backends, a drop makes a thread leave the kernel and park again, or leaves a thread parked.
        _ => 40_000,
    }
}

/// The way in which a task of a storm gives up a wait. `wait` returns true if the task has seen a wake.
trait Leaver: Clone + Send + 'static {
    fn wait(&self, futex: &AsyncFutex, rng: &mut Rng) -> impl Future<Output = bool> + Send;
}

/// Runs a storm in bursts. Some tasks give up their waits, patient waiters do not, and tasks and a thread wake. After each burst,
/// each wake that the kernel has counted must have been seen exactly once.
fn storm(name: &str, drops: usize, leaver: impl Leaver) {
    let word = zero();
    runtime().block_on(async {
        let reactor = Reactor::builder().backend(backend()).build().unwrap();
        let futex = AsyncFutex::with_reactor(&reactor, &word);
        let Some((account, patient)) = Account::open(&word, PATIENT).await else {
            return skip(
                "the account needs io_uring, because only there a wait is in the kernel when its poll returns",
            );
        };
        let mut bursts = 0;
        // The test needs a wake that was handed on. If all bursts had none, there are more bursts, up to ten times as many.
        while bursts < BURSTS || (reactor.stats().handed_on == 0 && bursts < 10 * BURSTS) {
            burst(&futex, &account, &leaver, drops / BURSTS).await;
            account.balance();
            settle(&reactor, &word).await;
            account.balance();
            bursts += 1;
        }
        let stats = reactor.stats();
        println!(
            "{name}: {} waits of {} dropped when armed; {} wakes, {} of them seen by waiters that might have left, {} \
             handed on",
            stats.cancelled,
            stats.armed,
            account.wakes(),
            account.seen_by_leavers(),
            stats.handed_on,
        );
        // If a wake had ended a wait before its owner left, the wait is counted as woken.
        assert!(stats.cancelled + stats.handed_on >= drops as u64, "{stats:?}");
        let over = stats.woken + stats.mismatched + stats.cancelled + stats.failed + stats.closed;
        assert_eq!(stats.armed, over, "a wait is in no figure or in two: {stats:?}");
        assert!(stats.handed_on > 0, "no wake was handed on: {stats:?}");
        assert_eq!(stats.mismatched, 0, "{stats:?}");
        patient.leave().await;
    });
}

async fn burst(futex: &AsyncFutex, account: &Arc<Account>, leaver: &impl Leaver, drops: usize) {
    let over = Arc::new(AtomicBool::new(false));
    let waker = std::thread::spawn({
        let (account, over) = (account.clone(), over.clone());
        move || {
            while !over.load(Ordering::Relaxed) {
                let _ = account.try_wake(2);
                std::thread::yield_now();
            }
        }
    });
    let mut leavers = JoinSet::new();
    for seed in 0..LEAVERS {
        let (futex, account, leaver) = (futex.clone(), account.clone(), leaver.clone());
        leavers.spawn(async move {
            let mut rng = Rng::new(seed as u64);
            let mut dropped = 0;
            while dropped < drops.div_ceil(LEAVERS) {
                // The workers wake too, because the thread that wakes runs seldom on a machine with few processors.
                let _ = rng.below(2) == 0 && account.try_wake(1);
                if leaver.wait(&futex, &mut rng).await {
                    account.see();
                } else {
                    dropped += 1;
                }
            }
        });
    }
    while let Some(ended) = leavers.join_next().await {
        ended.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    waker.join().unwrap();
}

/// Returns when all dropped waits have ended, and only the patient waiters are left.
async fn settle(reactor: &Reactor, word: &Word) {
    while reactor.stats().armed_now > 0 {
        tokio::task::yield_now().await;
    }
    if reactor.backend() != Backend::Thread {
        // `Thread` leaves threads parked.
        until_waiters(word, PATIENT);
    }
}

#[derive(Clone)]
struct Select;

impl Leaver for Select {
    async fn wait(&self, futex: &AsyncFutex, rng: &mut Rng) -> bool {
        tokio::select! {
            biased;
            () = turns(1 + rng.below(6)), if rng.below(2) == 0 => false,
            woken = futex.wait_async(0) => woken.map(|()| true).unwrap(),
            () = turns(1 + rng.below(4)) => false,
        }
    }
}

#[test]
fn waits_that_lose_a_select_swallow_no_wake() {
    storm("select!", drops(), Select);
}

#[derive(Clone)]
struct Timeout;

impl Leaver for Timeout {
    async fn wait(&self, futex: &AsyncFutex, rng: &mut Rng) -> bool {
        // A timeout of zero ends after the first poll of the wait. The timer has a resolution of one millisecond.
        let patience = if rng.below(16) == 0 { Duration::from_millis(1) } else { Duration::ZERO };
        timeout(patience, futex.wait_async(0)).await.map(Result::unwrap).is_ok()
    }
}

#[test]
fn waits_that_time_out_swallow_no_wake() {
    storm("timeout", drops(), Timeout);
}

/// Another task aborts the task that waits.
#[derive(Clone)]
struct Abort;

impl Leaver for Abort {
    async fn wait(&self, futex: &AsyncFutex, rng: &mut Rng) -> bool {
        let task = tokio::spawn(boxed(futex));
        turns(1 + rng.below(6)).await;
        task.abort();
        match task.await {
            Ok(woken) => woken.map(|()| true).unwrap(),
            Err(error) => {
                assert!(error.is_cancelled());
                false
            }
        }
    }
}

#[test]
fn waits_of_aborted_tasks_swallow_no_wake() {
    storm("abort", drops() / 5, Abort);
}

/// A thread without a runtime drops the wait.
#[derive(Clone)]
struct Elsewhere(std::sync::mpsc::SyncSender<Boxed>);

impl Leaver for Elsewhere {
    async fn wait(&self, futex: &AsyncFutex, rng: &mut Rng) -> bool {
        let mut wait = boxed(futex);
        let mut polls = 1 + rng.below(4);
        let ended = poll_fn(|cx| {
            polls -= 1;
            match wait.as_mut().poll(cx) {
                Poll::Ready(woken) => Poll::Ready(Some(woken)),
                Poll::Pending if polls == 0 => Poll::Ready(None),
                Poll::Pending => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        });
        match ended.await {
            Some(woken) => woken.map(|()| true).unwrap(),
            None => {
                self.0.send(wait).unwrap();
                false
            }
        }
    }
}

#[test]
fn waits_that_another_thread_drops_swallow_no_wake() {
    let (send, receive) = std::sync::mpsc::sync_channel(4);
    let dropper = std::thread::spawn(move || receive.into_iter().for_each(drop::<Boxed>));
    storm("another thread", drops() / 5, Elsewhere(send));
    dropper.join().unwrap();
}

/// The wait begins in one task and moves to another task, which may drop it.
#[derive(Clone)]
struct Moved;

impl Leaver for Moved {
    async fn wait(&self, futex: &AsyncFutex, rng: &mut Rng) -> bool {
        let mut wait = boxed(futex);
        if let Poll::Ready(woken) = poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx))).await {
            return woken.map(|()| true).unwrap();
        }
        let patience = rng.below(6);
        tokio::spawn(async move {
            tokio::select! {
                biased;
                woken = wait => woken.map(|()| true).unwrap(),
                () = turns(patience) => false,
            }
        })
        .await
        .unwrap()
    }
}

#[test]
fn waits_that_move_between_tasks_swallow_no_wake() {
    storm("another task", drops() / 5, Moved);
}
