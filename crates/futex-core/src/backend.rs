//! What the state machine needs of a way to wait.

use arrayvec::ArrayVec;
use std::fmt;
use std::io;
use std::num::NonZeroU32;

/// A word that waits are armed on. The real one is [`futex_sys::Word`]; the models have another.
pub(crate) trait FutexWord: Clone + Send + Sync + 'static {
    /// The word's value. Ordering: Acquire, the partner is the release store of whoever changed it.
    fn value(&self) -> u32;

    /// Passes a consumed wake to the next waiter whose mask shares a bit with `mask`.
    fn hand_on(&self, mask: NonZeroU32);
}

/// One queue of waits in the kernel: a ring, or threads that are parked.
///
/// It is only called under the lock of the [shard](crate::shard::Shard) that owns it. What it promises, and the models
/// check with a kernel of their own:
///
/// 1. Each armed wait ends by exactly one completion, which carries the wait's word and mask back.
/// 2. A wake that the kernel counted for an armed wait ends it as [`Ending::Woken`], and so does a wake that may have
///    been consumed. (A backend that ends a cancelled wait before the kernel let go of it hands such a wake on itself.)
/// 3. A completion that waits makes somebody call [`Engine::turn`](crate::engine::Engine::turn), soon.
pub(crate) trait Backend<W>: Send {
    /// How well a further wait on `word` fits in here, if there is room.
    fn fit(&self, word: &W) -> Fit;

    /// With so many waits the queue is crowded.
    fn room(&self) -> usize {
        usize::MAX
    }

    /// Has the engine's [`Ready`] tell of this queue's completions, under this number.
    fn watch(&self, _index: usize) -> io::Result<()> {
        Ok(())
    }

    /// Takes a wait on `word` while it is `expected`. The kernel may not have it before [`submit`](Backend::submit), but has
    /// the waits in the order in which they were armed. `id` is not in use by a wait of this queue that has not ended.
    ///
    /// An error means that the wait is not taken.
    fn arm(&mut self, id: u32, word: W, expected: u32, mask: NonZeroU32) -> io::Result<()>;

    /// Whether several waits that are handed over together cost less.
    fn batches(&self) -> bool;

    /// Hands the waits that were taken to the kernel. Returns whether there may be completions to reap.
    ///
    /// An error means that some of them have to wait for the next call that succeeds. Whoever calls next, for whatever reason,
    /// hands them over.
    fn submit(&mut self) -> io::Result<bool>;

    /// Asks for the end of a wait. Its completion tells whether a wake was faster.
    fn cancel(&mut self, id: u32);

    /// The next completion that waits, without blocking.
    fn reap(&mut self) -> Option<Completion<W>>;

    /// Cancels all waits and gives each one's completion to `each`. Blocks until the kernel has let go of them.
    fn close(&mut self, each: &mut dyn FnMut(Completion<W>));

    /// What this queue adds to the reactor's statistics.
    fn usage(&self) -> Usage;
}

/// Tells which queues have completions, where there are too many to look at each.
pub(crate) trait Ready: Send + Sync {
    /// Gives the numbers of queues that got completions since the last call, some of them. Where it gives none there are no
    /// more.
    fn take(&self) -> ArrayVec<usize, READY>;
}

/// So many queues are told of at a time.
pub(crate) const READY: usize = 32;

/// How well a wait fits in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// There is room.
    Good,
    /// It can be taken, but another queue would be better.
    Crowded,
    /// It can't be taken.
    Full,
}

/// The end of a wait.
pub(crate) struct Completion<W> {
    pub(crate) id: u32,
    pub(crate) word: W,
    pub(crate) mask: NonZeroU32,
    pub(crate) ending: Ending,
}

impl<W> fmt::Debug for Completion<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").field("id", &self.id).field("ending", &self.ending).finish_non_exhaustive()
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
