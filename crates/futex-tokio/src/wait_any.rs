//! Waiting on several words.

use crate::budget::Budget;
use crate::futex::AsyncFutex;
use futex_core::{MATCH_ANY, Outcome};
use std::fmt;
use std::future::Future;
use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Waits until one of several targets is ready. Returns the index of this target, and the value of its word.
///
/// A target is a pair `(futex, expected)`. It is ready if the word differs from `expected`, or after a wake. A target may have a
/// third element, a mask. Then a wake makes the target ready only if the two masks have a bit in common.
///
/// The words may lie in different memory, and the futexes may have different reactors. Several targets may have the same
/// word; each of them counts as a waiter. The number of targets is not limited, but on `Thread` each target needs a thread.
/// On `Waitv` each target with a mask needs a thread. The waits do not [spin](crate::Spin).
///
/// Unless a word differs at the beginning, each call arms one wait per target, and at the end cancels the waits that are still
/// armed. If there are many words that change often, it is cheaper to use one task per word.
///
/// # Order
///
/// 1. The first poll loads the words in the order of the targets. The first target whose word differs is the result, and no
///    wait is armed.
/// 2. If no word differs, the first poll arms all waits. Waits with the same reactor are armed in the order of the targets. On
///    `Uring` this takes about one system call per 64 waits.
/// 3. If several targets are ready after that, the target with the lowest index is the result. The other waits are cancelled. If
///    one of them has consumed a wake, that wake is handed on to the next waiter of its word.
///
/// So a target that is always ready hides the targets after it. If that matters, rotate the targets.
///
/// # Value
///
/// If a word differed at the first poll, that value is returned. Otherwise the word is loaded after the wait has ended. This
/// value may still equal `expected`, because a wait may end without a change. Both loads have acquire ordering.
///
/// # Errors
///
/// - `InvalidInput` if there are no targets, because the wait would never end.
/// - Those of [`WaitAsync`](crate::WaitAsync). After an error no wait is armed.
///
/// # Cancel safety
///
/// Cancel safe: see [`WaitAsync`](crate::WaitAsync).
///
/// # Examples
///
/// ```
/// use futex_tokio::{AsyncFutex, SharedMemory, wait_any};
/// use std::sync::atomic::Ordering;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let memory = SharedMemory::anonymous(4096)?;
/// let (left, right) = (AsyncFutex::new(memory.word(0)?)?, AsyncFutex::new(memory.word(64)?)?);
///
/// right.word().store(7, Ordering::Release);
/// right.wake_one();
/// assert_eq!(wait_any([(&left, 0), (&right, 0)]).await?, (1, 7));
/// # Ok(())
/// # }
/// ```
pub fn wait_any<'a, T>(targets: impl IntoIterator<Item = T>) -> WaitAny<'a>
where
    T: Into<Target<'a>>,
{
    let targets = targets.into_iter().map(|target| {
        let Target { futex, expected, mask } = target.into();
        futex_core::Target::new(futex.reactor().core(), futex.word(), expected).with_mask(mask)
    });
    WaitAny { waits: futex_core::WaitAny::new(targets), budget: Budget::default(), differed: None }
}

/// One target of [`wait_any()`], made from a pair `(futex, expected)` or a triple `(futex, expected, mask)`.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    futex: &'a AsyncFutex,
    expected: u32,
    mask: NonZeroU32,
}

impl<'a> From<(&'a AsyncFutex, u32)> for Target<'a> {
    fn from((futex, expected): (&'a AsyncFutex, u32)) -> Self {
        Self { futex, expected, mask: MATCH_ANY }
    }
}

impl<'a> From<(&'a AsyncFutex, u32, NonZeroU32)> for Target<'a> {
    fn from((futex, expected, mask): (&'a AsyncFutex, u32, NonZeroU32)) -> Self {
        Self { futex, expected, mask }
    }
}

/// Lets `wait_any(&list)` take a slice or an array of pairs.
impl<'a> From<&(&'a AsyncFutex, u32)> for Target<'a> {
    fn from(&target: &(&'a AsyncFutex, u32)) -> Self {
        target.into()
    }
}

/// Lets `wait_any(&list)` take a slice or an array of triples.
impl<'a> From<&(&'a AsyncFutex, u32, NonZeroU32)> for Target<'a> {
    fn from(&target: &(&'a AsyncFutex, u32, NonZeroU32)) -> Self {
        target.into()
    }
}

/// The future of [`wait_any()`], which documents its errors and its cancel safety.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct WaitAny<'a> {
    waits: futex_core::WaitAny<'a>,
    budget: Budget,
    /// Result that is held back until the task has budget.
    differed: Option<(usize, u32)>,
}

impl Future for WaitAny<'_> {
    type Output = io::Result<(usize, u32)>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { waits, budget, differed } = self.get_mut();
        if differed.is_none() {
            let has_slept = waits.is_armed();
            let first = ready!(Pin::new(waits).poll(cx))?;
            if has_slept || first.outcome == Outcome::Woken {
                return Poll::Ready(Ok((first.index, first.value)));
            }
            *differed = Some((first.index, first.value)); // the result stays the same, even if the words change
        }
        ready!(budget.poll(cx));
        differed.take().map_or(Poll::Pending, |result| Poll::Ready(Ok(result))) // `Pending` is not reached
    }
}

impl fmt::Debug for WaitAny<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitAny").field("waits", &self.waits).finish_non_exhaustive()
    }
}
