//! Helpers for asynchronous tests.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{Thread, current, park};
use std::time::Duration;
use tokio::runtime::Builder;

/// Runs a test on a current-thread runtime, then on a multi-thread one.
///
/// # Panics
///
/// If a runtime can't be built, and if the test panics.
pub fn on_each_runtime(test: impl AsyncFn()) {
    for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime");
        // This is shown only if the test fails.
        eprintln!("on a {:?} runtime", runtime.handle().runtime_flavor());
        runtime.block_on(test());
    }
}

/// Polls a wait for the first time. After that, the kernel has the wait on `Uring`. On the backends that park threads, the kernel
/// has it when [`until_waiters`](crate::until_waiters) returns.
///
/// # Panics
///
/// If the wait is over already.
pub async fn arm<F: Future + Unpin>(wait: &mut F) {
    assert!(is_pending(wait).await, "the wait is over already and could not be armed");
}

/// Polls a wait once. Returns true if it is pending.
pub async fn is_pending<F: Future + Unpin>(wait: &mut F) -> bool {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *wait).poll(cx).is_pending())).await
}

/// Awaits a future that should be ready soon.
///
/// # Panics
///
/// After a minute. Nothing in these tests takes that long, even on the slowest machine.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("the future was not ready within a minute")
}

/// Returns when `condition` is true. Lets the runtime work between the checks.
///
/// # Panics
///
/// After a minute.
pub async fn eventually(mut condition: impl FnMut() -> bool) {
    within(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A minimal executor: polls a future on this thread, and parks the thread between the polls.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => park(),
        }
    }
}
