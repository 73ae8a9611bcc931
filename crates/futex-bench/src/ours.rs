//! The library's own side: which reactors it enters with.

use futex_tokio::{Backend, Reactor, Spin};
use std::fmt;
use std::io;
use std::time::Duration;

/// The settings of a reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    backend: Backend,
    /// Waits spin before they sleep, for at most 50 µs.
    spin: bool,
    /// A completion interrupts the thread that armed the wait, if that computes.
    interrupting: bool,
}

impl Config {
    pub(crate) const URING: Self = Self::on(Backend::Uring);
    pub(crate) const INTERRUPTING: Self = Self { interrupting: true, ..Self::URING };
    pub(crate) const WAITV: Self = Self::on(Backend::Waitv);
    pub(crate) const THREAD: Self = Self::on(Backend::Thread);

    /// Every backend, best first.
    pub(crate) const BACKENDS: [Self; 3] = [Self::URING, Self::WAITV, Self::THREAD];
    /// Every backend, and both kinds of rings.
    pub(crate) const KINDS: [Self; 4] = [Self::URING, Self::INTERRUPTING, Self::WAITV, Self::THREAD];

    const fn on(backend: Backend) -> Self {
        Self { backend, spin: false, interrupting: false }
    }

    /// The same, with spinning.
    pub(crate) const fn spinning(self) -> Self {
        Self { spin: true, ..self }
    }

    /// A reactor of the runtime that is entered.
    pub(crate) fn reactor(self) -> io::Result<Reactor> {
        let spin = if self.spin { Spin::up_to(Duration::from_micros(50)) } else { Spin::default() };
        Reactor::builder().backend(self.backend).interrupting(self.interrupting).spin(spin).build()
    }
}

/// The name of the contestant that waits this way.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ours, {}", self.backend)?;
        f.write_str(if self.interrupting { ", interrupting" } else { "" })?;
        f.write_str(if self.spin { ", spinning" } else { "" })
    }
}
