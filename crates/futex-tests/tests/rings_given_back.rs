//! `Uring` closes the rings that a burst of waits took, and opens them again for the next burst.
//!
//! The rings that are open and have no wait are *spare*. There are at most eight more of them than of those in use. Once, a
//! burst of 100,000 waits kept more than a thousand rings, each with its descriptor and its locked memory, until the reactor
//! was closed.
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

/// Runs a test on each kind of runtime, with a reactor on rings. One test at a time, since they count descriptors.
fn with_rings(test: impl AsyncFn(&Rings)) {
    static ALONE: Mutex<()> = Mutex::new(());
    if backend() != Backend::Uring {
        return; // No skip: the others have no rings.
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
    /// Rings that were open before, of other reactors.
    others: usize,
}

impl Rings {
    /// Number of rings that are open, which is also the number of their descriptors.
    #[track_caller]
    fn open(&self) -> usize {
        // Another thread may be about to close one, which it does outside of all locks.
        until(|| rings().len() == self.others + self.reactor.stats().units);
        self.reactor.stats().units
    }

    /// Checks the bound on spare rings when at most `used` rings have waits.
    #[track_caller]
    fn check(&self, used: usize) {
        if is_multi_thread() {
            // A worker may take the last completion of a ring, and is about to close the ring.
            until(|| self.reactor.stats().units <= most(used));
        }
        let open = self.open();
        assert!(open <= most(used), "{open} rings are open, and at most {used} of them are in use");
    }

    /// Arms a wait on each of the words.
    #[track_caller]
    fn arm(&self, words: &[Word]) -> Vec<Boxed> {
        let mut waits: Vec<_> =
            words.iter().map(|word| boxed(&AsyncFutex::with_reactor(&self.reactor, word))).collect();
        assert!(waits.iter_mut().all(arms));
        waits
    }

    /// Changes and wakes each of the words, on each of which one wait is armed, and returns when the waits have ended.
    async fn wake(&self, words: &[Word], waits: Vec<Boxed>) {
        let woken = self.reactor.stats().woken;
        for word in words {
            word.store(1, Ordering::Release);
            assert_eq!(word.wake(1), 1, "a wait is in the kernel when its first poll is over");
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

/// Most rings that may be open when `used` have waits.
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
            assert!(burst_rings > most(used) + 8, "too small a burst to show anything: {burst_rings} rings");
            match round {
                0 | 1 => {}
                2 => burst.reverse(),
                _ => Rng::new(round).shuffle(&mut burst),
            }
            drop(burst);
            rings.check(used); // at once: no turn is needed for that
            turns(10).await;
            rings.check(used);
        }
        rings.wake(&words[..FEW], few).await;
        rings.check(0);
    });
}

/// The waits that are left may each have a ring to themselves.
#[test]
fn the_rings_of_a_burst_are_closed_although_some_of_its_waits_stay() {
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
fn the_rings_of_a_burst_are_closed_when_its_waits_were_woken_and_the_next_burst_is_woken_too() {
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

/// The completions of these waits are posted by the thread that armed them, when it enters the kernel.
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

/// A ring is not closed when a few waits end, only to be opened again for the next ones.
#[test]
fn no_ring_is_closed_or_opened_while_the_number_of_waits_goes_up_and_down_a_little() {
    const LITTLE: usize = 200;
    with_rings(async |own| {
        if is_multi_thread() {
            return; // A wait goes to another ring than usual if a worker has the lock of that one.
        }
        let words = words(MANY);
        let mut waits = own.arm(&words);
        let first = own.open();
        // The newest, then the oldest: each time all waits of two rings, about.
        for at in [MANY - LITTLE, 0] {
            let mut open = None;
            for _ in 0..50 {
                waits.drain(at..at + LITTLE);
                let fewer = rings();
                turns(2).await;
                waits.splice(at..at, own.arm(&words[at..at + LITTLE]));
                let all = rings();
                // The first time the waits get other places, for which a ring or two may be opened.
                if let Some(open) = open.replace(all.clone()) {
                    assert_eq!(changes(&open, &fewer), [], "rings after drops");
                    assert_eq!(changes(&open, &all), [], "rings after arming again");
                }
            }
        }
        let open = rings();
        assert!(open.len() <= first + 4, "{first} rings became {}", open.len());
        // Any: none of the rings is left empty, so none is closed. Some may be opened although each of the others could take a
        // wait or two.
        let mut rng = Rng::new(7);
        let mut before = open.clone();
        for _ in 0..50 {
            for _ in 0..LITTLE {
                // A wait on the same word takes its place.
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

/// The rings that are in one set only.
fn changes(before: &BTreeSet<u32>, after: &BTreeSet<u32>) -> Vec<u32> {
    before.symmetric_difference(after).copied().collect()
}

/// 1. Three waits per word are armed, one after the other. The first ones are a burst in a reactor of its own. 2. A thread
///    wakes each word once, while this one drops the waits of the burst and so empties ring after ring, which are closed.
///    3. Each wake was counted for the first wait or for the second one: the first wait is gone, so the second one sees the
///    wake, and the third one stays.
#[test]
fn a_wake_that_comes_while_rings_are_closed_is_handed_on() {
    const BURST: usize = 2_000;
    with_rings(async |rings| {
        let others = Reactor::builder().backend(Backend::Uring).build().unwrap();
        let words = words(BURST);
        let (mut handed_on, mut direct, mut round) = (0, 0, 0);
        // Both orders of a wake and a drop are to be seen. One of them may be missing in a round, on a busy machine.
        while round < 4 || ((handed_on == 0 || direct == 0) && round < 100) {
            let before = (rings.reactor.stats(), others.stats());
            let burst = rings.arm(&words);
            let beside = || words.iter().map(|word| boxed(&AsyncFutex::with_reactor(&others, word)));
            let (mut seconds, mut thirds): (Vec<_>, Vec<_>) = (beside().collect(), beside().collect());
            assert!(seconds.iter_mut().chain(&mut thirds).all(arms));

            wake_while_dropping(&words, burst, round % 4);
            // A wake's completion may come after the drop, which has handed the wake on by then.
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
        assert!(handed_on > 0 && direct > 0, "no race: {handed_on} handed on, {direct} not");
    });
}

/// Drops the waits in their order, while a thread wakes each word once: up to `ahead` words ahead of the drops, and at most two
/// behind.
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
        assert_eq!(waker.join().unwrap(), words.len(), "each word has a waiter");
    });
}
