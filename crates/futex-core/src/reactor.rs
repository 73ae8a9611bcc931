//! The public reactor.

use crate::backend::Backend;
use crate::engine::Engine;
use crate::stats::Stats;
use futex_sys::{EventFd, Word};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

/// The owner of waiters and of their backend, independent of the executor.
///
/// A driver polls the reactor's file descriptor ([`AsFd`]), and calls [`turn`](Reactor::turn) when the descriptor is
/// readable. The backends that park threads turn the reactor themselves. Their descriptor is never readable; it exists so that
/// a driver can treat all backends alike.
///
/// Clones are handles to the same reactor. Dropping the last handle [closes](Reactor::close) the reactor.
///
/// # After `fork`
///
/// A reactor belongs to the process that made it. In a child of `fork`, arming a wait or polling an armed one is an error, and
/// dropping the reactor or its waits does nothing. The child must make another reactor.
///
/// # Examples
///
/// ```
/// use futex_core::{Outcome, Reactor, Word};
/// use std::sync::{Arc, atomic::AtomicU32};
///
/// let reactor = Reactor::new()?;
/// let word = Word::from(Arc::new(AtomicU32::new(1)));
///
/// let mut wait = std::pin::pin!(reactor.wait(&word, 0)); // the word is not 0
/// let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
/// let std::task::Poll::Ready(outcome) = wait.as_mut().poll(&mut cx) else { panic!() };
/// assert_eq!(outcome?, Outcome::Mismatch);
/// # use std::future::Future;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// The example `other_executor` contains a complete driver.
#[derive(Clone)]
pub struct Reactor {
    inner: Arc<Inner>,
}

struct Inner {
    kind: Backend,
    engine: Arc<Engine<Word>>,
    eventfd: Arc<EventFd>,
    passed: Vec<Passed>,
}

/// A better backend that is not available here, and the reason.
pub(crate) type Passed = (Backend, io::Error);

impl Reactor {
    pub(crate) fn assemble(
        kind: Backend,
        engine: Arc<Engine<Word>>,
        eventfd: Arc<EventFd>,
        passed: Vec<Passed>,
    ) -> Self {
        Self { inner: Arc::new(Inner { kind, engine, eventfd, passed }) }
    }

    /// Returns the backend in use.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.inner.kind
    }

    /// Returns the backends that are preferred to the one in use but are not available here, best first, each with the
    /// reason. The iterator is empty if the caller or `FUTEX_BACKEND` chose the backend.
    pub fn passed_over(&self) -> impl Iterator<Item = (Backend, &io::Error)> {
        self.inner.passed.iter().map(|(kind, reason)| (*kind, reason))
    }

    /// Returns the reactor's statistics. All figures are zero in a [fork](#after-fork).
    ///
    /// The call briefly takes the lock of each queue: 23 ns per ring, 24 µs with 100,000 waits on 1,042 rings (measured on a
    /// virtual machine with 2 CPUs). This is cheap enough for a metrics exporter, but not for every message.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.engine.stats()
    }

    /// Takes all available completions, wakes their tasks, and closes rings that are no longer needed. Any thread may call
    /// this method at any time.
    ///
    /// If a waker panics, the panic is caught after the panic hook has run, and the other tasks are still woken. (With
    /// `panic=abort` the process ends.)
    ///
    /// With an edge-triggered poller the descriptor need not be read, because each completion is an edge. With a
    /// level-triggered poller, call [`clear`](Reactor::clear) before each turn.
    pub fn turn(&self) {
        self.inner.engine.turn();
    }

    /// Makes the descriptor unreadable until the next completion, for level-triggered pollers. Call this method *before*
    /// [`turn`](Reactor::turn), so that a completion that arrives in between is not missed.
    ///
    /// # Errors
    ///
    /// The errors of `read(2)`. None is known for an eventfd.
    pub fn clear(&self) -> io::Result<()> {
        self.inner.eventfd.take().map(drop)
    }

    /// Ends all waits with the error `BrokenPipe`, and releases everything that the reactor has in the kernel.
    ///
    /// When this method returns, no waiter of this reactor is left in the kernel, and each consumed wake was seen by its
    /// owner or handed on. There is one exception: the threads of waits on `Thread`, and of waits with a mask on `Waitv`, end
    /// within 10 s; until then a thread may receive a wake, and hands it on.
    ///
    /// Closing does not wait for the threads that armed the waits.
    pub fn close(&self) {
        self.inner.engine.close();
    }

    /// Returns true if the reactor was closed, and in a [fork](#after-fork), which can't use the reactor.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.engine.is_closed()
    }

    pub(crate) fn engine(&self) -> &Engine<Word> {
        &self.inner.engine
    }
}

impl AsFd for Reactor {
    /// Returns a descriptor that is readable when [`turn`](Reactor::turn) has work. On `Waitv` and `Thread` it is never
    /// readable.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.eventfd.as_fd()
    }
}

impl AsRawFd for Reactor {
    /// Returns the descriptor of [`as_fd`](Reactor::as_fd).
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor")
            .field("backend", &self.inner.kind)
            .field("passed_over", &self.inner.passed)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
