//! What the tests of this crate share.

pub mod allocator;
mod bounded;
mod docs;
pub mod holdings;
pub mod peer;
mod skip;
mod stuck;
mod tasks;

pub use self::bounded::{in_its_own_process, without_a_hang};
pub use self::skip::skip;
pub use self::stuck::Stuck;
pub use self::tasks::{arm, block_on, eventually, is_pending, on_each_runtime, on_each_runtime_in_order, within};

pub mod load;

use futex_sys::Word;
use futex_sys::futex::{Scope, requeue};

/// How many waiters the kernel has on a word: ring waits, parked threads and entries of `futex_waitv` alike.
///
/// It moves them from the word to the same word, which the kernel does in one step and without touching their order.
///
/// # Panics
///
/// Where the kernel refuses, which it does for no word that is mapped.
#[must_use]
pub fn waiters(word: &Word) -> u32 {
    requeue(word, word, Scope::Shared, 0, u32::MAX).expect("requeue")
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
