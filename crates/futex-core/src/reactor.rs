//! The reactor that users see.

use crate::builder::{Builder, Passed};
use crate::engine::Engine;
use crate::shard::Request;
use crate::waiter::{Outcome, RawWaiter};
use crate::{BackendKind, Stats};
use futex_sys::futex::MATCH_ANY;
use futex_sys::{EventFd, Word};
use std::fmt;
use std::future::Future;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Owns waiters and a way to wait for them, on any executor.
///
/// A driver needs a poller: [`AsFd`] gives a descriptor that is readable when completions wait, and
/// [`turn`](Reactor::turn) takes them and wakes their tasks. The backends that park threads turn by themselves, and their
/// descriptor is never readable; it is there all the same, so that a driver need not distinguish them.
///
/// Clones are handles to the same reactor. The last one that is dropped [closes](Reactor::close) it.
///
/// # After `fork`
///
/// A reactor belongs to the process that made it. In a child of `fork` arming and polling is an error, and dropping does
/// nothing; the child makes another reactor.
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
    kind: BackendKind,
    engine: Arc<Engine<Word>>,
    eventfd: Arc<EventFd>,
    passed: Vec<Passed>,
}

impl Reactor {
    /// A reactor on the best backend that works here, or on the one that `FUTEX_BACKEND` names.
    ///
    /// # Errors
    ///
    /// Those of [`Builder::build`].
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// A builder, to choose the backend.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn assemble(
        kind: BackendKind,
        engine: Arc<Engine<Word>>,
        eventfd: Arc<EventFd>,
        passed: Vec<Passed>,
    ) -> Self {
        Self { inner: Arc::new(Inner { kind, engine, eventfd, passed }) }
    }

    /// The backend in use.
    #[must_use]
    pub fn backend(&self) -> BackendKind {
        self.inner.kind
    }

    /// The backends that would have been better and are not available here, with the reasons, best first. Empty where the
    /// backend was chosen and not found.
    pub fn passed_over(&self) -> impl Iterator<Item = (BackendKind, &io::Error)> {
        self.inner.passed.iter().map(|(kind, reason)| (*kind, reason))
    }

    /// What the reactor has done, and does now. It takes the locks of all queues, so it is for tests and for monitoring. All
    /// zero in a [fork](#after-fork).
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.engine.stats()
    }

    /// Waits while `word` is `expected`, until a wake.
    ///
    /// The contract is that of every futex: to end the wait, *change the word, then wake*.
    pub fn wait<'a>(&'a self, word: &'a Word, expected: u32) -> Wait<'a> {
        self.wait_masked(word, expected, MATCH_ANY)
    }

    /// [`wait`](Reactor::wait) for the wakes whose mask shares a bit with `mask`. A plain wake matches every mask.
    pub fn wait_masked<'a>(&'a self, word: &'a Word, expected: u32, mask: NonZeroU32) -> Wait<'a> {
        Wait { reactor: self, word, expected, mask, waiter: Waiter::new() }
    }

    /// Takes all completions that wait, and wakes their tasks. Any thread may call it, at any time.
    ///
    /// A waker that panics keeps nothing else from happening, and its panic ends here: the panic hook has reported it. (With
    /// `panic=abort` it ends the process.)
    ///
    /// With an edge-triggered poller the descriptor needs no reading: each completion is an edge. With a level-triggered one
    /// call [`clear`](Reactor::clear) first.
    pub fn turn(&self) {
        self.inner.engine.turn();
    }

    /// Makes the descriptor unreadable until the next completion, for level-triggered pollers. Call it *before*
    /// [`turn`](Reactor::turn), so that a completion that comes in between is not forgotten.
    ///
    /// # Errors
    ///
    /// Those of `read(2)`; none is known for an eventfd.
    pub fn clear(&self) -> io::Result<()> {
        self.inner.eventfd.take().map(drop)
    }

    /// Ends all waits, which return an error, and closes everything in the kernel.
    ///
    /// When it returns, no waiter of this reactor is left in the kernel, and every wake that one had consumed is seen by its
    /// owner or handed on. (`Thread` leaves its threads parked, and they hand on.) It does not depend on what the threads
    /// that armed the waits do.
    pub fn close(&self) {
        self.inner.engine.close();
    }

    /// Returns true if the reactor was closed, and in a [fork](#after-fork), which can't wait with it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.engine.is_closed()
    }

    /// Returns true if the calling process is the one that made the reactor, and not a [fork](#after-fork) of it.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.inner.engine.is_here()
    }
}

impl Reactor {
    pub(crate) fn engine(&self) -> &Engine<Word> {
        &self.inner.engine
    }
}

impl AsFd for Reactor {
    /// Readable when completions wait.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.eventfd.as_fd()
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

/// The future of [`Reactor::wait`].
///
/// # Errors
///
/// `BrokenPipe` if the reactor was closed, `Unsupported` in a fork of the reactor's process, `OutOfMemory` if the kernel has
/// no memory (or no thread) for the wait, and other kinds if it can't wait for want of descriptors, or because a sandbox
/// forbids it. Never `WouldBlock` or `Interrupted`.
///
/// A word whose file is truncated is gone: loading it raises `SIGBUS`, and no wake reaches a wait that is armed on it.
/// Memory of [`SharedMemory::anonymous`](futex_sys::SharedMemory::anonymous) is sealed against that.
///
/// # Cancel safety
///
/// Dropping it leaves no trace: a wake that it has consumed is handed on to the next waiter of the word, before the drop
/// returns. (On `Waitv` and `Thread` a wake that arrives at that moment is handed on by the backend's thread.)
#[must_use = "futures do nothing unless polled"]
pub struct Wait<'a> {
    reactor: &'a Reactor,
    word: &'a Word,
    expected: u32,
    mask: NonZeroU32,
    waiter: Waiter,
}

impl Future for Wait<'_> {
    type Output = io::Result<Outcome>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { reactor, word, expected, mask, waiter } = self.get_mut();
        waiter.poll_wait_masked(reactor, word, *expected, *mask, cx)
    }
}

impl fmt::Debug for Wait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("word", self.word)
            .field("expected", &self.expected)
            .field("mask", &self.mask)
            .field("waiter", &self.waiter)
            .finish_non_exhaustive()
    }
}

/// A registered interest in a word: what futures and streams that wait are built of.
///
/// Unlike [`Wait`] it borrows nothing, so it can live in a struct beside its reactor and its word. Dropping it behaves like
/// dropping a [`Wait`].
pub struct Waiter(RawWaiter<Word>);

impl Waiter {
    /// A waiter that waits for nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(RawWaiter::new())
    }

    /// Polls for the end of a wait on `word` while it is `expected`, and begins one if none is armed.
    ///
    /// While a wait is armed, only `cx` is used of the arguments: pass the same ones until it is ready. After that the next
    /// call begins a new wait.
    ///
    /// # Errors
    ///
    /// Those of [`Wait`].
    #[inline]
    pub fn poll_wait(
        &mut self,
        reactor: &Reactor,
        word: &Word,
        expected: u32,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Outcome>> {
        self.poll_wait_masked(reactor, word, expected, MATCH_ANY, cx)
    }

    /// [`poll_wait`](Waiter::poll_wait) for the wakes whose mask shares a bit with `mask`.
    ///
    /// # Errors
    ///
    /// Those of [`Wait`].
    #[inline]
    pub fn poll_wait_masked(
        &mut self,
        reactor: &Reactor,
        word: &Word,
        expected: u32,
        mask: NonZeroU32,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Outcome>> {
        self.0.poll_wait(&reactor.inner.engine, &Request { word, expected, mask }, cx)
    }

    /// Returns true if a wait is armed.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.0.is_armed()
    }

    /// Gives up the wait, if one is armed, as dropping does.
    pub fn cancel(&mut self) {
        self.0.cancel();
    }
}

impl Default for Waiter {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").field("armed", &self.is_armed()).finish()
    }
}
