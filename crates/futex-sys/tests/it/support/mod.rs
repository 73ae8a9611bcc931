//! Items that several modules use.

pub(crate) mod child;
pub(crate) mod name;
pub(crate) mod sandbox;

use futex_sys::Word;
use futex_sys::futex::{self, MATCH_ANY, Scope, WaitOutcome};
use std::fmt::Display;
use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Reports that a test can't run here, and the reason.
///
/// # Panics
///
/// If the environment forbids skips.
pub(crate) fn skip(reason: impl Display) {
    assert!(std::env::var_os("FUTEX_TESTS_FORBID_SKIPS").is_none(), "skips are forbidden: {reason}");
    eprintln!("SKIPPED: {reason}");
}

/// Yields until `condition` holds. It never sleeps. It panics after a minute.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "still waiting until {what}");
        thread::yield_now();
    }
}

/// A new word, which is zero.
pub(crate) fn word() -> Word {
    Word::from(Arc::new(AtomicU32::new(0)))
}

pub(crate) fn mask(bits: u32) -> NonZeroU32 {
    NonZeroU32::new(bits).expect("a mask has at least one bit")
}

/// Returns the number of waiters that the kernel has for `word`, by a requeue from the word to itself.
///
/// The requeue is one step and keeps the order of the waiters. (With two requeues, to another word and back, a waiter that is
/// queued meanwhile would overtake all others, and a wake meanwhile would reach no waiter.)
pub(crate) fn waiters(word: &AtomicU32, scope: Scope) -> u32 {
    futex::requeue(word, word, scope, 0, u32::MAX).expect("requeue")
}

pub(crate) fn until_waiters(word: &AtomicU32, scope: Scope, n: u32) {
    until(&format!("there are {n} waiters"), || waiters(word, scope) == n);
}

/// Starts a thread that waits while `word` is zero. When this function returns, the thread is the last one in the kernel's queue.
pub(crate) fn blocked_with(word: &Word, scope: Scope, mask: NonZeroU32) -> JoinHandle<WaitOutcome> {
    let before = waiters(word, scope);
    let thread = thread::spawn({
        let word = word.clone();
        move || futex::wait(&word, scope, 0, mask, None).expect("wait")
    });
    until_waiters(word, scope, before + 1);
    thread
}

pub(crate) fn blocked(word: &Word) -> JoinHandle<WaitOutcome> {
    blocked_with(word, Scope::Shared, MATCH_ANY)
}

/// Checks that `result` is an error of this kind whose message starts with `text`.
#[track_caller]
pub(crate) fn assert_refused<T>(result: io::Result<T>, kind: io::ErrorKind, text: &str) {
    let Err(error) = result else { panic!("this was accepted, not refused with {text:?}") };
    assert!(error.to_string().starts_with(text), "the error says {:?}, not {text:?}", error.to_string());
    assert_eq!(error.kind(), kind, "{error}");
}

/// The kernel's error number: that of a bare error, or the number at the end of a sentence.
pub(crate) fn errno(error: &io::Error) -> Option<i32> {
    let printed = || error.to_string().rsplit_once("(os error ")?.1.strip_suffix(')')?.parse().ok();
    error.raw_os_error().or_else(printed)
}

#[cfg(feature = "uring")]
pub(crate) use self::ring::*;

#[cfg(feature = "uring")]
mod ring {
    use super::{skip, until};
    use futex_sys::Word;
    use futex_sys::futex::MATCH_ANY;
    use futex_sys::uring::{Completion, FutexRing, WaitId};

    /// Opens a ring, or skips the test.
    pub(crate) fn ring() -> Option<FutexRing> {
        FutexRing::new().map_err(skip).ok()
    }

    /// Arms a wait while `word` is zero, and submits it to the kernel.
    pub(crate) fn arm(ring: &mut FutexRing, tag: u32, word: &Word) -> WaitId {
        let id = ring.arm(tag, word.clone(), 0, MATCH_ANY).expect("arm");
        ring.submit().expect("submit");
        id
    }

    /// Waits for the next completion.
    pub(crate) fn complete(ring: &mut FutexRing) -> Completion {
        let mut completion = ring.next_completion();
        until("a completion comes", || {
            if completion.is_none() {
                assert!(ring.pending() > 0, "no completion is due");
                ring.wait().expect("wait");
                completion = ring.next_completion();
            }
            completion.is_some()
        });
        completion.expect("a completion")
    }

    /// Waits for the completions of all pending waits.
    pub(crate) fn complete_all(ring: &mut FutexRing) -> Vec<Completion> {
        let mut completions = Vec::new();
        while ring.pending() > 0 {
            completions.push(complete(ring));
        }
        completions
    }
}
