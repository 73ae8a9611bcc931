//! The statistics add up in each sample, while threads arm, wake and drop waits, end, and close the reactor, and while
//! descriptors run out. The limit of descriptors applies to the whole process, so this test is alone in its program.
#![cfg(not(loom))]

mod common;

use common::{Rng, reactors, stats, until, word};
use futex_core::{Backend, Outcome, Reactor, Stats, Target, WaitAny, Waiter, Word};
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;

const THREADS: usize = 3;

struct Storm {
    reactor: Reactor,
    words: Vec<Word>,
    /// Maximum number of waits per thread.
    waits: usize,
    /// Number of wakes that owners saw.
    seen: AtomicU64,
    steps: AtomicU64,
    over: AtomicBool,
}

impl Storm {
    fn note(&self, outcome: &io::Result<Outcome>) {
        match outcome {
            Ok(Outcome::Woken) => _ = self.seen.fetch_add(1, Ordering::Relaxed),
            Ok(Outcome::Mismatch) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{error}"),
        }
    }

    /// Runs a short-lived thread. It leaves armed waits behind in `waits`, for the next thread.
    fn live(&self, rng: &mut Rng, waits: &mut Vec<(Waiter, usize)>) {
        let cx = &mut Context::from_waker(Waker::noop());
        for _ in 0..300 {
            self.steps.fetch_add(1, Ordering::Relaxed);
            let index = rng.below(self.words.len());
            let word = &self.words[index];
            match rng.below(12) {
                0..=4 if waits.len() < self.waits => {
                    let mut waiter = Waiter::new();
                    match waiter.poll_wait(&self.reactor, word, 0, cx) {
                        Poll::Pending => waits.push((waiter, index)),
                        Poll::Ready(outcome) => self.note(&outcome),
                    }
                }
                5 if self.waits > self.words.len() => {
                    let mut any = WaitAny::new(self.words.iter().map(|word| Target::new(&self.reactor, word, 0)));
                    if let Poll::Ready(first) = Pin::new(&mut any).poll(cx) {
                        self.note(&first.map(|first| first.outcome));
                    }
                }
                6 if !waits.is_empty() => _ = waits.swap_remove(rng.below(waits.len())),
                7 if rng.below(100) == 0 => waits.clear(),
                8 if !waits.is_empty() => {
                    let chosen = rng.below(waits.len());
                    let (waiter, index) = &mut waits[chosen];
                    if let Poll::Ready(outcome) = waiter.poll_wait(&self.reactor, &self.words[*index], 0, cx) {
                        self.note(&outcome);
                        waits.swap_remove(chosen);
                    }
                }
                9 => _ = word.wake(1 + rng.below(3) as u32),
                10 => {
                    word.store(1, Ordering::Release);
                    word.wake_all();
                    word.store(0, Ordering::Release);
                }
                _ => self.reactor.turn(),
            }
        }
    }

    /// Takes a sample, and asserts that it adds up and that no figure has decreased.
    fn sample(&self, before: &Stats) -> Stats {
        let now = stats(&self.reactor);
        let all = |stats: &Stats| {
            let &Stats { armed, woken, mismatched, cancelled, failed, closed, handed_on, .. } = stats;
            [armed, woken, mismatched, cancelled, failed, closed, handed_on]
        };
        assert!(all(before).iter().zip(all(&now)).all(|(before, now)| *before <= now), "{before:?}, then {now:?}");
        assert_eq!(now.failed, 0, "{now:?}");
        now
    }
}

/// Ends the threads, also if the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Sets the limit of descriptors to its initial value, or to 0, so that none can be opened.
#[cfg(feature = "uring")]
fn allow_descriptors(allow: bool) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use std::sync::OnceLock;

    static BEFORE: OnceLock<Option<u64>> = OnceLock::new();
    let now = getrlimit(Resource::Nofile);
    let before = *BEFORE.get_or_init(|| now.current);
    setrlimit(Resource::Nofile, Rlimit { current: if allow { before } else { Some(0) }, ..now })
        .expect("a lower limit");
}

#[cfg(not(feature = "uring"))]
fn allow_descriptors(_allow: bool) {}

fn storm(reactor: Reactor) {
    let backend = reactor.backend();
    let (waits, steps) = match backend {
        Backend::Uring => (400, 300_000),
        Backend::Waitv => (100, 20_000),
        _ => (10, 10_000), // one thread per wait
    };
    let words = (0..6).map(|_| word()).collect();
    let storm = Storm {
        reactor,
        words,
        waits,
        seen: AtomicU64::new(0),
        steps: AtomicU64::new(0),
        over: AtomicBool::new(false),
    };
    let mut last = Stats::default();
    thread::scope(|scope| {
        let _over = Over(&storm.over);
        for number in 0..THREADS {
            let storm = &storm;
            scope.spawn(move || {
                let (mut rng, mut waits) = (Rng(number as u64), Vec::new());
                while !storm.over.load(Ordering::Acquire) {
                    // On a new thread each time, because Linux 6.16 to 6.18.48 ends the waits of a thread that exits.
                    thread::scope(|scope| _ = scope.spawn(|| storm.live(&mut rng, &mut waits)));
                }
            });
        }
        let mut samples = 0_u64;
        while storm.steps.load(Ordering::Relaxed) < steps {
            allow_descriptors(samples / 50 % 2 == 0);
            last = storm.sample(&last);
            samples += 1;
        }
        allow_descriptors(true);
        // One more sample after all steps: on a busy machine this thread may not have run since the first step.
        last = storm.sample(&last);
        assert!(last.armed > 0 && last.woken > 0 && last.cancelled > 0, "{last:?}");
        scope.spawn(|| storm.reactor.close());
        while storm.steps.load(Ordering::Relaxed) < steps + steps / 10 {
            last = storm.sample(&last);
        }
    });
    until("all waits have ended", || stats(&storm.reactor).armed_now == 0);
    let Stats { woken, handed_on, .. } = storm.sample(&last);
    let seen = storm.seen.load(Ordering::Relaxed);
    if backend == Backend::Uring {
        assert_eq!(woken, seen + handed_on, "a wake is seen or handed on");
    }
    assert!(seen <= woken);
    println!("{backend}: {:?}", stats(&storm.reactor));
    storm.words.iter().for_each(|word| _ = word.wake_all());
}

#[test]
fn the_figures_add_up_in_each_sample_whatever_other_threads_do() {
    reactors().for_each(storm);
}
