//! The library's own side: which reactors it enters with.

use futex_tokio::{Backend, Builder, Reactor, Spin};
use std::io;
use std::time::Duration;

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

/// The spinning of `round_trip_hot`.
fn spinning(builder: Builder) -> Builder {
    builder.spin(Spin::up_to(Duration::from_micros(50)))
}
