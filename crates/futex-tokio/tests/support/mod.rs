//! Helpers that all test files use.
#![allow(dead_code, reason = "each test file uses a part of it")]

use futex_tokio::{AsyncFutex, Backend, Reactor, ReactorBuilder};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::task::{Context, Poll, Waker};

/// All backends of this build.
pub(crate) const BACKENDS: &[Backend] = if cfg!(feature = "uring") {
    &[Backend::Uring, Backend::Waitv, Backend::Thread]
} else {
    &[Backend::Waitv, Backend::Thread]
};

/// Builds a reactor. If its backend is not available here, prints the reason and returns `None`, or panics if
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

/// Returns a reactor for each backend that is available here.
pub(crate) fn reactors() -> Vec<Reactor> {
    BACKENDS.iter().filter_map(|&backend| reactor(Reactor::builder().backend(backend))).collect()
}

/// Returns a futex on a new word of value 0.
pub(crate) fn futex(reactor: &Reactor) -> AsyncFutex {
    AsyncFutex::with_reactor(reactor, Arc::new(AtomicU32::new(0)))
}

/// Polls once, with a waker that does nothing.
pub(crate) fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Wakes again and again until the kernel has woken a waiter. A thread of the backend may not have parked yet.
pub(crate) async fn wake_one(futex: &AsyncFutex) {
    while !futex.wake_one() {
        tokio::task::yield_now().await;
    }
}
