//! Waiting on several words at once.

use crate::engine::Engine;
use crate::outcome::Outcome;
use crate::queue::FutexWord;
use crate::reactor::Reactor;
use crate::shard::{Armed, Request};
use futex_sys::__private::fail;
use futex_sys::{MATCH_ANY, Word};
use std::fmt;
use std::future::Future;
use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// One wait of a [`WaitAny`]: on `word` while it is `expected`, for wakes whose mask shares a bit with `mask`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Target<'a> {
    /// Reactor to wait with.
    pub reactor: &'a Reactor,
    /// Word to wait on.
    pub word: &'a Word,
    /// Expected value. If the word differs, the wait ends at once.
    pub expected: u32,
    /// Mask of the wait. [`MATCH_ANY`](crate::MATCH_ANY) matches every wake.
    pub mask: NonZeroU32,
}

impl<'a> Target<'a> {
    /// Makes a target for every wake.
    #[must_use]
    pub fn new(reactor: &'a Reactor, word: &'a Word, expected: u32) -> Self {
        Self { reactor, word, expected, mask: MATCH_ANY }
    }

    /// Returns the same target, but only for wakes whose mask shares a bit with `mask`.
    #[must_use]
    pub fn with_mask(self, mask: NonZeroU32) -> Self {
        Self { mask, ..self }
    }

    fn raw(&self) -> RawTarget<'a, Word> {
        let Self { reactor, word, expected, mask } = *self;
        RawTarget { engine: reactor.engine(), word, expected, mask }
    }
}

/// The wait that ended a [`WaitAny`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct First {
    /// Index of the target, from 0.
    pub index: usize,
    /// Outcome of the wait.
    pub outcome: Outcome,
    /// Value of the target's word, loaded with acquire ordering by the poll that returned this. If the wait had been armed,
    /// the value may equal `expected`.
    pub value: u32,
}

/// Waits until one of several waits is over.
///
/// The first poll loads the words in the order of the targets. The first word that differs from its `expected` is the result,
/// and nothing is armed. If no word differs, all waits are armed before the poll returns `Pending`. On `Uring` this takes as few
/// submissions as possible (one per 64 waits of a ring), and the kernel queues the waits of one reactor in the order of the
/// targets.
///
/// If several waits have ended when the future is polled, the result is the one with the lowest index. The other waits end,
/// and each of them hands on a wake that it has consumed.
///
/// A poll after the future was ready begins new waits.
///
/// # Errors
///
/// `InvalidInput` if there are no targets, because the future would never be ready. Otherwise the errors of
/// [`Wait`](crate::Wait). After an error no wait is armed.
///
/// # Cancel safety
///
/// Cancel safe, like [`Wait`](crate::Wait).
///
/// # Examples
///
/// ```
/// use futex_core::{Outcome, Reactor, Target, WaitAny, Word};
/// use std::sync::{Arc, atomic::AtomicU32};
/// use std::task::{Context, Poll, Waker};
/// # use std::future::Future;
///
/// let reactor = Reactor::new()?;
/// let words = [0, 1].map(|value| Word::from(Arc::new(AtomicU32::new(value))));
///
/// let mut any = std::pin::pin!(WaitAny::new(words.iter().map(|word| Target::new(&reactor, word, 0))));
/// let Poll::Ready(first) = any.as_mut().poll(&mut Context::from_waker(Waker::noop())) else { panic!() };
/// let first = first?;
/// assert_eq!((first.index, first.value, first.outcome), (1, 1, Outcome::Mismatch)); // the second word is not 0
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct WaitAny<'a> {
    targets: Vec<Target<'a>>,
    waits: RawWaitAny<Word>,
}

impl<'a> WaitAny<'a> {
    /// Makes a future that waits for the first of `targets`.
    pub fn new(targets: impl IntoIterator<Item = Target<'a>>) -> Self {
        Self { targets: targets.into_iter().collect(), waits: RawWaitAny::new() }
    }

    /// Returns true if the waits are armed.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.waits.is_armed()
    }
}

impl Future for WaitAny<'_> {
    type Output = io::Result<First>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { targets, waits } = self.get_mut();
        if targets.is_empty() {
            return Poll::Ready(Err(fail(
                io::ErrorKind::InvalidInput,
                "a wait without any words would never end: pass at least one word",
            )));
        }
        waits.poll_wait(targets.iter().map(Target::raw), cx)
    }
}

impl fmt::Debug for WaitAny<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitAny").field("targets", &self.targets).field("armed", &self.is_armed()).finish()
    }
}

/// A [`Target`], generic over the word.
pub(crate) struct RawTarget<'a, W: FutexWord> {
    pub(crate) engine: &'a Engine<W>,
    pub(crate) word: &'a W,
    pub(crate) expected: u32,
    pub(crate) mask: NonZeroU32,
}

/// The part of a [`WaitAny`] that is generic over the word, so that the models can use it too.
pub(crate) struct RawWaitAny<W: FutexWord> {
    /// The armed waits, in the order of the targets. Empty while nothing is armed.
    armed: Vec<Armed<W>>,
}

impl<W: FutexWord> RawWaitAny<W> {
    pub(crate) const fn new() -> Self {
        Self { armed: Vec::new() }
    }

    pub(crate) fn is_armed(&self) -> bool {
        !self.armed.is_empty()
    }

    /// Polls the armed waits. If none is armed, begins waits on `targets`. The caller passes the same targets until the result
    /// is ready.
    pub(crate) fn poll_wait<'a>(
        &mut self,
        targets: impl Iterator<Item = RawTarget<'a, W>> + Clone,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<First>> {
        if !self.is_armed() {
            for (index, target) in targets.clone().enumerate() {
                let value = target.word.value();
                if value != target.expected {
                    return Poll::Ready(Ok(First { index, outcome: Outcome::Mismatch, value }));
                }
            }
            if !self.arm(targets.clone(), cx.waker())? {
                return Poll::Pending;
            }
        }
        for (index, (armed, target)) in self.armed.iter_mut().zip(targets).enumerate() {
            let Poll::Ready(outcome) = armed.poll(cx.waker()) else { continue };
            self.cancel(); // each of the others hands on a wake that it has consumed
            return Poll::Ready(outcome.map(|outcome| First { index, outcome, value: target.word.value() }));
        }
        Poll::Pending
    }

    /// Arms all waits. Returns true if a wait has already ended.
    fn arm<'a>(&mut self, targets: impl Iterator<Item = RawTarget<'a, W>>, waker: &Waker) -> io::Result<bool> {
        // The targets of one engine are put side by side, in their order.
        let mut targets: Vec<_> = targets.enumerate().collect();
        targets.sort_unstable_by_key(|(index, target)| (std::ptr::from_ref(target.engine).addr(), *index));
        let request =
            |target: &RawTarget<'a, W>| Request::new(target.word, target.expected, target.mask, waker.clone());
        let mut requests: Vec<_> = targets.iter().map(|(_, target)| request(target)).collect();
        let mut left = &mut requests[..];
        for group in targets.chunk_by(|(_, one), (_, next)| std::ptr::eq(one.engine, next.engine)) {
            let (requests, others) = left.split_at_mut(group.len());
            group[0].1.engine.arm(requests)?;
            left = others;
        }
        let over = requests.iter().any(Request::is_over);
        self.armed.resize_with(targets.len(), || Armed::NONE);
        for ((index, _), request) in targets.iter().zip(&mut requests) {
            self.armed[*index] = request.take_armed();
        }
        Ok(over)
    }

    pub(crate) fn cancel(&mut self) {
        self.armed.clear();
    }
}
