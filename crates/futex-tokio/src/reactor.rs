//! A reactor that a Tokio runtime drives.

use crate::driver::{ADVICE, Driver};
use crate::register::current_runtime;
use crate::registry;
use crate::spin::Spin;
use futex_core::{Backend, Stats};
use std::fmt;
use std::io;
use std::sync::Arc;

/// A reactor waits on futex words in the kernel, and wakes the tasks that wait for them. A Tokio runtime drives the reactor.
///
/// Each runtime has a reactor, which [`AsyncFutex::new`](crate::AsyncFutex::new) uses and [`Reactor::current`] returns. To
/// choose the backend, make another reactor with [`Reactor::builder`].
///
/// A reactor is driven by the runtime in which it is made. Futures that wait with the reactor may be polled anywhere, also on
/// other runtimes and executors. On `Uring`, their tasks are woken only while the driving runtime runs. (A current-thread
/// runtime runs only inside its `block_on`.) When the runtime shuts down, it [closes](Reactor::close) its reactors.
///
/// Clones are handles to the same reactor, and each [`AsyncFutex`](crate::AsyncFutex) contains a handle. Dropping the last
/// handle closes the reactor. For the reactor of [`current`](Reactor::current), this crate keeps a handle until the runtime
/// shuts down.
///
/// # After `fork`
///
/// A reactor belongs to the process that made it. In a child of `fork`, a wait with this reactor is an error, and dropping the
/// reactor has no effect. A new runtime in the child has a reactor of its own.
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
/// futex.wait_async(1).await?; // the word is 0, so this is ready at once
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
    /// Returns the reactor of the current runtime. The first call makes the reactor.
    ///
    /// The reactor uses the first [backend](Backend) that works here, or the one that `FUTEX_BACKEND` names.
    ///
    /// # Errors
    ///
    /// Those of [`ReactorBuilder::build`], such as `Unsupported` outside a runtime.
    pub fn current() -> io::Result<Self> {
        registry::current().map(|driver| Self { driver, spin: Spin::OFF })
    }

    /// Returns a builder, for instance to choose the backend.
    pub fn builder() -> ReactorBuilder {
        ReactorBuilder { core: futex_core::Reactor::builder(), spin: Spin::OFF }
    }

    /// Returns the backend in use.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.core().backend()
    }

    /// Returns the backends that are preferred to the one in use but are not available here, best first, each with the
    /// reason. The iterator is empty if the caller or `FUTEX_BACKEND` chose the backend.
    pub fn passed_over(&self) -> impl Iterator<Item = (Backend, &io::Error)> {
        self.core().passed_over()
    }

    /// Returns the maximum time that waits [spin](Spin) before they sleep, unless their futex has its own setting.
    #[must_use]
    pub fn spin(&self) -> Spin {
        self.spin
    }

    /// Returns the number of waits that are armed now, and counts of the waits that have ended. All figures are zero in a
    /// [fork](#after-fork).
    ///
    /// The call takes the lock of each queue for a short time. With 100,000 waits on 1,042 rings it takes 24 µs (measured on a
    /// virtual machine with 2 CPUs). That is fast enough for a metrics exporter, but not for each message.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.core().stats()
    }

    /// Closes the reactor. All waits of the reactor end with an error (`BrokenPipe`). If this was the reactor of
    /// [`current`](Reactor::current), the next call of `current` makes a new reactor. The runtime's shutdown closes reactors in
    /// the same way.
    ///
    /// When this returns, no waiter of the reactor is left in the kernel. There is one exception: on `Thread`, and on `Waitv`
    /// for waits with a mask, threads may stay parked for up to 10 s after the call. A thread that receives a wake in that
    /// time hands the wake on. A wait that has consumed a wake ends without an error. If the future of such a wait was
    /// dropped, the wake is [handed on](crate::WaitAsync#cancel-safety). The threads that armed the waits may be blocked or
    /// busy. The call does not wait for them.
    pub fn close(&self) {
        self.core().close();
    }

    /// Returns true if [`close`](Reactor::close) or the runtime's shutdown has closed the reactor. Also returns true in a
    /// [fork](#after-fork), which can't wait with the reactor.
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

/// Builds a [`Reactor`]. [`Reactor::builder`] returns one.
#[derive(Clone, Debug)]
#[must_use = "a builder makes nothing until `build`"]
pub struct ReactorBuilder {
    core: futex_core::ReactorBuilder,
    spin: Spin,
}

impl ReactorBuilder {
    /// Chooses the backend.
    ///
    /// Without this call, the environment variable `FUTEX_BACKEND` (`uring`, `waitv` or `thread`) chooses it. If the variable is
    /// unset or empty, the reactor uses the first [backend](Backend) that works here.
    pub fn backend(mut self, backend: Backend) -> Self {
        self.core = self.core.backend(backend);
        self
    }

    /// Sets the maximum time that waits [spin](Spin) before they sleep. The default is [`Spin::OFF`].
    ///
    /// [`AsyncFutex::with_spin`](crate::AsyncFutex::with_spin) overrides this for one futex.
    pub fn spin(mut self, spin: Spin) -> Self {
        self.spin = spin;
        self
    }

    /// If `interrupting` is true, the end of a wait is reported at once, even while the thread that armed the wait computes. The
    /// default is false. This affects [`Backend::Uring`] only.
    ///
    /// When a wake ends a wait, the kernel posts a *completion*, which makes the runtime wake the task. The kernel does this on
    /// the thread that armed the wait (the thread that polled the future):
    ///
    /// - If this thread sleeps in a call such as `epoll_wait`, the completion is posted at once.
    /// - If this thread computes, the completion is posted when the thread next enters the kernel, at the latest at the next
    ///   clock tick. A tick comes every 1 to 4 ms, but on a `nohz_full` processor there may be none. If `interrupting` is true,
    ///   the completion is posted within 0.1 ms (measured on Linux 6.18, 2 CPUs).
    ///
    /// This gains time only if another thread of the runtime waits for events at that moment, because the thread that
    /// computes can't run the woken task. Each completion costs an interrupt from one processor to another. Under load this
    /// can cost more than half of the throughput. The
    /// [measurements](https://github.com/async-futex/async-futex/blob/main/docs/kernel-support.md#late-completions) show when
    /// the setting pays off.
    pub fn interrupting(mut self, interrupting: bool) -> Self {
        self.core = self.core.interrupting(interrupting);
        self
    }

    /// Makes the reactor. It is driven by the current runtime.
    ///
    /// # Errors
    ///
    /// - `Unsupported` outside a runtime, and in a runtime without an I/O driver.
    /// - `InvalidInput` if `FUTEX_BACKEND` does not name a backend.
    /// - `PermissionDenied`, `Unsupported`, `OutOfMemory` or another kind if the chosen backend is not available here. The
    ///   message has the reason. It also lists the available backends among those that come after the chosen one in
    ///   [`Backend`].
    /// - The kernel's error if the process has no descriptors left.
    pub fn build(self) -> io::Result<Reactor> {
        // Checked first, so that nothing is opened if there is no runtime.
        current_runtime(ADVICE)?;
        // The registry has only the reactors of `Reactor::current`, so it has nothing to forget.
        let driver = Driver::start(self.core.build()?, drop)?;
        Ok(Reactor { driver, spin: self.spin })
    }
}
