//! Waiting until the value of a word satisfies a predicate.

use crate::budget::Budget;
use crate::futex::AsyncFutex;
use futex_core::{MATCH_ANY, Outcome, Waiter, hand_on};
use std::future::poll_fn;
use std::io;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

impl AsyncFutex {
    /// Waits until `pred` returns true for the value of the word, and returns that value.
    ///
    /// The first poll calls `pred` with the current value. If the result is false, the wait sleeps and calls `pred` again after
    /// each wake. So a process that changes the word must wake the waiters of the word afterwards.
    ///
    /// Intermediate values can be missed. Wait only for values that stay until the waiter has loaded them.
    ///
    /// # Panics
    ///
    /// If `pred` panics. If the wait has consumed a wake, that wake is handed on to the next waiter.
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
    /// The returned value was loaded with acquire ordering.
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

/// The state of a wait for a value. A poll after a result begins a new wait.
#[derive(Debug, Default)]
pub(crate) struct WaitUntil {
    waiter: Waiter,
    budget: Budget,
}

impl WaitUntil {
    /// Polls the wait. Ready with the first value for which `suits` returns true.
    ///
    /// A round that has not slept takes a unit of budget *before* it loads the word. So the wait never holds a result back.
    /// Dropping such a wait would lose the wake that it has consumed, and what `suits` has done.
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
            let over = suits(value); // if this panics, dropping `held` hands the wake on
            std::mem::forget(held.take());
            if over {
                return Poll::Ready(Ok(value));
            }
            held = HeldWake::of(futex, ready!(futex.poll_wait(waiter, value, MATCH_ANY, cx))?);
        }
    }
}

/// A consumed wake that nobody has acted on yet. Dropping this hands the wake on.
struct HeldWake<'a>(&'a AsyncFutex);

impl<'a> HeldWake<'a> {
    fn of(futex: &'a AsyncFutex, outcome: Outcome) -> Option<Self> {
        // Not `then_some`: that would make a guard for every outcome, and drop it.
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

    /// A guard was made for every outcome, so it handed on wakes that nobody had consumed. Each change that spinning saw cost a
    /// system call, and other waits ended without a reason.
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
        assert_eq!(waiters(), 1, "no wake was consumed, but the thread was woken");

        drop(HeldWake::of(&futex, Outcome::Woken));
        let _ = waiter.join().expect("the thread does not panic");
    }
}
