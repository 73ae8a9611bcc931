//! Arming several waits with one system call.
//!
//! A wait that begins just after another one is left to a task that is woken now and so runs within the same tick of the
//! scheduler, or at the beginning of the next. It hands all that were left to it to the kernel at once. The first wait of a
//! tick, and so one that is alone, is armed at once.

use crate::driver::Driver;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::runtime::{Handle, Id, RuntimeFlavor};
use tokio::sync::Notify;
use tokio::task::yield_now;

/// Waits that begin within so short a time are of one tick. (Measured: arming one takes 0.6 µs, a pass through the scheduler
/// 0.1 to 0.3 µs; a round trip with another process takes longer.)
const SOON: Duration = Duration::from_micros(3);

thread_local! {
    /// When this thread last began a wait.
    static LATEST: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The batches of a driver.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    news: Arc<Notify>,
    /// There is a task that flushes. Ordering: Relaxed, it guards nothing.
    has_task: AtomicBool,
}

impl Batches {
    /// Whether a wait that begins now is to be left to the flush. `runtime` is the one that flushes.
    pub(crate) fn take(&self, runtime: Id) -> bool {
        let now = Instant::now();
        let latest = LATEST.replace(Some(now));
        latest.is_some_and(|latest| now.duration_since(latest) < SOON) && is_within(runtime)
    }

    /// Has the deferred waits of `driver`, which owns this, flushed soon. Called in its runtime.
    pub(crate) fn flush_soon(&self, driver: &Arc<Driver>) {
        if !self.has_task.swap(true, Ordering::Relaxed) {
            tokio::spawn(flush(self.news.clone(), Arc::downgrade(driver)));
        }
        self.news.notify_one();
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.news.notify_one(); // the task ends
    }
}

/// Whether this is a thread of the runtime, so that a task that it wakes runs on it, after the one that runs now.
fn is_within(runtime: Id) -> bool {
    Handle::try_current().is_ok_and(|handle| {
        handle.id() == runtime
            // What `block_on` polls on a multi-thread runtime is on a thread of its own.
            && (handle.runtime_flavor() == RuntimeFlavor::CurrentThread || tokio::task::try_id().is_some())
    })
}

/// The task: flushes whenever there is news, as long as there is a driver.
async fn flush(news: Arc<Notify>, driver: Weak<Driver>) {
    loop {
        news.notified().await;
        loop {
            let Some(driver) = driver.upgrade() else { return };
            // A waker that panics must not end the flushing.
            let flushed = catch_unwind(AssertUnwindSafe(|| driver.reactor.flush()));
            drop(driver);
            if matches!(flushed, Ok(Ok(()))) {
                break;
            }
            // The kernel has no memory for them, so it has to be tried until it has; or some are left.
            yield_now().await;
        }
    }
}
