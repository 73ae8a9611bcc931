//! Wakes, and what the backend under test promises of them.
//!
//! On `Uring` the kernel has a wait from its first poll until it ends, at its place in the queue. The thread of a wait of `Thread`,
//! and of a wait with a mask of `Waitv`, parks anew from time to time, 10 ms after the wait began for the first time, which a busy
//! machine may exceed between any two lines of a test. In between the kernel does not have the wait, and then it is the last in the
//! queue. So a test may rely on a change of the word, which is seen. A wake without a change may find nobody, which its count
//! shows, and it may find another wait than the one that began first.

use crate::load::backend;
use crate::until::{until, until_waiters};
use futex_core::{Backend, MATCH_ANY};
use futex_sys::Word;
use futex_sys::futex::WaitOutcome;
use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::thread::{JoinHandle, spawn};

/// A thread that waits while `word` is 0, one of `count` waiters in the kernel when this returns. Until it is woken the kernel has it
/// at its place, whatever the backend under test.
///
/// # Panics
///
/// If the kernel does not get that number of waiters within a minute.
#[track_caller]
pub fn blocked(word: &Word, count: u32) -> JoinHandle<WaitOutcome> {
    let blocked = word.clone();
    let thread = spawn(move || blocked.wait(0, None).expect("a wait"));
    until_waiters(word, count);
    thread
}

/// Returns true if the waits with this mask keep their places in the kernel's queue until they end.
///
/// On `Waitv` that needs a thread for each, which up to 16 waits on one word have, and no changes of what else their threads
/// wait for.
#[must_use]
pub fn keeps_places(mask: NonZeroU32) -> bool {
    match backend() {
        Backend::Uring => true,
        Backend::Waitv => mask == MATCH_ANY,
        _ => false,
    }
}

/// Wakes `n` of the waits on a word, none of which has a mask, without a change of the word.
///
/// Waits that keep their places are there at the first call.
///
/// # Panics
///
/// If the kernel does not count `n` waiters within a minute.
#[track_caller]
pub fn wake_bare(word: &Word, n: u32) {
    wake(word, n, MATCH_ANY, keeps_places(MATCH_ANY));
}

/// [`wake_bare`] for waits with any masks.
///
/// # Panics
///
/// As [`wake_bare`].
#[track_caller]
pub fn wake_bare_masked(word: &Word, n: u32, mask: NonZeroU32) {
    wake(word, n, mask, backend() == Backend::Uring);
}

#[track_caller]
fn wake(word: &Word, n: u32, mask: NonZeroU32, are_there: bool) {
    let mut counted = word.wake_masked(n, mask);
    assert!(counted == n || !are_there, "a wake found {counted} of {n} waits");
    until(|| {
        if counted < n {
            counted += word.wake_masked(n - counted, mask);
        }
        counted == n
    });
}

/// Changes a word, then wakes the only wait on it.
///
/// # Panics
///
/// If the kernel does not count a wait that keeps its place.
#[track_caller]
pub fn change_and_wake(word: &Word, value: u32) {
    word.store(value, Ordering::Release);
    check_count(word.wake(1), 1);
}

/// Checks what a wake of `n` waits counted that came after a change of their word. A thread that the kernel did not have sees the
/// change.
///
/// # Panics
///
/// If the count is another than `n`, or more than `n` if waits don't keep their places.
#[track_caller]
pub fn check_count(counted: u32, n: u32) {
    assert!(counted == n || counted < n && !keeps_places(MATCH_ANY), "a wake counted {counted} of {n} waits");
}
