//! `AsyncFutex`: a word, a reactor to wait with, and the wakes.

use crate::reactor::Reactor;
use crate::spin::{Spin, Spinner};
use futex_core::Word;
use std::fmt;
use std::io;
use std::num::NonZeroU32;

/// A futex word that tasks of any process can wait on.
///
/// An `AsyncFutex` is a cheap handle to a [`Word`] and a [`Reactor`]. One word may have any number of handles, in any number of
/// processes. Programs without this crate may wait on the word and wake it, too.
///
/// To end a wait, *change the word, then wake*: see [the contract](crate#the-contract).
#[derive(Clone)]
pub struct AsyncFutex {
    reactor: Reactor,
    word: Word,
    pub(crate) spinner: Spinner,
}

impl AsyncFutex {
    /// Creates a futex on `word`. Its waits use the reactor of the current runtime.
    ///
    /// `word` is a [`Word`] or a reference to one (see [`SharedMemory::word`](crate::SharedMemory::word)), an
    /// `Arc<AtomicU32>`, or a `&'static AtomicU32`.
    ///
    /// # Errors
    ///
    /// Those of [`Reactor::current`], for instance `Unsupported` outside a runtime.
    pub fn new(word: impl Into<Word>) -> io::Result<Self> {
        Ok(Self::with_reactor(&Reactor::current()?, word))
    }

    /// Creates a futex on `word`. Its waits use `reactor`.
    #[must_use]
    pub fn with_reactor(reactor: &Reactor, word: impl Into<Word>) -> Self {
        Self { spinner: Spinner::new(reactor.spin()), reactor: reactor.clone(), word: word.into() }
    }

    /// Sets the maximum time that waits of this handle [spin](Spin) before they sleep. Without this call, the handle uses the
    /// setting of its reactor (see [`ReactorBuilder::spin`](crate::ReactorBuilder::spin)).
    #[must_use]
    pub fn with_spin(self, spin: Spin) -> Self {
        Self { spinner: Spinner::new(spin), ..self }
    }

    /// Returns the maximum time that waits of this handle spin before they sleep.
    #[must_use]
    pub fn spin(&self) -> Spin {
        self.spinner.setting()
    }

    /// Returns the word.
    #[must_use]
    #[inline]
    pub fn word(&self) -> &Word {
        &self.word
    }

    /// Returns the reactor that this handle waits with.
    #[must_use]
    pub fn reactor(&self) -> &Reactor {
        &self.reactor
    }

    /// Wakes up to `n` waiters of any kind, in any process. Returns how many waiters the kernel woke.
    ///
    /// This is [`Word::wake`], so a signal handler may call it. If `n` is 0, no waiter is woken. If `n` is `u32::MAX`, all
    /// waiters are woken.
    ///
    /// The kernel first wakes the waiter that has been in the queue longest. (Threads with a real-time priority come before
    /// the other waiters.) On `Waitv` and `Thread`, the thread of a wait sometimes leaves the kernel and enters it again. The
    /// wait then goes to the end of the queue.
    ///
    /// The count includes waits that are being cancelled. It also includes threads that are still parked after their wait was
    /// cancelled (on `Thread`, and on `Waitv` for a wait with a mask). Each of these hands its wake on to the next waiter. See
    /// [bare wakes](crate#bare-wakes) for the waiters that a handed-on wake can miss.
    #[inline]
    pub fn wake(&self, n: u32) -> u32 {
        self.word.wake(n)
    }

    /// Wakes one waiter, like [`wake(1)`](AsyncFutex::wake). Returns true if the kernel woke one.
    #[inline]
    pub fn wake_one(&self) -> bool {
        self.word.wake_one()
    }

    /// Wakes all waiters, like [`wake(u32::MAX)`](AsyncFutex::wake). Returns how many waiters the kernel woke.
    #[inline]
    pub fn wake_all(&self) -> u32 {
        self.word.wake_all()
    }

    /// Like [`wake`](AsyncFutex::wake), but wakes only waiters whose mask has a bit in common with `mask`. Waits without a mask
    /// match every wake.
    #[inline]
    pub fn wake_masked(&self, n: u32, mask: NonZeroU32) -> u32 {
        self.word.wake_masked(n, mask)
    }
}

impl fmt::Debug for AsyncFutex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFutex")
            .field("word", &self.word)
            .field("reactor", &self.reactor)
            .field("spin", &self.spin())
            .finish()
    }
}
