//! A warmed-up reactor allocates nothing for a wait, and a dropped reactor leaves no memory allocated.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]
#![expect(unsafe_code, reason = "an allocator that counts is an allocator, whose trait is unsafe")]

use futex_core::{Backend, Reactor, Waiter};
use futex_tests::load::{backend, zero};
use futex_tokio::AsyncFutex;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::time::timeout;

thread_local! {
    /// Number of allocations of this thread. (The test harness has other threads.)
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    /// Number of allocations minus number of frees. It is negative if this thread frees memory of other threads.
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: Each call goes to the system's allocator, which fulfils the contract. Counting allocates nothing: the counters are
// initialized at compile time and have no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        LIVE.set(LIVE.get() + 1);
        // SAFETY: The caller fulfils the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - 1);
        // SAFETY: The caller fulfils the same contract.
        unsafe { System.dealloc(ptr, layout) }
    }
}

/// Makes a wait that is woken, a wait that loses a `select!`, and a wait that times out.
async fn round(futex: &AsyncFutex) {
    let wake = async {
        tokio::task::yield_now().await;
        assert_eq!(futex.wake(1), 1);
    };
    let (woken, ()) = tokio::join!(futex.wait_async(0), wake);
    woken.unwrap();
    tokio::select! {
        biased;
        _ = futex.wait_async(0) => panic!("nobody wakes the futex"),
        () = tokio::task::yield_now() => {}
    }
    assert!(timeout(Duration::ZERO, futex.wait_async(0)).await.is_err());
}

#[test]
fn a_wait_on_a_ring_allocates_nothing() {
    if backend() != Backend::Uring {
        // This is not a skip. The other backends do not promise this, and their threads copy the list of their words.
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let futex = AsyncFutex::new(zero()).unwrap();
        for _ in 0..100 {
            round(&futex).await;
        }
        let before = ALLOCATIONS.get();
        assert_ne!(before, 0, "the allocator does not count");
        for _ in 0..2_000 {
            round(&futex).await;
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "allocations in 6,000 waits");
    });
}

/// The queues of a reactor have references to the list and the stack of all queues, and these have references to the queues.
#[test]
fn a_reactor_that_is_dropped_leaves_no_memory() {
    if backend() != Backend::Uring {
        // This is not a skip. The threads of the other backends free memory that is not counted here. Their reactors have the
        // same lists.
        return;
    }
    let round = || {
        let reactor = Reactor::builder().backend(Backend::Uring).build().unwrap();
        let word = zero();
        let mut waiters: Vec<_> = (0..1_000).map(|_| Waiter::new()).collect();
        for waiter in &mut waiters {
            assert!(waiter.poll_wait(&reactor, &word, 0, &mut Context::from_waker(Waker::noop())).is_pending());
        }
        assert!(reactor.stats().units > 8);
        waiters.truncate(500);
        drop(reactor);
    };
    round(); // allocates what stays allocated
    let before = LIVE.get();
    round();
    assert_eq!(LIVE.get() - before, 0, "allocations that were not freed");
}
