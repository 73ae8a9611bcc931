//! What a shard needs from a backend.

use arrayvec::ArrayVec;
use std::fmt;
use std::io;
use std::num::NonZeroU32;

/// A word that waits are armed on: [`futex_sys::Word`], or the word of the models.
pub(crate) trait FutexWord: Clone + Send + Sync + 'static {
    /// True if panics of wakers and of owners of words are raised again after all effects were performed. In the models such a
    /// panic is a failed assertion.
    const RAISES_PANICS: bool = false;

    /// Loads the word. Ordering: Acquire; the partner is the release store of the thread that changed the word.
    fn value(&self) -> u32;

    /// Passes a consumed wake to the next waiter whose mask shares a bit with `mask`.
    fn hand_on(&self, mask: NonZeroU32);
}

/// One queue of waits in the kernel: a ring, or parked threads.
///
/// A queue is used only under the lock of the [shard](crate::shard::Shard) that owns it. It guarantees the following, like the
/// queue of the models:
///
/// 1. Each armed wait ends by exactly one completion with its slot. The completion returns the wait's word and mask.
/// 2. A wait that consumed, or may have consumed, a wake ends as [`Ending::Woken`]. (If a backend ends a cancelled wait before
///    the kernel has removed it, the backend itself hands on a wake that still finds it.)
/// 3. While a completion can be reaped, [`Engine::turn`](crate::engine::Engine::turn) is called soon.
pub(crate) trait Queue<W>: Send {
    /// Returns true if the queue takes no more waits. The waits that it has still end.
    fn is_lost(&self) -> bool {
        false
    }

    /// Makes the engine's [`Ready`] report this queue under `key` when it gets completions.
    fn watch(&self, _key: usize) -> io::Result<()> {
        Ok(())
    }

    /// Takes a wait on `word` while it is `expected`, and returns the handle that cancels it. The kernel may get the wait only
    /// at the next [`submit`](Queue::submit). A ring submits its waits in the order of arming; threads park in any order.
    ///
    /// `slot` identifies the wait for its owner. The slots of waits of this queue that have not ended differ.
    ///
    /// After an error the queue does not have the wait.
    fn arm(&mut self, slot: u32, word: W, expected: u32, mask: NonZeroU32) -> io::Result<u32>;

    /// Passes the armed waits to the kernel. Returns false if there are certainly no completions to reap.
    ///
    /// After an error, some of the waits that were armed since the last call may not be in the kernel. The caller must cancel
    /// all of these waits.
    fn submit(&mut self) -> io::Result<bool>;

    /// Ends a wait at once, and returns its only completion, which reports whether a wake was faster. Returns `None` if there
    /// is no such wait, which can't happen before the wait's completion was returned.
    fn cancel(&mut self, handle: u32) -> Option<Completion<W>>;

    /// Returns the next completion, if there is one. Does not block.
    fn reap(&mut self) -> Option<Completion<W>>;

    /// Returns the number of cancelled waits whose kernel completion was not yet taken by [`reap`](Queue::reap). Returns 0 if
    /// the queue [is lost](Queue::is_lost).
    fn unreaped(&self) -> usize {
        0
    }

    /// Cancels all waits and passes their completions to `each`.
    fn close(&mut self, each: &mut dyn FnMut(Completion<W>));

    /// Returns the queue's contribution to the reactor's statistics.
    fn usage(&self) -> Usage;
}

/// A source that reports which queues have completions, for engines with too many queues to visit all of them.
pub(crate) trait Ready: Send + Sync {
    /// Returns the keys of queues that got completions since the last call. There may be more only if it returns [`READY`] keys.
    fn take(&self) -> ArrayVec<usize, READY>;
}

/// Maximum number of queues reported per call. It is small in the models, so that they reach it.
pub(crate) const READY: usize = if cfg!(test) { 2 } else { 32 };

/// The end of a wait.
pub(crate) struct Completion<W> {
    /// Slot of the wait. `None` if the wait had already ended for its owner: it was cancelled before the kernel had it, or
    /// the kernel refused to cancel it.
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
    /// The wait was cancelled, by the reactor or by the kernel unasked. No wake was consumed.
    Cancelled,
    /// The kernel refused the wait. No wake was consumed.
    Failed(io::Error),
}

/// The contribution of a queue to the reactor's statistics.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Number of rings or threads.
    pub(crate) units: usize,
    /// Number of wakes that the backend itself handed on.
    pub(crate) handed_on: u64,
}
