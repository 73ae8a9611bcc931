//! What a shard needs from a backend.

use arrayvec::ArrayVec;
use std::fmt;
use std::io;
use std::num::NonZeroU32;

/// A word that waits are armed on. The real one is [`futex_sys::Word`]; the models have another.
pub(crate) trait FutexWord: Clone + Send + Sync + 'static {
    /// Panics of wakers and of the owners of words are raised again once all else is done. In the models they are failed
    /// assertions.
    const RAISES_PANICS: bool = false;

    /// The word's value. Ordering: Acquire, the partner is the release store of the thread that changed it.
    fn value(&self) -> u32;

    /// Passes a consumed wake to the next waiter whose mask shares a bit with `mask`.
    fn hand_on(&self, mask: NonZeroU32);
}

/// One queue of waits in the kernel: a ring, or threads that are parked.
///
/// It is only called under the lock of the [shard](crate::shard::Shard) that owns it. What it promises, and the models
/// check with a kernel of their own:
///
/// 1. Each armed wait ends by exactly one completion with its slot, which carries the wait's word and mask back.
/// 2. A wake that the kernel counted for an armed wait ends it as [`Ending::Woken`], and so does a wake that may have
///    been consumed. (A backend that ends a cancelled wait before the kernel let go of it hands such a wake on itself.)
/// 3. A completion that waits makes somebody call [`Engine::turn`](crate::engine::Engine::turn), soon.
pub(crate) trait Queue<W>: Send {
    /// True if the queue takes no more waits. Those that it has end.
    fn is_lost(&self) -> bool {
        false
    }

    /// Has the engine's [`Ready`] report this queue's completions, under this key.
    fn watch(&self, _key: usize) -> io::Result<()> {
        Ok(())
    }

    /// Takes a wait on `word` while it is `expected`, and returns the handle to cancel it by. The kernel may not have it
    /// before [`submit`](Queue::submit). A ring hands its waits over in the order in which they were armed; threads park
    /// in any order.
    ///
    /// `slot` is where the wait's owner finds it. No wait of this queue that has not ended has the same one.
    ///
    /// An error means that the wait is not taken.
    fn arm(&mut self, slot: u32, word: W, expected: u32, mask: NonZeroU32) -> io::Result<u32>;

    /// Hands the waits that were taken to the kernel. Returns false if there are surely no completions to reap.
    ///
    /// An error means that the kernel may not have some of the waits that were taken since the last call. The caller cancels
    /// those.
    fn submit(&mut self) -> io::Result<bool>;

    /// Ends a wait at once. Its completion tells whether a wake was faster, and [`reap`](Queue::reap) gives no other.
    /// `None` if there is no such wait. This does not happen for a handle whose completion was not given yet.
    fn cancel(&mut self, handle: u32) -> Option<Completion<W>>;

    /// The next completion that waits, without blocking.
    fn reap(&mut self) -> Option<Completion<W>>;

    /// Number of waits that were cancelled and for which the kernel has a completion still to post, which
    /// [`reap`](Queue::reap) takes. 0 if the queue [is lost](Queue::is_lost).
    fn unreaped(&self) -> usize {
        0
    }

    /// Cancels all waits and gives each one's completion to `each`.
    fn close(&mut self, each: &mut dyn FnMut(Completion<W>));

    /// What this queue adds to the reactor's statistics.
    fn usage(&self) -> Usage;
}

/// Reports which queues have completions, for engines that have too many to visit each.
pub(crate) trait Ready: Send + Sync {
    /// Gives the keys of queues that got completions since the last call. If it gives fewer than [`READY`], there are no more.
    fn take(&self) -> ArrayVec<usize, READY>;
}

/// Maximum number of queues reported per call. Small in the models, so that there are more.
pub(crate) const READY: usize = if cfg!(test) { 2 } else { 32 };

/// The end of a wait.
pub(crate) struct Completion<W> {
    /// Where the wait's owner finds it. `None` if it had ended for its owner before: it was cancelled before the kernel had
    /// it, or while the kernel refused to cancel it.
    pub(crate) slot: Option<u32>,
    pub(crate) word: W,
    pub(crate) mask: NonZeroU32,
    pub(crate) ending: Ending,
}

impl<W> fmt::Debug for Completion<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").field("slot", &self.slot).field("ending", &self.ending).finish_non_exhaustive()
    }
}

/// How the kernel ended a wait.
#[derive(Debug)]
pub(crate) enum Ending {
    /// A wake was consumed, or may have been.
    Woken,
    /// The word did not have the expected value. No wake was consumed.
    Mismatch,
    /// It was cancelled, by us or without anybody asking. No wake was consumed.
    Cancelled,
    /// The kernel refused it. No wake was consumed.
    Failed(io::Error),
}

/// What a queue adds to the reactor's statistics.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Rings, or threads.
    pub(crate) units: usize,
    /// Wakes that the backend handed on by itself.
    pub(crate) handed_on: u64,
}
