//! A reactor that a Tokio runtime drives.

use crate::driver::{ADVICE, Driver};
use crate::register::current_runtime;
use crate::registry;
use crate::spin::Spin;
use futex_core::{Backend, Stats};
use std::fmt;
use std::io;
use std::sync::Arc;

/// What futexes wait with: a way to wait in the kernel, driven by a Tokio runtime.
///
/// Every runtime has one that [`AsyncFutex::new`](crate::AsyncFutex::new) uses; [`Reactor::current`] gets it. Make another
/// with [`Reactor::builder`] to choose the backend.
///
/// The reactor is driven by the runtime that it was made in. Futures that wait with it may be polled anywhere, on other
/// runtimes and executors too, as long as that runtime runs. (A current-thread runtime runs within its `block_on` only.)
/// When the runtime shuts down, its reactors close: their waits end with an error, and none is left in the kernel.
///
/// Clones are handles to the same reactor.
///
/// # After `fork`
///
/// A reactor belongs to the process that made it. In a child of `fork` waiting with it is an error, and dropping it does
/// nothing. A fresh runtime in the child has a reactor of its own.
///
/// # Examples
///
/// ```
/// use futex_tokio::{AsyncFutex, Backend, Reactor, SharedMemory};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let reactor = Reactor::builder().backend(Backend::Thread).build()?;
/// let futex = AsyncFutex::with_reactor(&reactor, SharedMemory::anonymous(4096)?.word(0)?);
/// futex.wait_async(1).await?; // it is 0, so this returns at once
/// assert_eq!(reactor.stats().armed, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Reactor {
    driver: Arc<Driver>,
    spin: Spin,
}

impl Reactor {
    /// The reactor of the current runtime, made at the first call on the best backend that works here, or on the one that
    /// `FUTEX_BACKEND` names.
    ///
    /// # Errors
    ///
    /// `Unsupported` outside a runtime, and in one without an I/O driver. Those of [`ReactorBuilder::build`].
    pub fn current() -> io::Result<Self> {
        registry::current().map(|driver| Self { driver, spin: Spin::OFF })
    }

    /// A builder, to choose the backend.
    pub fn builder() -> ReactorBuilder {
        ReactorBuilder { core: futex_core::Reactor::builder(), spin: Spin::OFF }
    }

    /// The backend in use.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.core().backend()
    }

    /// The backends that would have been better and are not available here, with the reasons, best first. Empty if the
    /// caller or `FUTEX_BACKEND` chose the backend.
    pub fn passed_over(&self) -> impl Iterator<Item = (Backend, &io::Error)> {
        self.core().passed_over()
    }

    /// The longest time that waits spin on their word before they sleep, unless their futex has its own setting.
    #[must_use]
    pub fn spin(&self) -> Spin {
        self.spin
    }

    /// What the reactor has done, and does now. All zero in a [fork](#after-fork).
    ///
    /// It takes the lock of each queue for a moment: 23 ns per ring, 24 µs with 100,000 waits on 1,042 rings (measured on a
    /// virtual machine with two processors). So it is cheap enough for an exporter of metrics, but not for every message.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.core().stats()
    }

    /// Ends all waits, which return an error (`BrokenPipe`), and closes everything in the kernel. The runtime's shutdown does
    /// the same.
    ///
    /// When it returns, no waiter of this reactor is left in the kernel, and every wake that one had consumed is seen
    /// by its owner or handed on. (The threads of `Thread` end within 10 s. Until then a wake may find one, which hands
    /// it on.) It does not depend on what the threads that armed the waits do. [`current`](Reactor::current) makes a
    /// new reactor afterwards.
    pub fn close(&self) {
        self.core().close();
    }

    /// Returns true if the reactor was closed, by [`close`](Reactor::close) or with its runtime, and in a
    /// [fork](#after-fork), which can't wait with it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.core().is_closed()
    }

    pub(crate) fn core(&self) -> &futex_core::Reactor {
        &self.driver.reactor
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.driver.fmt(f)
    }
}

/// Makes a [`Reactor`]. From [`Reactor::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder makes nothing until `build`"]
pub struct ReactorBuilder {
    core: futex_core::ReactorBuilder,
    spin: Spin,
}

impl ReactorBuilder {
    /// Takes this backend and no other.
    ///
    /// Without it, `FUTEX_BACKEND` in the environment chooses (`uring`, `waitv` or `thread`), and without that the first
    /// one that works here is taken.
    pub fn backend(mut self, backend: Backend) -> Self {
        self.core = self.core.backend(backend);
        self
    }

    /// The longest time that waits spin on their word before they sleep. They spin only if that has paid off lately on their
    /// futex: see [`Spin`]. Without this they sleep at once.
    ///
    /// [`AsyncFutex::with_spin`](crate::AsyncFutex::with_spin) sets it for one futex.
    pub fn spin(mut self, spin: Spin) -> Self {
        self.spin = spin;
        self
    }

    /// Opens rings whose completions interrupt the thread that armed the wait, also while it computes. It matters on
    /// [`Backend::Uring`] only. The default is `false`.
    ///
    /// A completion is posted by the thread that armed the wait: at once if that thread sleeps in the kernel, and otherwise
    /// when it next enters the kernel, at the latest at the next tick of the clock (1 to 4 ms). Interrupting rings post it
    /// within 0.1 ms. That helps if another worker of the runtime waits for events at that time, and it costs an
    /// inter-processor interrupt per completion for a thread that runs. The project's
    /// [benchmarks](https://github.com/async-futex/async-futex/blob/main/docs/benchmarks.md) have the measurements.
    pub fn interrupting(mut self, interrupting: bool) -> Self {
        self.core = self.core.interrupting(interrupting);
        self
    }

    /// Makes the reactor, which the current runtime drives from now on.
    ///
    /// # Errors
    ///
    /// `Unsupported` outside a runtime, and in one without an I/O driver. The reason why the chosen backend is not available
    /// here, with the names of others that are. `InvalidInput` if `FUTEX_BACKEND` does not name a backend. The kernel's, if no
    /// descriptors are left.
    pub fn build(self) -> io::Result<Reactor> {
        // Asked first, so that nothing is opened in vain.
        current_runtime(ADVICE)?;
        // A reactor of its own: it is in no table.
        let driver = Driver::start(self.core.build()?, drop)?;
        Ok(Reactor { driver, spin: self.spin })
    }
}
