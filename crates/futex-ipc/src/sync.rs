//! The one place that names `loom` or `std`, for the models.

#[cfg(loom)]
pub(crate) use loom::{
    sync::{
        Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, fence},
    },
    thread,
};
#[cfg(not(loom))]
pub(crate) use std::{
    sync::{
        Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, fence},
    },
    thread,
};

/// Runs a model: under loom in every order of its steps, otherwise 200 times with real threads. `LOOM_MAX_PREEMPTIONS` sets a
/// bound.
#[cfg(loom)]
pub(crate) fn model(name: &str, body: impl Fn() + Send + Sync + 'static) {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    let executions = Arc::new(AtomicU32::new(0));
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 20_000;
    let start = std::time::Instant::now();
    builder.check({
        let executions = executions.clone();
        move || {
            executions.fetch_add(1, Relaxed);
            body();
        }
    });
    println!("{name}: {} executions, {:.1?}", executions.load(Relaxed), start.elapsed());
}

#[cfg(not(loom))]
pub(crate) fn model(_: &str, body: impl Fn() + Send + Sync + 'static) {
    (0..200).for_each(|_| body());
}
