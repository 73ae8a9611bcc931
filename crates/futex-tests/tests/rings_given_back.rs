//! `Uring` closes the rings of a burst of waits, and opens rings again for the next burst.
//!
//! An open ring without waits is *spare*. The number of spare rings is at most the number of used rings plus eight. Earlier, the
//! reactor kept more than a thousand rings after a burst of 100,000 waits, each with its descriptor and its locked memory, until
//! it was closed.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use futex_core::Backend;
use futex_sys::SharedMemory;
use futex_tests::holdings::rings;
use futex_tests::load::{Boxed, Rng, arms, backend, boxed, turns};
use futex_tests::{eventually, on_each_runtime, until, until_waiters, waiters, within};
use futex_tokio::{AsyncFutex, Reactor, Word};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::runtime::{Handle, RuntimeFlavor};

const MANY: usize = 10_000;
const FEW: usize = 100;

/// Runs a test on each kind of runtime, with a reactor on `Uring`. Only one test runs at a time, because the tests count
/// descriptors.
fn with_rings(test: impl AsyncFn(&Rings)) {
    static ALONE: Mutex<()> = Mutex::new(());
    if backend() != Backend::Uring {
        return; // This is not a skip. The other backends have no rings.
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    on_each_runtime(async || {
        let others = rings().len();
        let reactor = Reactor::builder().backend(Backend::Uring).build().unwrap();
        test(&Rings { reactor, others }).await;
    });
}

struct Rings {
    reactor: Reactor,
    /// Number of rings of other reactors, which were open before.
    others: usize,
}

impl Rings {
    /// Returns the number of open rings, which is also the number of their descriptors.
    #[track_caller]
    fn open(&self) -> usize {
        // Another thread may be about to close a ring. It does that without a lock.
        until(|| rings().len() == self.others + self.reactor.stats().units);
        self.reactor.stats().units
    }

    /// Checks the limit of spare rings while at most `used` rings have waits.
    #[track_caller]
    fn check(&self, used: usize) {
        if is_multi_thread() {
            // A worker may have taken the last completion of a ring, and may be about to close the ring.
            until(|| self.reactor.stats().units <= most(used));
        }
        let open = self.open();
        assert!(open <= most(used), "{open} rings are open, and at most {used} of them are in use");
    }

    /// Arms a wait on each word.
    #[track_caller]
    fn arm(&self, words: &[Word]) -> Vec<Boxed> {
        let mut waits: Vec<_> =
            words.iter().map(|word| boxed(&AsyncFutex::with_reactor(&self.reactor, word))).collect();
        assert!(waits.iter_mut().all(arms));
        waits
    }

    /// Changes each word and wakes the one wait on it. Returns when all waits have ended.
    async fn wake(&self, words: &[Word], waits: Vec<Boxed>) {
        let woken = self.reactor.stats().woken;
        for word in words {
            word.store(1, Ordering::Release);
            assert_eq!(word.wake(1), 1, "a wait must be in the kernel after its first poll");
        }
        for wait in waits {
            within(wait).await.unwrap();
        }
        let stats = self.reactor.stats();
        assert_eq!((stats.woken - woken, stats.armed_now), (words.len() as u64, 0));
        words.iter().for_each(|word| word.store(0, Ordering::Release));
    }
}

fn is_multi_thread() -> bool {
    Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread
}

/// Returns the maximum number of open rings while `used` rings have waits.
fn most(used: usize) -> usize {
    used + (used + 8)
}

fn words(n: usize) -> Vec<Word> {
    let memory = SharedMemory::anonymous(4 * n).unwrap();
    (0..n).map(|i| memory.word(4 * i).unwrap()).collect()
}

#[test]
fn the_rings_of_a_burst_are_closed_when_its_last_wait_is_dropped() {
    with_rings(async |rings| {
        let words = words(MANY);
        let few = rings.arm(&words[..FEW]);
        let used = rings.open();
        for round in 0..5 {
            let mut burst = rings.arm(&words[FEW..]);
            let burst_rings = rings.open();
            assert!(burst_rings > most(used) + 8, "the burst is too small for this test: {burst_rings} rings");
            match round {
                0 | 1 => {}
                2 => burst.reverse(),
                _ => Rng::new(round).shuffle(&mut burst),
            }
            drop(burst);
            rings.check(used); // the rings are closed without a turn
            turns(10).await;
            rings.check(used);
        }
        rings.wake(&words[..FEW], few).await;
        rings.check(0);
    });
}

/// In the worst case, each remaining wait has a ring of its own.
#[test]
fn the_rings_of_a_burst_are_closed_although_some_of_its_waits_stay_armed() {
    const STAY: usize = 20;
    with_rings(async |rings| {
        let words = words(MANY);
        for round in 0..5 {
            let mut burst: Vec<_> = rings.arm(&words).into_iter().zip(words.iter().cloned()).collect();
            assert!(rings.open() > most(STAY));
            Rng::new(round).shuffle(&mut burst);
            burst.truncate(STAY);
            rings.check(STAY);
            let (waits, words): (Vec<_>, Vec<_>) = burst.into_iter().unzip();
            rings.wake(&words, waits).await;
            rings.check(0);
        }
    });
}

#[test]
fn the_rings_of_a_burst_are_closed_after_its_wakes_and_the_next_burst_is_woken() {
    with_rings(async |rings| {
        let words = words(MANY);
        for _ in 0..3 {
            let burst = rings.arm(&words);
            assert!(rings.open() > 2 * most(0));
            rings.wake(&words, burst).await;
            rings.check(0);
            drop(rings.arm(&words));
            rings.check(0);
        }
    });
}

/// The thread that armed these waits posts their completions when it enters the kernel.
#[test]
fn the_rings_of_a_burst_are_closed_when_another_thread_drops_its_waits() {
    with_rings(async |rings| {
        let words = words(MANY);
        for _ in 0..3 {
            let burst = rings.arm(&words);
            std::thread::spawn(move || drop(burst)).join().unwrap();
            words.iter().for_each(|word| assert_eq!(waiters(word), 0));
            eventually(|| rings.reactor.stats().units <= most(0)).await;
            rings.check(0);
        }
    });
}

/// A ring must not be closed when a few waits end, and opened again for the next waits.
#[test]
fn no_ring_is_closed_or_opened_while_the_number_of_waits_varies_a_little() {
    const LITTLE: usize = 200;
    with_rings(async |own| {
        if is_multi_thread() {
            return; // If a worker has the lock of a ring, a wait goes to another ring than usual.
        }
        let words = words(MANY);
        let mut waits = own.arm(&words);
        let first = own.open();
        // The newest waits, and then the oldest ones. Each time these are about all waits of two rings.
        for at in [MANY - LITTLE, 0] {
            let mut open = None;
            for _ in 0..50 {
                waits.drain(at..at + LITTLE);
                let fewer = rings();
                turns(2).await;
                waits.splice(at..at, own.arm(&words[at..at + LITTLE]));
                let all = rings();
                // In the first round the waits get other places, and one or two rings may be opened for them.
                if let Some(open) = open.replace(all.clone()) {
                    assert_eq!(changes(&open, &fewer), [], "rings after drops");
                    assert_eq!(changes(&open, &all), [], "rings after arming again");
                }
            }
        }
        let open = rings();
        assert!(open.len() <= first + 4, "{first} rings became {}", open.len());
        // Now random waits. No ring becomes empty, so none is closed. Some may be opened although each of the others has room for
        // one or two waits.
        let mut rng = Rng::new(7);
        let mut before = open.clone();
        for _ in 0..50 {
            for _ in 0..LITTLE {
                // Another wait on the same word replaces the wait.
                let at = rng.below(MANY);
                waits[at] = own.arm(&words[at..=at]).remove(0);
            }
            turns(2).await;
            let now = rings();
            assert!(now.is_superset(&before), "a ring was closed although waits were on all of them");
            before = now;
        }
        assert!(before.len() <= open.len() * 3 / 2, "{} rings became {}", open.len(), before.len());
        assert_eq!(own.reactor.stats().armed_now, MANY);
        own.wake(&words, waits).await;
    });
}

/// Returns the rings that are in only one of the sets.
fn changes(before: &BTreeSet<u32>, after: &BTreeSet<u32>) -> Vec<u32> {
    before.symmetric_difference(after).copied().collect()
}

/// 1. On each word, three waits are armed, one after the other. The first waits are a burst with their own reactor.
/// 2. A thread wakes each word once. Meanwhile this thread drops the waits of the burst, which empties and closes ring after
///    ring.
/// 3. Each wake was counted for the first or for the second wait of its word. The first wait is gone, so the second one must see
///    the wake, and the third one stays.
#[test]
fn a_wake_that_comes_while_rings_are_being_closed_is_handed_on() {
    const BURST: usize = 2_000;
    with_rings(async |rings| {
        let others = Reactor::builder().backend(Backend::Uring).build().unwrap();
        let words = words(BURST);
        let (mut handed_on, mut direct, mut round) = (0, 0, 0);
        // The test needs both orders of a wake and a drop. On a busy machine, a round may have only one of them.
        while round < 4 || ((handed_on == 0 || direct == 0) && round < 100) {
            let before = (rings.reactor.stats(), others.stats());
            let burst = rings.arm(&words);
            let beside = || words.iter().map(|word| boxed(&AsyncFutex::with_reactor(&others, word)));
            let (mut seconds, mut thirds): (Vec<_>, Vec<_>) = (beside().collect(), beside().collect());
            assert!(seconds.iter_mut().chain(&mut thirds).all(arms));

            wake_while_dropping(&words, burst, round % 4);
            // The completion of a wake may come after the drop, which has already handed the wake on.
            eventually(|| rings.reactor.stats().units <= most(0)).await;
            for second in seconds {
                within(second).await.unwrap();
            }
            assert!(thirds.iter_mut().all(arms), "a wake was handed on twice");
            words.iter().for_each(|word| until_waiters(word, 1));
            assert_eq!(others.stats().woken - before.1.woken, BURST as u64);
            assert_eq!(others.stats().handed_on, 0);
            let passed_on = rings.reactor.stats().handed_on - before.0.handed_on;
            handed_on += passed_on;
            direct += BURST as u64 - passed_on;
            round += 1;
        }
        println!("{round} rounds: {handed_on} wakes were handed on, {direct} found the second wait");
        assert!(handed_on > 0 && direct > 0, "only one order has occurred: {handed_on} handed on, {direct} not");
    });
}

/// Drops the waits in their order, while another thread wakes each word once. That thread is at most `ahead` words ahead of the
/// drops, and at most two words behind.
fn wake_while_dropping(words: &[Word], waits: Vec<Boxed>, ahead: usize) {
    let (dropping, waking) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let reaches = |at: &AtomicUsize, least: usize| {
        while at.load(Ordering::Relaxed) < least {
            std::thread::yield_now();
        }
    };
    std::thread::scope(|scope| {
        let waker = scope.spawn(|| {
            let wake = |(i, word): (usize, &Word)| {
                waking.store(i, Ordering::Relaxed);
                reaches(&dropping, i.saturating_sub(ahead));
                word.wake(1) as usize
            };
            words.iter().enumerate().map(wake).sum::<usize>()
        });
        for (i, wait) in waits.into_iter().enumerate() {
            dropping.store(i, Ordering::Relaxed);
            reaches(&waking, i.saturating_sub(2));
            drop(wait);
        }
        assert_eq!(waker.join().unwrap(), words.len(), "a wake found no waiter");
    });
}
