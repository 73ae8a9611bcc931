//! The resources that a reactor and its waits use, as the guide lists them. This file has only one test, so that no other test
//! uses the same process.

use futex_tests::holdings::{backend_threads, rings};
use futex_tests::load::descriptors;
use futex_tests::{arm, until};
use futex_tokio::{AsyncFutex, Backend, Reactor, SharedMemory, WaitAsync};

const WAITS: usize = 1_000;

#[test]
fn a_reactor_and_its_waits_use_the_resources_that_the_guide_lists() {
    assert_eq!((size_of::<AsyncFutex>(), size_of::<WaitAsync<'_>>()), (64, 40));

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let memory = SharedMemory::anonymous(4 * WAITS).expect("memory");
        let before = descriptors();
        let reactor = Reactor::current().expect("a reactor");
        let futexes: Vec<_> = (0..WAITS)
            .map(|index| AsyncFutex::with_reactor(&reactor, memory.word(4 * index).expect("a word")))
            .collect();
        let mut waits: Vec<_> = futexes.iter().map(|futex| futex.wait_async(0)).collect();
        for wait in &mut waits {
            arm(wait).await;
        }
        let (reactors, threads) = match reactor.backend() {
            Backend::Uring => (3, 0),
            Backend::Waitv => (2, WAITS.div_ceil(127)),
            _ => (2, WAITS),
        };
        // A thread is counted by its name, which it gets when it begins to run.
        until(|| backend_threads() == threads);
        assert_eq!(descriptors() - before, reactors + rings().len());
        match reactor.backend() {
            // Two threads of a multi-thread runtime could open one ring too many, but this runtime has one thread.
            Backend::Uring => assert_eq!(rings().len(), WAITS.div_ceil(96)),
            _ => assert_eq!(rings().len(), 0),
        }
    });
}
