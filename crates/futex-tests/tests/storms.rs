//! Waits that are dropped while wakes come: every wake that the kernel counted is seen by somebody.
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

/// Waiters that never give up, and so the number of wakes that are on their way at one time.
const PATIENT: u32 = 32;
/// Tasks that wait and give up. No more than that, so that on `Waitv` each wait has a thread of its own: with several on
/// one, a wait may end without a wake, and the account would not be exact.
const LEAVERS: usize = 12;

/// After each of which the accounts are settled.
const BURSTS: usize = 10;

/// How many waits a storm drops, on the backend under test.
fn drops() -> usize {
    match backend() {
        Backend::Uring => 100_000,
        // Each of them takes a thread out of the kernel and in again, or leaves one behind.
        _ => 40_000,
    }
}

/// What a task of a storm does with a wait: returns whether it has seen a wake.
trait Leaver: Clone + Send + 'static {
    fn wait(&self, futex: &AsyncFutex, rng: &mut Rng) -> impl Future<Output = bool> + Send;
}

/// Runs a storm, in bursts: tasks that give up waiting, waiters that do not, and wakes from everywhere. After each burst
/// the wakes that the kernel counted were seen by somebody, every one and once.
fn storm(name: &str, drops: usize, leaver: impl Leaver) {
    let word = zero();
    runtime().block_on(async {
        let reactor = Reactor::builder().backend(backend()).build().unwrap();
        let futex = AsyncFutex::with_reactor(&reactor, &word);
        let Some((account, patient)) = Account::open(&word, PATIENT).await else {
            return skip("the account needs waits that are in the kernel when their poll returns, which is io_uring");
        };
        let mut bursts = 0;
        // A burst in which no wake met a drop shows nothing; that ten of them do is out of the question.
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
        // A wait that a wake had ended when its owner left is among the woken ones.
        assert!(stats.cancelled + stats.handed_on >= drops as u64, "{stats:?}");
        let over = stats.woken + stats.mismatched + stats.cancelled + stats.failed + stats.closed;
        assert_eq!(stats.armed, over, "each wait is in one figure: {stats:?}");
        assert!(stats.handed_on > 0, "no wake met a drop: {stats:?}");
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
                // Wakes come from the workers too: on a machine with few processors a thread that wakes runs seldom.
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

/// Returns once the waits that were dropped are gone, and only the patient ones are left.
async fn settle(reactor: &Reactor, word: &Word) {
    while reactor.stats().armed_now > 0 {
        tokio::task::yield_now().await;
    }
    if reactor.backend() != Backend::Thread {
        // Its threads are left behind.
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
        // Zero is over after the first poll of the wait; the timer ticks in milliseconds.
        let patience = if rng.below(16) == 0 { Duration::from_millis(1) } else { Duration::ZERO };
        timeout(patience, futex.wait_async(0)).await.map(Result::unwrap).is_ok()
    }
}

#[test]
fn waits_that_time_out_swallow_no_wake() {
    storm("timeout", drops(), Timeout);
}

/// A task that waits, and is aborted by another one.
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

/// A wait that is dropped by a thread which has nothing to do with a runtime.
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

/// A wait that is begun in one task, and goes on in another one, or ends there undone.
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
