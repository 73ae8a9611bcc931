//! The face of the library: a word that tasks wait on.

use crate::reactor::Reactor;
use crate::spin::{Spin, Spinner};
use futex_core::Word;
use std::fmt;
use std::io;
use std::num::NonZeroU32;

/// A futex word that tasks of any process wait on.
///
/// It is a cheap handle: a word and a reactor to wait with. Any number of handles to one word may exist, in any number of
/// processes, beside blocking waiters and wakers that know nothing of this crate.
///
/// The contract is that of every futex: to end a wait, *change the word, then wake*.
#[derive(Clone)]
pub struct AsyncFutex {
    reactor: Reactor,
    word: Word,
    pub(crate) spinner: Spinner,
}

impl AsyncFutex {
    /// A futex on `word` that waits with the current runtime's reactor.
    ///
    /// `word` may be a [`Word`], for instance of [`SharedMemory::word`](crate::SharedMemory::word), an
    /// `Arc<AtomicU32>`, or a reference to an `AtomicU32` that lives for ever.
    ///
    /// # Errors
    ///
    /// Those of [`Reactor::current`]; outside a runtime there is none.
    pub fn new(word: impl Into<Word>) -> io::Result<Self> {
        Ok(Self::with_reactor(&Reactor::current()?, word))
    }

    /// A futex on `word` that waits with `reactor`.
    #[must_use]
    pub fn with_reactor(reactor: &Reactor, word: impl Into<Word>) -> Self {
        Self { spinner: Spinner::new(reactor.spin()), reactor: reactor.clone(), word: word.into() }
    }

    /// The same futex, whose waits spin on the word for up to `spin` before they sleep. Without this, the setting of the
    /// reactor's [builder](crate::ReactorBuilder::spin) holds.
    #[must_use]
    pub fn with_spin(self, spin: Spin) -> Self {
        Self { spinner: Spinner::new(spin), ..self }
    }

    /// The longest time that waits of this handle spin on the word before they sleep.
    #[must_use]
    pub fn spin(&self) -> Spin {
        self.spinner.setting()
    }

    /// The word.
    #[must_use]
    #[inline]
    pub fn word(&self) -> &Word {
        &self.word
    }

    /// The reactor that this handle waits with.
    #[must_use]
    pub fn reactor(&self) -> &Reactor {
        &self.reactor
    }

    /// Wakes up to `n` waiters, in whatever process and of whatever kind. Returns how many the kernel woke.
    ///
    /// It is the [`wake`](Word::wake) of the word, and may be called in a signal handler.
    ///
    /// Zero wakes nobody, and `u32::MAX` wakes all. The kernel takes the longest waiting first; a thread of the `Waitv`
    /// or the `Thread` backend that parks anew goes to the end of the queue.
    ///
    /// A waiter that is just giving up, and a thread that the `Thread` backend has left behind, are counted, and hand their
    /// wake on. So each wake that was counted reaches somebody, as long as somebody waits.
    #[inline]
    pub fn wake(&self, n: u32) -> u32 {
        self.word.wake(n)
    }

    /// [`wake`](AsyncFutex::wake) for one waiter. Returns true if there was one.
    #[inline]
    pub fn wake_one(&self) -> bool {
        self.word.wake_one()
    }

    /// [`wake`](AsyncFutex::wake) for all waiters. Returns how many there were.
    #[inline]
    pub fn wake_all(&self) -> u32 {
        self.word.wake_all()
    }

    /// [`wake`](AsyncFutex::wake) for the waiters whose mask shares a bit with `mask`. A wait without a mask matches every
    /// wake.
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
