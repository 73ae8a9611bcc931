//! An allocator that can count, for `memory` and for the counts of allocations.
#![expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Off except in [`count`], so that no other question pays for it.
static COUNTING: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicI64 = AtomicI64::new(0);
static CALLS: AtomicU64 = AtomicU64::new(0);

struct Counting;

/// Runs `work` and counts. Returns the bytes that the process has allocated meanwhile and not freed, and the number of calls
/// that returned memory. Two counts must not overlap.
pub(crate) fn count<T>(work: impl FnOnce() -> T) -> (T, i64, u64) {
    LIVE.store(0, Relaxed);
    CALLS.store(0, Relaxed);
    COUNTING.store(true, Relaxed);
    let done = work();
    COUNTING.store(false, Relaxed);
    (done, LIVE.load(Relaxed), CALLS.load(Relaxed))
}

fn note(added: usize, removed: usize, calls: u64) {
    if COUNTING.load(Relaxed) {
        LIVE.fetch_add(added as i64 - removed as i64, Relaxed);
        CALLS.fetch_add(calls, Relaxed);
    }
}

// SAFETY: Every call is the system allocator's with the same arguments, and counting touches no memory of the caller.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 0, 1);
        // SAFETY: The caller's promise is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size, layout.size(), 1);
        // SAFETY: The caller's promise is the system allocator's.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        note(0, layout.size(), 0);
        // SAFETY: The caller's promise is the system allocator's.
        unsafe { System.dealloc(block, layout) }
    }
}
