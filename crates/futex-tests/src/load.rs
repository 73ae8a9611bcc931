//! What the tests under load share: counting what is in use, random numbers, and waiters that never give up.

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

/// The backend that reactors get here where none is asked for.
///
/// # Panics
///
/// Where `FUTEX_BACKEND` names one that is not available.
#[must_use]
pub fn backend() -> Backend {
    static BACKEND: OnceLock<Backend> = OnceLock::new();
    *BACKEND.get_or_init(|| futex_core::Reactor::new().expect("a reactor on the chosen backend").backend())
}

/// A reactor of `futex-core` on a backend, or `None` if it is not available here, which is a skip.
#[must_use]
pub fn reactor_on(kind: Backend) -> Option<futex_core::Reactor> {
    match futex_core::Reactor::builder().backend(kind).build() {
        Ok(reactor) => Some(reactor),
        // No skip: this build has no such backend, as was asked for.
        Err(_) if kind == Backend::Uring && cfg!(not(feature = "uring")) => None,
        Err(error) => {
            skip(&error.to_string());
            None
        }
    }
}

/// A runtime with two workers that look for events often, even if there is always a task to run.
///
/// # Panics
///
/// Where the system has no thread or descriptor left.
#[must_use]
pub fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).event_interval(5).enable_all().build().expect("a runtime")
}

/// A word with the value 0.
#[must_use]
pub fn zero() -> Word {
    Word::from(Arc::new(AtomicU32::new(0)))
}

/// A wait that owns what it waits with.
pub type Boxed = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// A wait while the word of `futex` is 0.
#[must_use]
pub fn boxed(futex: &AsyncFutex) -> Boxed {
    let futex = futex.clone();
    Box::pin(async move { futex.wait_async(0).await })
}

/// Polls a wait once, with a waker that does nothing, and tells whether it is armed now.
///
/// # Panics
///
/// Where the wait ends with an error.
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

/// Is pending for `n` polls.
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

/// How many descriptors this process has open.
///
/// # Panics
///
/// Where `/proc` is not mounted.
#[must_use]
pub fn descriptors() -> usize {
    // One of them is that of the directory.
    std::fs::read_dir("/proc/self/fd").expect("/proc/self/fd").count() - 1
}

/// How many threads this process has.
///
/// # Panics
///
/// Where `/proc` is not mounted.
#[must_use]
pub fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("/proc/self/task").count()
}

/// Pseudo-random numbers, the same ones for the same seed.
#[derive(Debug)]
pub struct Rng(u64);

impl Rng {
    /// A sequence of its own for each seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap_or_default() % n
    }

    /// Puts `items` in another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// Waiters of one word that never give up, and the account of its wakes.
///
/// The word never changes, so that a wait that ends has seen a wake. The account is exact:
///
/// 1. These waiters are on `Uring`, whatever the backend under test: there, a wait whose first poll is over is in the kernel's
///    queue, while a thread is still on its way to it.
/// 2. Each arms its next wait before it says that it has seen a wake.
/// 3. A waker reserves its wakes, and there are never more reserved, and not seen, than there are of these waiters.
///
/// So at each moment one of them is in the queue for each wake that is still to come, and for each that a dropped wait has
/// consumed and hands on: no wake finds nobody.
#[derive(Debug)]
pub struct Account {
    word: Word,
    /// Wakes that were made or are about to be.
    reserved: AtomicU64,
    /// Wakes that somebody has seen.
    seen: AtomicU64,
    /// How many of those were seen by waiters that give up.
    seen_by_leavers: AtomicU64,
    patient: u32,
}

impl Account {
    /// An account of `word`'s wakes, with as many waiters that never give up as `patient` says. They live as long as the
    /// runtime, which is the current one. `None` where there is no io_uring.
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
                outcome.expect("a wait that nobody disturbs");
                unpublished += 1;
                wait.set(futex.wait_async(0));
            }
            self.seen.fetch_add(std::mem::take(&mut unpublished), Ordering::AcqRel);
            Poll::<()>::Pending
        })
        .await;
    }

    /// Says that a waiter which might have given up has seen a wake.
    pub fn see(&self) {
        self.seen_by_leavers.fetch_add(1, Ordering::Relaxed);
        self.seen.fetch_add(1, Ordering::AcqRel);
    }

    /// Wakes `n` waiters, or returns false where too many wakes have not been seen yet.
    ///
    /// # Panics
    ///
    /// Where there were less than `n` waiters.
    #[must_use]
    pub fn try_wake(&self, n: u32) -> bool {
        let reserve = |reserved: u64| {
            // Loaded after `reserved`, so it may be ahead of it, and is never behind.
            let unseen = reserved.saturating_sub(self.seen.load(Ordering::Acquire));
            (unseen + u64::from(n) <= u64::from(self.patient)).then_some(reserved + u64::from(n))
        };
        if self.reserved.fetch_update(Ordering::AcqRel, Ordering::Acquire, reserve).is_err() {
            return false;
        }
        assert_eq!(self.word.wake(n), n, "a waiter that never gives up was missing");
        true
    }

    /// Returns once every wake was seen, and checks that no more were.
    ///
    /// # Panics
    ///
    /// Where wakes were lost, or seen twice.
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

    /// How many wakes were made.
    #[must_use]
    pub fn wakes(&self) -> u64 {
        self.reserved.load(Ordering::Acquire)
    }

    /// How many wakes were seen by waiters that might have given up.
    #[must_use]
    pub fn seen_by_leavers(&self) -> u64 {
        self.seen_by_leavers.load(Ordering::Acquire)
    }
}

/// The waiters of an [`Account`].
#[derive(Debug)]
pub struct Patient {
    reactor: Reactor,
    tasks: Vec<JoinHandle<()>>,
}

impl Patient {
    /// Checks that all of them still wait, and ends them.
    ///
    /// # Panics
    ///
    /// Where one of them has ended.
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
