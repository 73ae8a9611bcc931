//! What the guide says that a reactor and its waits hold. One test, so that it has the process for itself.

use futex_tests::holdings::{backend_threads, rings};
use futex_tests::load::descriptors;
use futex_tests::{arm, until};
use futex_tokio::{AsyncFutex, Backend, Reactor, SharedMemory, WaitAsync};

const WAITS: usize = 1_000;

#[test]
fn a_reactor_and_its_waits_hold_what_the_guide_says() {
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
        // A thread has its name, by which it is found, once it runs.
        until(|| backend_threads() == threads);
        assert_eq!(descriptors() - before, reactors + rings().len());
        match reactor.backend() {
            // Two threads of a multi-thread runtime might open one too many; here is one thread.
            Backend::Uring => assert_eq!(rings().len(), WAITS.div_ceil(96)),
            _ => assert_eq!(rings().len(), 0),
        }
    });
}
