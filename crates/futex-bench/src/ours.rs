//! The library's own side: which reactors it enters with.

use futex_tokio::{Backend, Builder, Reactor};
use std::io;

/// All ways to wait, best first.
pub(crate) const BACKENDS: [Backend; 3] = [Backend::Uring, Backend::Waitv, Backend::Thread];

/// The name of the contestant that waits this way.
pub(crate) fn name(backend: Backend) -> String {
    format!("ours, {backend}")
}

/// A reactor of the runtime that is entered.
pub(crate) fn reactor(backend: Backend, spin: bool) -> io::Result<Reactor> {
    let builder = Reactor::builder().backend(backend);
    if spin { spinning(builder) } else { builder }.build()
}

/// SPIN: the one place that turns adaptive spinning on, for `round_trip_hot`. The library has none yet.
fn spinning(builder: Builder) -> Builder {
    builder
}
