//! An allocator that can count what is live, for `memory` and for the counts of allocations.
#![expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Off but for the questions about memory, so that no other one pays for it.
static COUNTING: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicI64 = AtomicI64::new(0);
static CALLS: AtomicU64 = AtomicU64::new(0);

struct Counting;

/// What was allocated while something ran.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allocated {
    /// Bytes that are live now and were not before.
    pub(crate) live: i64,
    /// Calls of the allocator that got memory.
    pub(crate) calls: u64,
}

/// Counting goes on, for the whole process. One at a time.
pub(crate) struct Count(());

/// Begins to count.
pub(crate) fn begin() -> Count {
    LIVE.store(0, Ordering::Relaxed);
    CALLS.store(0, Ordering::Relaxed);
    COUNTING.store(true, Ordering::SeqCst);
    Count(())
}

impl Count {
    pub(crate) fn end(self) -> Allocated {
        COUNTING.store(false, Ordering::SeqCst);
        Allocated { live: LIVE.load(Ordering::Relaxed), calls: CALLS.load(Ordering::Relaxed) }
    }
}

/// Runs `work` and counts.
pub(crate) fn count<T>(work: impl FnOnce() -> T) -> (T, Allocated) {
    let begun = begin();
    let done = work();
    (done, begun.end())
}

fn note(bytes: i64, calls: u64) {
    if COUNTING.load(Ordering::Relaxed) {
        LIVE.fetch_add(bytes, Ordering::Relaxed);
        CALLS.fetch_add(calls, Ordering::Relaxed);
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

// SAFETY: Every call is the system allocator's with the same arguments, and the counting touches no memory of the caller.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(signed(layout.size()), 1);
        // SAFETY: The caller's promise is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(signed(layout.size()), 1);
        // SAFETY: The caller's promise is the system allocator's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(signed(size) - signed(layout.size()), 1);
        // SAFETY: The caller's promise is the system allocator's.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        note(-signed(layout.size()), 0);
        // SAFETY: The caller's promise is the system allocator's.
        unsafe { System.dealloc(block, layout) }
    }
}
