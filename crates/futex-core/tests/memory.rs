//! Very many waits at one time leave little memory behind.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "an allocator that counts")]

mod common;

use common::{reactor, until, word};
use futex_core::{BackendKind, Waiter};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};

static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: All of it is the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: The caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: The caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }
}

/// `Waitv` and `Thread` have one queue, which is not closed when it is empty. Its slots stayed: 50 bytes for each of the most waits
/// that there ever were at one time, 50 MiB for a million.
#[test]
fn many_waits_at_one_time_leave_little_memory_behind() {
    const MOST: usize = 512 * 1024;
    for (kind, number) in [(BackendKind::Uring, 50_000), (BackendKind::Waitv, 50_000)] {
        let Some(reactor) = reactor(kind) else { continue };
        let word = word();
        let mut waits: Vec<_> = (0..number).map(|_| Waiter::new()).collect();
        let before = LIVE.load(Ordering::Relaxed);
        for wait in &mut waits {
            let _ = wait.poll_wait(&reactor, &word, 0, &mut Context::from_waker(Waker::noop()));
        }
        waits.iter_mut().for_each(Waiter::cancel);
        until("the threads end", || kind == BackendKind::Uring || reactor.stats().units == 0);
        let kept = LIVE.load(Ordering::Relaxed).saturating_sub(before);
        assert!(kept <= MOST, "{kind} keeps {kept} bytes for {number} waits");
    }
}
