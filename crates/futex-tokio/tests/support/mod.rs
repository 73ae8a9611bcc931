//! What the tests share.
#![allow(dead_code, reason = "each test file uses a part of it")]

use futex_tokio::{AsyncFutex, Backend, Reactor, ReactorBuilder};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::task::{Context, Poll, Waker};

/// The backends of this build.
pub(crate) const BACKENDS: &[Backend] = if cfg!(feature = "uring") {
    &[Backend::Uring, Backend::Waitv, Backend::Thread]
} else {
    &[Backend::Waitv, Backend::Thread]
};

/// A reactor of the current runtime, or `None` where it is not available here, which is printed; a panic where
/// `FUTEX_TESTS_FORBID_SKIPS` is set.
pub(crate) fn reactor(builder: ReactorBuilder) -> Option<Reactor> {
    match builder.build() {
        Ok(reactor) => Some(reactor),
        Err(error) => {
            assert!(std::env::var_os("FUTEX_TESTS_FORBID_SKIPS").is_none(), "skips are forbidden: {error}");
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

/// Those of the backends that are available here.
pub(crate) fn reactors() -> Vec<Reactor> {
    BACKENDS.iter().filter_map(|&backend| reactor(Reactor::builder().backend(backend))).collect()
}

/// A futex on a new word of value 0.
pub(crate) fn futex(reactor: &Reactor) -> AsyncFutex {
    AsyncFutex::with_reactor(reactor, Arc::new(AtomicU32::new(0)))
}

/// Polls once, for a task that does not exist.
pub(crate) fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Wakes until the kernel counts one: a thread of the backend may still be on its way to park.
pub(crate) async fn wake_one(futex: &AsyncFutex) {
    while !futex.wake_one() {
        tokio::task::yield_now().await;
    }
}
