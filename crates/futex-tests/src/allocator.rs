//! An allocator that counts bytes, for tests that check whether memory is freed.
#![expect(unsafe_code, reason = "an allocator that counts is an allocator, whose trait is unsafe")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

static LIVE: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator with a count. A test that calls [`live`] must make it the global allocator.
#[derive(Debug)]
pub struct Counting;

/// Returns the number of bytes that the process has allocated and not freed.
#[must_use]
pub fn live() -> usize {
    LIVE.load(Ordering::Relaxed)
}

// SAFETY: Each call goes to the system's allocator, which fulfils the contract. Counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: The caller fulfils the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: The caller fulfils the same contract.
        unsafe { System.dealloc(ptr, layout) }
    }
}
