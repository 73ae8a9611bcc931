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

/// Waits until one of several futexes is ready: its word differs from the value given with it, or it was woken. Returns its
/// index and its word's value.
///
/// A target is a `(futex, expected)`, or a `(futex, expected, mask)` for the wakes whose mask shares a bit with `mask`.
///
/// # Order
///
/// The first poll loads the words in the order of the targets, and the first one that differs is the result. Otherwise all waits
/// are armed before the first `Pending`, those with one reactor in the order of the targets, on `Uring` in as few submissions as
/// possible (one per 64 waits of a ring). If several are ready at a later poll, the lowest index is returned. The other waits
/// end, and a wake that one of them has consumed is handed on to the next waiter of its word. So a word that is always ready
/// keeps those behind it from being returned: rotate the targets if that matters.
///
/// The value is the one that differed, or the one that was loaded after the wake (ordering: Acquire). After a wake it may be
/// the expected one: a wait may return without a change.
///
/// The words may be in different memory, and the futexes may have different reactors. The waits do not [spin](crate::Spin).
/// For many words that change often, use one task per word.
///
/// # Errors
///
/// `InvalidInput` if there is no target: the wait would never end. Those of [`WaitAsync`](crate::WaitAsync); no wait is left
/// armed then.
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

/// What [`wait_any()`] waits for, one of several: made of a `(futex, expected)` or a `(futex, expected, mask)`.
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

/// For slices: `wait_any(&list)`.
impl<'a> From<&(&'a AsyncFutex, u32)> for Target<'a> {
    fn from(&target: &(&'a AsyncFutex, u32)) -> Self {
        target.into()
    }
}

/// For slices, too.
impl<'a> From<&(&'a AsyncFutex, u32, NonZeroU32)> for Target<'a> {
    fn from(&target: &(&'a AsyncFutex, u32, NonZeroU32)) -> Self {
        target.into()
    }
}

/// The future of [`wait_any()`], which has its errors and its cancel safety.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct WaitAny<'a> {
    waits: futex_core::WaitAny<'a>,
    budget: Budget,
    /// The result that was held back for lack of budget.
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
            *differed = Some((first.index, first.value)); // from now on it is ready, whatever the words do
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
