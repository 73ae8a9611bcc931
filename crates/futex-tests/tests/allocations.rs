//! A wait allocates nothing once the reactor has held one, and a reactor leaves nothing.
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
    /// What this thread has allocated: the test harness has threads of its own.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    /// How many of those it has not freed. What others have allocated counts as negative.
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: All of it is the system's allocator. Counting allocates nothing: the counter is made at compile time and has no
// destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        LIVE.set(LIVE.get() + 1);
        // SAFETY: The caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - 1);
        // SAFETY: The caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }
}

/// A wait that is woken, one that loses a `select!`, and one that times out.
async fn round(futex: &AsyncFutex) {
    let wake = async {
        tokio::task::yield_now().await;
        assert_eq!(futex.wake(1), 1);
    };
    let (woken, ()) = tokio::join!(futex.wait_async(0), wake);
    woken.unwrap();
    tokio::select! {
        biased;
        _ = futex.wait_async(0) => panic!("nobody wakes it"),
        () = tokio::task::yield_now() => {}
    }
    assert!(timeout(Duration::ZERO, futex.wait_async(0)).await.is_err());
}

#[test]
fn a_wait_on_a_ring_allocates_nothing() {
    if backend() != Backend::Uring {
        // No skip: the others promise nothing of the kind, and their threads make copies of what they wait for.
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let futex = AsyncFutex::new(zero()).unwrap();
        for _ in 0..100 {
            round(&futex).await;
        }
        let before = ALLOCATIONS.get();
        assert_ne!(before, 0, "the counter counts");
        for _ in 0..2_000 {
            round(&futex).await;
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "allocations in 6,000 waits");
    });
}

/// The queues of a reactor, and the list and the stack of them, hold each other.
#[test]
fn a_reactor_that_is_dropped_leaves_no_memory() {
    if backend() != Backend::Uring {
        // No skip: what a thread of the others frees is not counted here. Their reactors have the same lists.
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
    round(); // for what stays
    let before = LIVE.get();
    round();
    assert_eq!(LIVE.get() - before, 0, "allocations that were not freed");
}
