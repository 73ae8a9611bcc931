//! Wakes, and checks of their counts that hold on the backend under test.
//!
//! On `Uring`, the kernel has a wait from its first poll until its end, and the wait keeps its place in the queue.
//!
//! On `Thread`, and for a wait with a mask on `Waitv`, the thread of the wait parks again from time to time. It does so for the
//! first time 10 ms after the wait began, and on a busy machine that much time may pass between any two lines of a test. The
//! kernel does not have the wait for a moment, and then has it at the end of the queue. So a test may rely on a change of the
//! word, which the wait sees. But a wake without a change may find nobody, which its count shows. It may also find a wait other
//! than the one that began first.

use crate::load::backend;
use crate::until::{until, until_waiters};
use futex_core::{Backend, MATCH_ANY};
use futex_sys::Word;
use futex_sys::futex::WaitOutcome;
use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::thread::{JoinHandle, spawn};

/// Starts a thread that waits while `word` is 0. Returns when the kernel has `count` waiters on the word, this thread among them.
/// The thread keeps its place in the queue until it is woken, whatever the backend under test is.
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
/// On `Waitv`, this holds only if each wait has a thread of its own, which up to 16 waits on one word have, and if the other
/// words of these threads do not change.
#[must_use]
pub fn keeps_places(mask: NonZeroU32) -> bool {
    match backend() {
        Backend::Uring => true,
        Backend::Waitv => mask == MATCH_ANY,
        _ => false,
    }
}

/// Wakes `n` of the waits on a word without a change of the word. None of the waits has a mask.
///
/// If the waits keep their places, the first wake must find all `n`.
///
/// # Panics
///
/// If the kernel does not count `n` waiters within a minute.
#[track_caller]
pub fn wake_bare(word: &Word, n: u32) {
    wake(word, n, MATCH_ANY, keeps_places(MATCH_ANY));
}

/// Wakes like [`wake_bare`], but the waits may have masks.
///
/// # Panics
///
/// Like [`wake_bare`].
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

/// Checks the count of a wake of `n` waits that followed a change of their word. If waits don't keep their places, the count may
/// be lower: a wait whose thread is not parked sees the change instead.
///
/// # Panics
///
/// If the count is wrong.
#[track_caller]
pub fn check_count(counted: u32, n: u32) {
    assert!(counted == n || counted < n && !keeps_places(MATCH_ANY), "a wake counted {counted} of {n} waits");
}
