//! What runs the sides of a contestant: runtimes, and the reactors of the library.

use futex_tokio::{Backend, Reactor, Spin};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime, RuntimeFlavor};

/// A kind of runtime. A side that blocks has one too: its future is ready at the first poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    CurrentThread,
    MultiThread,
}

impl Kind {
    pub(crate) fn runtime(self) -> io::Result<Runtime> {
        match self {
            Self::CurrentThread => Builder::new_current_thread().enable_all().build(),
            Self::MultiThread => Builder::new_multi_thread().enable_all().build(),
        }
    }
}

/// Runs a future as a task of a user runs.
pub(crate) fn run<T: Send + 'static>(runtime: &Runtime, future: impl Future<Output = T> + Send + 'static) -> T {
    if runtime.handle().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return runtime.block_on(future);
    }
    // A task on a worker: a wake of the future that `block_on` itself polls takes a detour.
    let task = runtime.spawn(future);
    runtime.block_on(task).unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// The settings of a reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Config {
    Uring,
    /// A completion interrupts the thread that armed the wait, if that computes.
    Interrupting,
    Waitv,
    Thread,
    /// Waits spin before they sleep, for at most 50 µs.
    SpinningUring,
    SpinningWaitv,
}

impl Config {
    /// Every backend, best first.
    pub(crate) const BACKENDS: [Self; 3] = [Self::Uring, Self::Waitv, Self::Thread];

    fn backend(self) -> Backend {
        match self {
            Self::Uring | Self::Interrupting | Self::SpinningUring => Backend::Uring,
            Self::Waitv | Self::SpinningWaitv => Backend::Waitv,
            Self::Thread => Backend::Thread,
        }
    }

    fn spins(self) -> bool {
        matches!(self, Self::SpinningUring | Self::SpinningWaitv)
    }

    /// A reactor of the runtime that is entered.
    pub(crate) fn reactor(self) -> io::Result<Reactor> {
        let spin = if self.spins() { Spin::up_to(Duration::from_micros(50)) } else { Spin::default() };
        Reactor::builder().backend(self.backend()).interrupting(self == Self::Interrupting).spin(spin).build()
    }
}

/// The name of the contestant with these settings.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ours, {}", self.backend())?;
        f.write_str(if *self == Self::Interrupting { ", interrupting" } else { "" })?;
        f.write_str(if self.spins() { ", spinning" } else { "" })
    }
}
