//! Waiting, without a sleep, until a condition is true.

use futex_sys::Word;

/// Returns [`Word::waiters`] of a word that is mapped.
///
/// # Panics
///
/// If the kernel refuses.
#[must_use]
#[track_caller]
pub fn waiters(word: &Word) -> u32 {
    word.waiters().expect("the word is mapped")
}

/// Returns when the kernel has `n` waiters on a word.
#[track_caller]
pub fn until_waiters(word: &Word, n: u32) {
    until(|| waiters(word) == n);
}

/// Returns when `condition` is true. Yields the processor between the checks.
///
/// # Panics
///
/// After a minute. No condition of these tests takes that long, even on the slowest machine.
#[track_caller]
pub fn until(mut condition: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed().as_secs() < 60, "a condition did not come true within a minute");
        std::thread::yield_now();
    }
}
