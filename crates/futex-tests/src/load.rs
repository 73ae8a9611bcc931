//! Helpers for tests under load: counts of resources, random numbers, and waiters that never give up.

use crate::skip::skip;
use futex_core::Backend;
use futex_sys::Word;
use futex_tokio::{AsyncFutex, Reactor};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// Returns the backend that a reactor gets here if the caller chooses none.
///
/// # Panics
///
/// If `FUTEX_BACKEND` names a backend that is not available.
#[must_use]
pub fn backend() -> Backend {
    static BACKEND: OnceLock<Backend> = OnceLock::new();
    *BACKEND.get_or_init(|| futex_core::Reactor::new().expect("a reactor on the chosen backend").backend())
}

/// Returns a reactor of `futex-core` on a backend. If that backend is not available here, skips the test and returns `None`.
#[must_use]
pub fn reactor_on(kind: Backend) -> Option<futex_core::Reactor> {
    match futex_core::Reactor::builder().backend(kind).build() {
        Ok(reactor) => Some(reactor),
        // This is not a skip: the build was asked to leave this backend out.
        Err(_) if kind == Backend::Uring && cfg!(not(feature = "uring")) => None,
        Err(error) => {
            skip(&error.to_string());
            None
        }
    }
}

/// Returns a runtime with two workers that poll for events often, even if there is always a task to run.
///
/// # Panics
///
/// If the system has no threads or descriptors left.
#[must_use]
pub fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).event_interval(5).enable_all().build().expect("a runtime")
}

/// Returns a new word with the value 0.
#[must_use]
pub fn zero() -> Word {
    Word::from(Arc::new(AtomicU32::new(0)))
}

/// A wait that owns its futex.
pub type Boxed = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// Returns a wait while the word of `futex` is 0.
#[must_use]
pub fn boxed(futex: &AsyncFutex) -> Boxed {
    let futex = futex.clone();
    Box::pin(async move { futex.wait_async(0).await })
}

/// Polls a wait once, with a waker that does nothing. Returns true if the wait is armed now.
///
/// # Panics
///
/// If the wait ends with an error.
#[must_use]
pub fn arms(wait: &mut Boxed) -> bool {
    match wait.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => true,
        Poll::Ready(ended) => {
            ended.expect("a wait");
            false
        }
    }
}

/// Waits until it has been polled `n` times.
pub async fn turns(mut n: usize) {
    poll_fn(|cx| {
        if n == 0 {
            return Poll::Ready(());
        }
        n -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Returns the number of open descriptors of this process.
///
/// # Panics
///
/// If `/proc` is not mounted.
#[must_use]
pub fn descriptors() -> usize {
    // One of them is the descriptor of the directory.
    std::fs::read_dir("/proc/self/fd").expect("/proc/self/fd").count() - 1
}

/// Returns the number of threads of this process.
///
/// # Panics
///
/// If `/proc` is not mounted.
#[must_use]
pub fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("/proc/self/task").count()
}

/// Pseudo-random numbers, which are the same for the same seed.
#[derive(Debug)]
pub struct Rng(u64);

impl Rng {
    /// Begins the sequence of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns a number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap_or_default() % n
    }

    /// Puts `items` in a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// An exact account of the wakes of one word, which has patient waiters: tasks that never give up.
///
/// The word never changes, so a wait that ends has seen a wake. Each wake finds a waiter, because
///
/// 1. the patient waiters are on `Uring`, whatever the backend under test is. There, a wait is in the kernel's queue after its
///    first poll. On the other backends, its thread may not have parked yet;
/// 2. a patient waiter arms its next wait before it reports that it has seen a wake;
/// 3. a waker reserves its wakes first. The number of wakes that are reserved and not seen never exceeds the number of patient
///    waiters.
///
/// So at each moment, the queue has a patient waiter for each wake that is still to come, and for each wake that a dropped wait
/// has consumed and hands on.
#[derive(Debug)]
pub struct Account {
    word: Word,
    /// Number of wakes that were made or are about to be made.
    reserved: AtomicU64,
    /// Number of wakes that a waiter has seen.
    seen: AtomicU64,
    /// Number of wakes that were seen by waiters that may give up.
    seen_by_leavers: AtomicU64,
    /// Number of patient waiters.
    patient: u32,
}

impl Account {
    /// Opens an account of the wakes of `word`, with `patient` waiters that never give up. They are tasks of the current
    /// runtime. Returns `None` if io_uring is not available.
    pub async fn open(word: &Word, patient: u32) -> Option<(Arc<Self>, Patient)> {
        let reactor = Reactor::builder().backend(Backend::Uring).build().ok()?;
        let account = Arc::new(Self {
            word: word.clone(),
            reserved: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            seen_by_leavers: AtomicU64::new(0),
            patient,
        });
        let futex = AsyncFutex::with_reactor(&reactor, word);
        let tasks = (0..patient).map(|_| tokio::spawn(account.clone().wait_for_ever(futex.clone()))).collect();
        while reactor.stats().armed_now < patient as usize {
            tokio::task::yield_now().await;
        }
        Some((account, Patient { reactor, tasks }))
    }

    async fn wait_for_ever(self: Arc<Self>, futex: AsyncFutex) {
        let mut wait = pin!(futex.wait_async(0));
        let mut unpublished = 0;
        poll_fn(|cx| {
            while let Poll::Ready(outcome) = wait.as_mut().poll(cx) {
                outcome.expect("the wait does not fail");
                unpublished += 1;
                wait.set(futex.wait_async(0));
            }
            self.seen.fetch_add(std::mem::take(&mut unpublished), Ordering::AcqRel);
            Poll::<()>::Pending
        })
        .await;
    }

    /// Counts a wake that was seen by a waiter that might have given up.
    pub fn see(&self) {
        self.seen_by_leavers.fetch_add(1, Ordering::Relaxed);
        self.seen.fetch_add(1, Ordering::AcqRel);
    }

    /// Wakes `n` waiters and returns true. Returns false if too many wakes have not been seen yet.
    ///
    /// # Panics
    ///
    /// If the kernel found fewer than `n` waiters.
    #[must_use]
    pub fn try_wake(&self, n: u32) -> bool {
        let reserve = |reserved: u64| {
            // `seen` is loaded after `reserved`, so it may be newer, and is never older.
            let unseen = reserved.saturating_sub(self.seen.load(Ordering::Acquire));
            (unseen + u64::from(n) <= u64::from(self.patient)).then_some(reserved + u64::from(n))
        };
        if self.reserved.fetch_update(Ordering::AcqRel, Ordering::Acquire, reserve).is_err() {
            return false;
        }
        assert_eq!(self.word.wake(n), n, "a waiter that never gives up was missing");
        true
    }

    /// Returns when every wake was seen. Checks that no wake was seen twice.
    ///
    /// # Panics
    ///
    /// If wakes were lost, or seen twice.
    pub fn balance(&self) {
        let start = std::time::Instant::now();
        let figures = || (self.reserved.load(Ordering::Acquire), self.seen.load(Ordering::Acquire));
        loop {
            let (reserved, seen) = figures();
            assert!(seen <= reserved, "{reserved} wakes were counted by the kernel, and {seen} were seen");
            if seen == reserved {
                return;
            }
            let waited = start.elapsed().as_secs();
            assert!(waited < 20, "{reserved} wakes were counted by the kernel, and only {seen} were seen");
            std::thread::yield_now();
        }
    }

    /// Returns the number of wakes that were made.
    #[must_use]
    pub fn wakes(&self) -> u64 {
        self.reserved.load(Ordering::Acquire)
    }

    /// Returns the number of wakes that were seen by waiters that might have given up.
    #[must_use]
    pub fn seen_by_leavers(&self) -> u64 {
        self.seen_by_leavers.load(Ordering::Acquire)
    }
}

/// The patient waiters of an [`Account`].
#[derive(Debug)]
pub struct Patient {
    reactor: Reactor,
    tasks: Vec<JoinHandle<()>>,
}

impl Patient {
    /// Checks that all patient waiters still wait, and ends them.
    ///
    /// # Panics
    ///
    /// If a patient waiter has ended.
    pub async fn leave(self) {
        assert_eq!(self.reactor.stats().armed_now, self.tasks.len());
        for task in &self.tasks {
            task.abort();
        }
        for task in self.tasks {
            assert!(task.await.is_err_and(|error| error.is_cancelled()));
        }
    }
}
