//! Waiting on one word.

use crate::engine::Engine;
use crate::outcome::Outcome;
use crate::queue::FutexWord;
use crate::reactor::Reactor;
use crate::shard::{Armed, Request};
use futex_sys::Word;
use futex_sys::futex::MATCH_ANY;
use std::fmt;
use std::future::Future;
use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Poll};

impl Reactor {
    /// Waits for a wake while `word` is `expected`. If the word differs, the wait ends at once.
    ///
    /// The contract is the one of every futex: to end the wait, *change the word, then wake*. A wait may also end without a
    /// cause, so load the word again and wait in a loop.
    ///
    /// # Errors
    ///
    /// See [`Wait`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: see [`Wait`].
    ///
    /// # Memory ordering
    ///
    /// The first poll loads the word with [`Acquire`](std::sync::atomic::Ordering::Acquire). To read data that was written
    /// before the word was changed, load the word with `Acquire` after the wait. The other side must store the word with
    /// [`Release`](std::sync::atomic::Ordering::Release).
    pub fn wait<'a>(&'a self, word: &'a Word, expected: u32) -> Wait<'a> {
        self.wait_masked(word, expected, MATCH_ANY)
    }

    /// Like [`wait`](Reactor::wait), but only for wakes whose mask shares a bit with `mask`. A plain wake matches every mask.
    ///
    /// # Errors
    ///
    /// See [`Wait`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: see [`Wait`]. A wake is handed on under this wait's own mask.
    pub fn wait_masked<'a>(&'a self, word: &'a Word, expected: u32, mask: NonZeroU32) -> Wait<'a> {
        Wait { reactor: self, word, expected, mask, waiter: Waiter::new() }
    }
}

/// The future of [`Reactor::wait`].
///
/// A poll after the future was ready begins a new wait.
///
/// # Errors
///
/// - `BrokenPipe` if the reactor was closed.
/// - `Unsupported` in a fork of the reactor's process.
/// - `OutOfMemory` if the kernel has no memory (or no thread) for the wait.
/// - Other kinds, for instance if no descriptor is left or a sandbox forbids the wait. Never `WouldBlock` or `Interrupted`.
///
/// If the word's file is truncated, loading the word raises `SIGBUS`, and no wake reaches a wait that is already armed.
/// Memory of [`SharedMemory::anonymous`](crate::SharedMemory::anonymous) is sealed against truncation.
///
/// # Cancel safety
///
/// Cancel safe: if the wait has consumed a wake, dropping the future hands that wake on to the next waiter of the word, before
/// the drop returns. On `Waitv` and `Thread`, a thread of the backend may receive a wake during the drop or later. That thread
/// hands the wake on.
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

/// A registered interest in a word, from which futures and streams are built.
///
/// Unlike a [`Wait`], a waiter borrows nothing, so it can be stored beside its reactor and its word. Dropping a waiter behaves
/// like dropping a [`Wait`].
pub struct Waiter(RawWaiter<Word>);

impl Waiter {
    /// Makes a waiter without an armed wait.
    #[must_use]
    pub const fn new() -> Self {
        Self(RawWaiter::new())
    }

    /// Polls the armed wait. If none is armed, begins a wait on `word` while it is `expected`.
    ///
    /// While a wait is armed, only `cx` is used, so pass the same arguments until the result is ready. The next call then
    /// begins a new wait.
    ///
    /// # Errors
    ///
    /// The errors of [`Wait`].
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

    /// Like [`poll_wait`](Waiter::poll_wait), but only for wakes whose mask shares a bit with `mask`.
    ///
    /// # Errors
    ///
    /// The errors of [`Wait`].
    #[inline]
    pub fn poll_wait_masked(
        &mut self,
        reactor: &Reactor,
        word: &Word,
        expected: u32,
        mask: NonZeroU32,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Outcome>> {
        self.0.poll_wait(reactor.engine(), word, expected, mask, cx)
    }

    /// Returns true if a wait is armed.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.0.is_armed()
    }

    /// Cancels the armed wait, if there is one, like dropping the waiter does.
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

/// The part of a [`Waiter`] that is generic over the word, so that the models can use it too.
pub(crate) struct RawWaiter<W: FutexWord> {
    armed: Armed<W>,
}

impl<W: FutexWord> RawWaiter<W> {
    pub(crate) const fn new() -> Self {
        Self { armed: Armed::NONE }
    }

    pub(crate) fn is_armed(&self) -> bool {
        !self.armed.is_none()
    }

    #[inline(always)] // part of the hot path
    pub(crate) fn poll_wait(
        &mut self,
        engine: &Engine<W>,
        word: &W,
        expected: u32,
        mask: NonZeroU32,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Outcome>> {
        if self.is_armed() {
            return self.poll_armed(cx);
        }
        if word.value() != expected {
            return Poll::Ready(Ok(Outcome::Mismatch));
        }
        self.arm(engine, word, expected, mask, cx)
    }

    #[inline(never)] // so that the first poll of a word that differs stays small
    fn arm(
        &mut self,
        engine: &Engine<W>,
        word: &W,
        expected: u32,
        mask: NonZeroU32,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Outcome>> {
        let mut request = Request::new(word, expected, mask, cx.waker().clone());
        engine.arm(std::slice::from_mut(&mut request))?;
        let is_over = request.is_over();
        self.armed = request.take_armed();
        if is_over { self.poll_armed(cx) } else { Poll::Pending }
    }

    #[inline(never)] // as above
    fn poll_armed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Outcome>> {
        self.armed.poll(cx.waker())
    }

    pub(crate) fn cancel(&mut self) {
        self.armed = Armed::NONE;
    }
}
