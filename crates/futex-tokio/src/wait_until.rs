//! Waiting until a word has a value that suits.

use crate::budget::Budget;
use crate::futex::AsyncFutex;
use futex_core::{MATCH_ANY, Outcome, Waiter, hand_on};
use std::future::poll_fn;
use std::io;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

impl AsyncFutex {
    /// Waits until `pred` is true of the word's value, and returns that value.
    ///
    /// It calls `pred` at once, and again after every wake. A process that changes the word has to wake. Intermediate values
    /// can be missed: wait for a state that lasts until the waiter has seen it.
    ///
    /// # Panics
    ///
    /// If `pred` panics. A wake that the wait had consumed is handed on then.
    ///
    /// # Errors
    ///
    /// See [`WaitAsync`](crate::WaitAsync).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: see [`WaitAsync`](crate::WaitAsync).
    ///
    /// # Memory ordering
    ///
    /// The value was loaded with acquire ordering.
    ///
    /// # Examples
    ///
    /// ```
    /// use futex_tokio::{AsyncFutex, SharedMemory};
    /// use std::sync::atomic::Ordering;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let memory = SharedMemory::anonymous(4096)?;
    /// let word = memory.word(0)?;
    /// std::thread::spawn(move || {
    ///     word.store(3, Ordering::Release); // change the word,
    ///     word.wake_all(); //                  then wake
    /// });
    ///
    /// let futex = AsyncFutex::new(memory.word(0)?)?;
    /// assert_eq!(futex.wait_until(|value| value >= 3).await?, 3);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn wait_until(&self, mut pred: impl FnMut(u32) -> bool) -> io::Result<u32> {
        let mut wait = WaitUntil::default();
        poll_fn(|cx| wait.poll(self, &mut pred, cx)).await
    }
}

/// The state of a wait for a value. It begins anew after each result.
#[derive(Debug, Default)]
pub(crate) struct WaitUntil {
    waiter: Waiter,
    budget: Budget,
}

impl WaitUntil {
    /// Ready with the first value that `suits` is true of.
    ///
    /// Each round that did not sleep takes a unit of budget, before it loads the word. So no result is ever held back, with
    /// a wake in hand or something that `suits` has done.
    pub(crate) fn poll(
        &mut self,
        futex: &AsyncFutex,
        mut suits: impl FnMut(u32) -> bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<u32>> {
        let Self { waiter, budget } = self;
        let mut held = None;
        loop {
            if waiter.is_armed() {
                held = HeldWake::of(futex, ready!(futex.poll_wait(waiter, 0, MATCH_ANY, cx))?);
            } else if held.is_none() {
                ready!(budget.poll(cx));
            }
            let value = futex.word().load(Ordering::Acquire);
            let over = suits(value); // if it panics, `held` hands on
            std::mem::forget(held.take());
            if over {
                return Poll::Ready(Ok(value));
            }
            held = HeldWake::of(futex, ready!(futex.poll_wait(waiter, value, MATCH_ANY, cx))?);
        }
    }
}

/// A wake that was consumed and not acted on yet. It is handed on when this is dropped.
struct HeldWake<'a>(&'a AsyncFutex);

impl<'a> HeldWake<'a> {
    fn of(futex: &'a AsyncFutex, outcome: Outcome) -> Option<Self> {
        // Not `then_some`, which makes the guard in any case, and drops it.
        (outcome == Outcome::Woken).then(|| Self(futex))
    }
}

impl Drop for HeldWake<'_> {
    fn drop(&mut self) {
        hand_on(self.0.word(), MATCH_ANY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futex_core::SharedMemory;

    /// The guard was made for each outcome, and handed a wake on that nobody had consumed. It cost a system call for each
    /// change that spinning saw, and ended waits of others without a cause.
    #[tokio::test]
    async fn a_wait_whose_word_differed_holds_no_wake() {
        let word = SharedMemory::anonymous(4096).expect("memory").word(0).expect("a word");
        let futex = AsyncFutex::new(&word).expect("a futex");
        let waiter = std::thread::spawn({
            let word = word.clone();
            move || word.wait(0, None).expect("a wait")
        });
        let waiters = || word.waiters().expect("the word is mapped");
        while waiters() == 0 {
            std::thread::yield_now();
        }
        assert!(HeldWake::of(&futex, Outcome::Mismatch).is_none());
        assert_eq!(waiters(), 1, "the thread was woken without a cause");

        drop(HeldWake::of(&futex, Outcome::Woken));
        let _ = waiter.join().expect("it was handed the wake");
    }
}
