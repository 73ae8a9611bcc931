//! The reactor that users see.

use crate::backend::Backend;
use crate::engine::Engine;
use crate::stats::Stats;
use futex_sys::{EventFd, Word};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

/// Owns waiters and a way to wait for them, on any executor.
///
/// A driver needs a poller: [`AsFd`] gives a descriptor that is readable when there is work for [`turn`](Reactor::turn). The
/// backends that park threads turn by themselves, and their descriptor is never readable; it is there all the same, so that a
/// driver need not distinguish them.
///
/// Clones are handles to the same reactor. The last one that is dropped [closes](Reactor::close) it.
///
/// # After `fork`
///
/// A reactor belongs to the process that made it. In a child of `fork`, polling its waits is an error, and dropping it or its
/// waits does nothing. The child makes another reactor.
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
/// A whole driver is in the example `other_executor`.
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

/// A backend that would have been better and is not available, with the reason.
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

    /// The backend in use.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.inner.kind
    }

    /// The backends that would have been better and are not available here, with the reasons, best first. Empty if the
    /// caller or `FUTEX_BACKEND` chose the backend.
    pub fn passed_over(&self) -> impl Iterator<Item = (Backend, &io::Error)> {
        self.inner.passed.iter().map(|(kind, reason)| (*kind, reason))
    }

    /// What the reactor has done, and does now. All zero in a [fork](#after-fork).
    ///
    /// It takes the lock of each queue for a moment: 23 ns per ring, 24 µs with 100,000 waits on 1,042 rings (measured on a
    /// virtual machine with two processors). So it is cheap enough for an exporter of metrics, but not for every message.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.engine.stats()
    }

    /// Takes all completions that are there, and wakes their tasks. It also closes rings that are not needed any more. Any
    /// thread may call it, at any time.
    ///
    /// If a waker panics, the panic is caught after the panic hook has run, and all other tasks are woken. (With
    /// `panic=abort` the process ends.)
    ///
    /// With an edge-triggered poller, the descriptor need not be read: each completion is an edge. With a level-triggered
    /// one, call [`clear`](Reactor::clear) first.
    pub fn turn(&self) {
        self.inner.engine.turn();
    }

    /// Makes the descriptor unreadable until the next completion, for level-triggered pollers. Call it *before*
    /// [`turn`](Reactor::turn), so that a completion that comes in between is not missed.
    ///
    /// # Errors
    ///
    /// Those of `read(2)`; none is known for an eventfd.
    pub fn clear(&self) -> io::Result<()> {
        self.inner.eventfd.take().map(drop)
    }

    /// Ends all waits, which return an error (`BrokenPipe`), and closes everything in the kernel.
    ///
    /// When it returns, no waiter of this reactor is left in the kernel, and every wake that one had consumed is seen
    /// by its owner or handed on. (The threads of `Thread` end within 10 s. Until then a wake may find one, which hands
    /// it on.) It does not depend on what the threads that armed the waits do.
    pub fn close(&self) {
        self.inner.engine.close();
    }

    /// Returns true if the reactor was closed, and in a [fork](#after-fork), which can't wait with it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.engine.is_closed()
    }

    pub(crate) fn engine(&self) -> &Engine<Word> {
        &self.inner.engine
    }
}

impl AsFd for Reactor {
    /// Readable when there is work for [`turn`](Reactor::turn): on `Uring`, when there are completions or rings to close; on the
    /// other backends never.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.eventfd.as_fd()
    }
}

impl AsRawFd for Reactor {
    /// That of [`as_fd`](Reactor::as_fd).
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
