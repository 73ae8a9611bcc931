//! Events for `tracing`. Without that feature, these functions do nothing.

use std::io;

/// Reports that a backend could not be opened, and that the next one on the ladder is tried.
pub(crate) fn stepped_down(from: &'static str, reason: &io::Error) {
    #[cfg(feature = "tracing")]
    tracing::warn!(backend = from, %reason, "a better futex backend is not available here and was passed over");
    #[cfg(not(feature = "tracing"))]
    let _ = (from, reason);
}

/// Reports that a reactor was made.
pub(crate) fn chose(backend: &'static str) {
    #[cfg(feature = "tracing")]
    tracing::debug!(backend, "opened a futex reactor");
    #[cfg(not(feature = "tracing"))]
    let _ = backend;
}

/// Reports that no further ring could be opened, so that the open ones take more waits.
pub(crate) fn no_more_queues(reason: &io::Error) {
    #[cfg(feature = "tracing")]
    tracing::warn!(%reason, "cannot open one more queue for futex waits; the open ones take more");
    #[cfg(not(feature = "tracing"))]
    let _ = reason;
}
