//! Waiting on several words at once.

use crate::shard::Request;
use crate::waiter::{Outcome, RawWaitAny};
use crate::{Reactor, Word};
use std::fmt;
use std::future::Future;
use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Poll};

/// One wait of a [`WaitAny`]: on `word` while it is `expected`, for wakes whose mask shares a bit with `mask`.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The reactor to wait with.
    pub reactor: &'a Reactor,
    /// The word.
    pub word: &'a Word,
    /// The wait is over at once if the word differs from this.
    pub expected: u32,
    /// [`MATCH_ANY`](crate::MATCH_ANY) for every wake.
    pub mask: NonZeroU32,
}

impl<'a> Target<'a> {
    fn request(&self) -> Request<'a, Word> {
        Request { word: self.word, expected: self.expected, mask: self.mask }
    }
}

/// Waits until one of several waits is over, and returns its index and how it ended.
///
/// The first poll loads all words first. If one differs from its `expected`, the result is the lowest such index, and nothing
/// is armed. Otherwise it arms all waits, with one system call per ring on `Uring`, before it returns `Pending`. Of several
/// waits that are over at a later poll, the lowest index is returned. The others end, and each hands on a wake that it has
/// consumed.
///
/// After it was ready, the next poll begins anew.
///
/// # Errors
///
/// Those of [`Wait`](crate::Wait). No wait is left armed then.
///
/// # Cancel safety
///
/// Cancel safe, as [`Wait`](crate::Wait) is.
///
/// # Examples
///
/// ```
/// use futex_core::{MATCH_ANY, Outcome, Reactor, Target, WaitAny, Word};
/// use std::sync::{Arc, atomic::AtomicU32};
/// use std::task::{Context, Poll, Waker};
/// # use std::future::Future;
///
/// let reactor = Reactor::new()?;
/// let words = [0, 1].map(|value| Word::from(Arc::new(AtomicU32::new(value))));
/// let target = |word| Target { reactor: &reactor, word, expected: 0, mask: MATCH_ANY };
///
/// let mut any = std::pin::pin!(WaitAny::new(words.iter().map(target))?);
/// let Poll::Ready(ended) = any.as_mut().poll(&mut Context::from_waker(Waker::noop())) else { panic!() };
/// assert_eq!(ended?, (1, Outcome::Mismatch)); // the second word is not 0
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct WaitAny<'a> {
    targets: Vec<Target<'a>>,
    waits: RawWaitAny<Word>,
}

impl<'a> WaitAny<'a> {
    /// Waits for the first of `targets`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there are none: the wait would never end.
    pub fn new(targets: impl IntoIterator<Item = Target<'a>>) -> io::Result<Self> {
        let targets: Vec<_> = targets.into_iter().collect();
        if targets.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a wait for any of no words would never end: give it at least one word",
            ));
        }
        Ok(Self { targets, waits: RawWaitAny::new() })
    }

    /// Returns true if the waits are armed.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.waits.is_armed()
    }
}

impl Future for WaitAny<'_> {
    type Output = io::Result<(usize, Outcome)>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { targets, waits } = self.get_mut();
        waits.poll_wait(targets.iter().map(|target| (target.reactor.engine(), target.request())), cx)
    }
}

impl fmt::Debug for WaitAny<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitAny").field("targets", &self.targets).field("armed", &self.is_armed()).finish()
    }
}
