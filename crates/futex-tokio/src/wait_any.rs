//! Waiting on several words.

use crate::AsyncFutex;
use futex_core::Waiter;
use std::future::poll_fn;
use std::io;
use std::task::Poll;

/// Waits until one of several futexes is ready: its word differs from the value given with it, or it was woken. Returns the
/// index of the first such one.
///
/// Each is a wait of its own, in whatever memory and with whatever reactor. The others are dropped, and a wake that one of
/// them has consumed is handed on to the next waiter of its word. For many words that change often, keep a task for each.
///
/// # Errors
///
/// `InvalidInput` for no futex at all, which would never end. Those of [`WaitAsync`](crate::WaitAsync).
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
    if futexes.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "wait_any was given no futex, and would wait for ever: give it at least one",
        ));
    }
    let mut waiters: Vec<Waiter> = futexes.iter().map(|_| Waiter::new()).collect();
    poll_fn(|cx| {
        for (index, (&(futex, expected), waiter)) in futexes.iter().zip(&mut waiters).enumerate() {
            if let Poll::Ready(outcome) = waiter.poll_wait(futex.reactor().core(), futex.word(), expected, cx) {
                return Poll::Ready(outcome.map(|_| index));
            }
        }
        Poll::Pending
    })
    .await
}
