//! Helpers for the tests of the real backends.
#![allow(dead_code, reason = "each test file uses a part of this module")]

use futex_core::{Backend, Reactor, Stats, Word};
use futex_sys::futex::{self, Scope};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const BACKENDS: [Backend; 3] = [Backend::Uring, Backend::Waitv, Backend::Thread];

/// Time after which a test fails if something has not happened.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Makes a reactor on a backend. If that backend is not available here, prints the reason and returns `None`, or panics if
/// `FUTEX_TESTS_FORBID_SKIPS` is set.
pub(crate) fn reactor(kind: Backend) -> Option<Reactor> {
    match Reactor::builder().backend(kind).build() {
        Ok(reactor) => Some(reactor),
        // This is not a skip: the build has no such backend on purpose.
        Err(_) if kind == Backend::Uring && cfg!(not(feature = "uring")) => None,
        Err(error) => {
            assert!(std::env::var_os("FUTEX_TESTS_FORBID_SKIPS").is_none(), "skips are forbidden: {error}");
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

/// Makes a reactor on each backend that is available here.
pub(crate) fn reactors() -> impl Iterator<Item = Reactor> {
    BACKENDS.into_iter().filter_map(reactor)
}

/// Returns the statistics of a reactor, and asserts that they add up.
#[track_caller]
pub(crate) fn stats(reactor: &Reactor) -> Stats {
    let stats = reactor.stats();
    let Stats { armed, armed_now, woken, mismatched, cancelled, failed, closed, .. } = stats;
    assert_eq!(armed, armed_now as u64 + woken + mismatched + cancelled + failed + closed, "{stats:?}");
    stats
}

/// Makes a word of value 0.
pub(crate) fn word() -> Word {
    Word::from(Arc::new(AtomicU32::new(0)))
}

/// Waits, yielding the processor, until `so` returns true.
#[track_caller]
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < PATIENCE, "not in {PATIENCE:?}: {what}");
        thread::yield_now();
    }
}

/// A pseudo-random generator. The same seed gives the same numbers.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    /// Returns a number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

/// A guard that has moved the waiters of a word to another word.
pub(crate) struct Away {
    word: Word,
    number: u32,
    _alone: MutexGuard<'static, ()>,
}

static AWAY: AtomicU32 = AtomicU32::new(0);

impl Away {
    /// Moves the waiters away, in their order. Nobody may wake them until they are back.
    pub(crate) fn take(word: &Word) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut away = Self { word: word.clone(), number: 0, _alone: alone };
        away.take_more();
        away
    }

    fn take_more(&mut self) {
        self.number += futex::requeue(&self.word, &AWAY, Scope::Shared, 0, u32::MAX).expect("both words are mapped");
    }

    /// Moves the waiters back when there are `expected` of them. The waiters that came meanwhile stay behind the others.
    #[track_caller]
    pub(crate) fn bring_back(mut self, expected: u32) {
        until("the waits that have begun are in the kernel", || {
            self.take_more();
            self.number >= expected
        });
        assert_eq!(self.number, expected, "waiters in the kernel");
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        let back = futex::requeue(&AWAY, &self.word, Scope::Shared, 0, u32::MAX).expect("both words are mapped");
        // Fewer may come back: a thread of `Waitv` may have left the kernel.
        assert!(back <= self.number);
    }
}

/// Returns the number of waiters that the kernel has for `word`.
pub(crate) fn waiters(word: &Word) -> u32 {
    word.waiters().expect("the word is mapped")
}

/// Waits until the kernel has `expected` waiters for `word`.
#[track_caller]
pub(crate) fn until_waiting(word: &Word, expected: u32) {
    until(&format!("{expected} waiters in the kernel"), || waiters(word) == expected);
}

/// Wakes the only wait on a word, without a change of the word. On `Thread` the wait may be outside of the kernel, since its
/// thread parks anew from time to time (first when the wait is 10 ms old). Then the wake is repeated.
#[track_caller]
pub(crate) fn wake_bare(reactor: &Reactor, word: &Word) {
    let counted = word.wake(1);
    assert!(counted == 1 || reactor.backend() == Backend::Thread, "the kernel does not have the wait");
    until("the kernel counts a wake", || counted == 1 || word.wake(1) == 1);
}

/// A task that remembers whether it was woken.
#[derive(Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn new() -> (Arc<Self>, Waker) {
        let flag = Arc::new(Self::default());
        (flag.clone(), Waker::from(flag))
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}
