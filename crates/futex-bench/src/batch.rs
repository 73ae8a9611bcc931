//! Calls that take less time than a clock.

use std::hint::black_box;
use std::time::Instant;
use tokio::runtime::Runtime;

/// Number of calls for each figure of [`each`].
pub(crate) const BATCH: u32 = 1000;

/// Nanoseconds per call.
pub(crate) fn each<T>(mut call: impl FnMut() -> T) -> f64 {
    let start = Instant::now();
    for _ in 0..BATCH {
        black_box(call());
    }
    start.elapsed().as_nanos() as f64 / f64::from(BATCH)
}

/// Nanoseconds per call of an async function, in one task.
pub(crate) fn each_async<T>(runtime: &Runtime, mut call: impl AsyncFnMut() -> T) -> f64 {
    runtime.block_on(async {
        let start = Instant::now();
        for _ in 0..BATCH {
            black_box(call().await);
        }
        start.elapsed().as_nanos() as f64 / f64::from(BATCH)
    })
}
