//! After very many waits, the process has the same resources as before.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use futex_core::Backend;
use futex_sys::SharedMemory;
use futex_tests::allocator::{Counting, live};
use futex_tests::holdings::{Object, backend_threads, mappings, rings, until_within};
use futex_tests::load::{Boxed, Rng, arms, backend, boxed, descriptors, threads, zero};
use futex_tests::{eventually, on_each_runtime, until, until_waiters, within};
use futex_tokio::{AsyncFutex, Reactor, Word};
use std::sync::atomic::Ordering;
use std::thread::available_parallelism;
use std::time::Duration;

#[global_allocator]
static COUNTING: Counting = Counting;

/// The resources of the process.
#[derive(Debug)]
struct Holdings {
    descriptors: usize,
    rings: usize,
    mappings: usize,
    ring_mappings: usize,
    bytes: usize,
}

impl Holdings {
    fn now() -> Self {
        let bytes = live();
        let mappings = mappings();
        Self {
            descriptors: descriptors(),
            rings: rings().len(),
            mappings: mappings.len(),
            ring_mappings: mappings.iter().filter(|line| line.ends_with("[io_uring]")).count(),
            bytes,
        }
    }

    /// Checks that mappings and bytes are not much more than `before`. Other libraries of the process use them too.
    #[track_caller]
    fn check(&self, before: &Self, bytes: usize) {
        // The C library keeps stacks for new threads (40 MiB, each with a guard page) and arenas (eight per processor).
        let kept = 60 + 3 * 8 * available_parallelism().unwrap().get();
        assert!(self.mappings <= before.mappings + kept, "{self:?}");
        assert!(self.bytes <= before.bytes + bytes, "{self:?}");
    }
}

/// Maximum number of rings that may be open when nobody waits.
const SPARE_RINGS: usize = 8;
/// Maximum number of bytes that a reactor may keep when nobody waits. It used 10 MiB for 100,000 waits.
const SPARE_BYTES: usize = 512 * 1024;
/// Maximum number of bytes that Tokio and the standard library may allocate once meanwhile.
const LAZY_BYTES: usize = 64 * 1024;
/// Time after which no thread is left parked: 10 s, and one second for a busy machine.
const LONGEST_PARK: Duration = Duration::from_secs(10 + 1);

/// Returns the number of waits at one time, and the number of rounds. If `FUTEX_TESTS_MILLION` is set, they give a million waits
/// in all. Otherwise, all rounds take a few seconds.
fn waits_and_rounds(backend: Backend) -> (usize, usize) {
    let (waits, few) = match backend {
        Backend::Uring => (100_000, 1),
        Backend::Waitv => (2_000, 10),
        _ => (200, 50),
    };
    (waits, if std::env::var_os("FUTEX_TESTS_MILLION").is_some() { 1_000_000 / waits } else { few })
}

/// Arms a wait on each word.
fn arm<'a>(reactor: &Reactor, words: &'a [Word]) -> Vec<(Boxed, &'a Word)> {
    let wait = |word| (boxed(&AsyncFutex::with_reactor(reactor, word)), word);
    let mut waits: Vec<_> = words.iter().map(wait).collect();
    assert!(waits.iter_mut().all(|(wait, _)| arms(wait)));
    waits
}

/// Arms a wait on each word. Wakes half of the waits and drops the others, in random order.
async fn round(reactor: &Reactor, words: &[Word], rng: &mut Rng) {
    let mut waits = arm(reactor, words);
    rng.shuffle(&mut waits);
    let dropped = waits.split_off(words.len() / 2);
    for (_, word) in &waits {
        word.store(1, Ordering::Release);
        word.wake(1);
    }
    drop(dropped);
    for (wait, word) in waits {
        within(wait).await.unwrap();
        word.store(0, Ordering::Release);
    }
}

/// Makes all that is made at the first use and then kept, such as the files of Tokio's signal handling.
async fn warm_up() {
    let futex = AsyncFutex::new(zero()).unwrap();
    let mut wait = boxed(&futex);
    assert!(arms(&mut wait));
    until_waiters(futex.word(), 1);
    futex.reactor().close();
    futex.wake_all();
    drop(wait);
    // This counts only the threads of backends, because the number of the other threads is not known yet.
    until(|| backend_threads() == 0);
}

/// This file has only one test, so that no other test uses the same process.
#[test]
fn a_process_has_the_same_resources_before_and_after_a_million_waits() {
    on_each_runtime(async || {
        warm_up().await;
        let (before, own_threads) = (Holdings::now(), threads());
        assert_eq!((before.rings, before.ring_mappings), (0, 0));

        let reactor = Reactor::builder().backend(backend()).build().unwrap();
        let (waits, rounds) = waits_and_rounds(reactor.backend());
        let memory = SharedMemory::anonymous(4 * waits).unwrap();
        let mapped = Object::of(&memory);
        let words: Vec<_> = (0..waits).map(|i| memory.word(4 * i).unwrap()).collect();
        drop(memory);
        let new = Holdings::now();
        let mut rng = Rng::new(1);
        for _ in 0..rounds {
            round(&reactor, &words, &mut rng).await;
        }
        assert_eq!(reactor.stats().armed, (waits * rounds) as u64);

        // Nobody waits, but the reactor lives.
        eventually(|| reactor.stats().armed_now == 0).await;
        until_within(LONGEST_PARK, || threads() <= own_threads);
        let idle = Holdings::now();
        println!("{waits} waits, {rounds} times: {before:?}, with a reactor {new:?}, afterwards {idle:?}");
        // There may be eight rings instead of one, and the descriptor of the epoll for many rings.
        assert!(idle.rings <= before.rings + SPARE_RINGS, "{idle:?}");
        assert!(idle.descriptors <= new.descriptors + SPARE_RINGS, "{idle:?}");
        assert!(idle.ring_mappings <= SPARE_RINGS * new.ring_mappings, "{idle:?}");
        idle.check(&new, SPARE_BYTES);

        // The reactor is closed while some waits are armed, and dropped.
        let pending = arm(&reactor, &words[..waits / 10]);
        reactor.close();
        drop(pending);
        drop((words, reactor));
        until_within(LONGEST_PARK, || threads() <= own_threads);
        until(|| !mapped.is_mapped());
        until(|| descriptors() <= before.descriptors);
        let after = Holdings::now();
        assert_eq!((after.rings, after.ring_mappings), (0, 0), "{after:?}");
        after.check(&before, LAZY_BYTES);
    });
}
