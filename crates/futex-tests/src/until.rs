//! Waiting, without a sleep, until something is so.

use futex_sys::Word;

/// [`Word::waiters`] of a word that is mapped.
///
/// # Panics
///
/// If the kernel refuses.
#[must_use]
#[track_caller]
pub fn waiters(word: &Word) -> u32 {
    word.waiters().expect("the word is mapped")
}

/// Returns once the kernel has `n` waiters on a word.
#[track_caller]
pub fn until_waiters(word: &Word, n: u32) {
    until(|| waiters(word) == n);
}

/// Returns once `condition` is true, yielding the processor in between.
///
/// # Panics
///
/// After a minute, which no condition of these tests takes on the slowest machine.
#[track_caller]
pub fn until(mut condition: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed().as_secs() < 60, "a condition did not come true within a minute");
        std::thread::yield_now();
    }
}
