//! Waiting on several words.

use crate::budget::Budget;
use crate::futex::AsyncFutex;
use futex_core::{MATCH_ANY, Outcome, Target, WaitAny};
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Poll, ready};

/// Waits until one of several futexes is ready: its word differs from the value given with it, or it was woken. Returns its
/// index.
///
/// All words are loaded first, and if some differ, the lowest index is returned. Otherwise all waits are armed before the first
/// `Pending`, on `Uring` in as few submissions as possible (one per 64 waits of a ring). If several are ready at a later poll,
/// the lowest index is returned. The other waits end, and a wake that one of them has consumed is handed on to the next waiter
/// of its word.
///
/// Each is a wait of its own, in whatever memory and with whatever reactor. None of them [spins](crate::Spin). For many words
/// that change often, keep a task for each.
///
/// # Errors
///
/// `InvalidInput` for no futex at all, which would never end. Those of [`WaitAsync`](crate::WaitAsync); none of the waits is
/// left armed then.
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
/// right.word().store(1, Ordering::Release);
/// right.wake_one();
/// assert_eq!(wait_any(&[(&left, 0), (&right, 0)]).await?, 1);
/// # Ok(())
/// # }
/// ```
pub async fn wait_any(futexes: &[(&AsyncFutex, u32)]) -> io::Result<usize> {
    let targets = futexes.iter().map(|(futex, expected)| Target {
        reactor: futex.reactor().core(),
        word: futex.word(),
        expected: *expected,
        mask: MATCH_ANY,
    });
    let mut any = pin!(WaitAny::new(targets)?);
    let mut budget = Budget::default();
    let mut differed = None;
    poll_fn(|cx| {
        let index = match differed {
            Some(index) => index,
            None => {
                let has_slept = any.is_armed();
                let (index, outcome) = ready!(any.as_mut().poll(cx))?;
                if has_slept || outcome == Outcome::Woken {
                    return Poll::Ready(Ok(index));
                }
                *differed.insert(index) // from now on it is ready, whatever the words do
            }
        };
        budget.poll(cx).map(|()| Ok(index))
    })
    .await
}
