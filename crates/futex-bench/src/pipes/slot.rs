//! A slot in shared memory: its state word, and a message behind it.

use super::message::MESSAGE;
use futex_tokio::{AsyncFutex, Reactor, SharedMemory};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::task::coop::consume_budget;

/// Bytes of a slot, and of what is in front of them: a cache line.
const LINE: usize = 64;

/// The states of a slot. Only the consumer waits in the one, and only the producer in the other.
pub(super) const EMPTY: u32 = 0;
pub(super) const FULL: u32 = 1;
/// Set beside the state by the side that waits for the other one.
const WAITING: u32 = 1 << 31;

pub(super) struct Slot {
    state: AsyncFutex,
    memory: SharedMemory,
    first: usize,
}

impl Slot {
    /// Bytes of shared memory that hold so many.
    pub(super) fn memory(slots: usize) -> usize {
        LINE * (1 + slots)
    }

    pub(super) fn new(reactor: &Reactor, memory: &SharedMemory, index: usize) -> io::Result<Self> {
        let offset = LINE * (1 + index);
        let state = AsyncFutex::with_reactor(reactor, memory.word(offset)?);
        Ok(Self { state, memory: memory.clone(), first: offset / 4 + 1 })
    }

    /// The message. It belongs to the side whose turn the state says it is.
    pub(super) fn words(&self) -> &[AtomicU32] {
        &self.memory.as_words()[self.first..][..MESSAGE]
    }

    /// Waits until the other side hands the slot over.
    ///
    /// No wake is lost, and none is made for nobody. Say A waits in here, and B is in `hand_over`. Either
    ///
    /// 1. B's swap comes before A's exchange. The exchange fails, as the value is another, and A looks again. Or
    /// 2. B's swap comes after it. Then B sees the bit, and wakes after the swap. The kernel compares the word again when it
    ///    puts A to sleep, in one step: before the swap A sleeps, and the wake finds it; after the swap it does not sleep.
    ///
    /// A wait that returns for another reason finds its own bit, and waits again without setting it. One that is dropped leaves
    /// the bit behind: that costs a wake for nobody, and the swap clears it.
    pub(super) async fn becomes(&self, wanted: u32) -> io::Result<()> {
        loop {
            // Where there is always a message, the other tasks of this thread want to run too.
            consume_budget().await;
            // Ordering: Acquire, the partner is the swap of `hand_over`. A's exchange in between does not hide it.
            let state = self.state.word().load(Ordering::Acquire);
            if state & !WAITING == wanted {
                return Ok(());
            }
            if self.mark(state) {
                self.state.wait_async(state | WAITING).await?;
            }
        }
    }

    /// Says that somebody waits; false where the state is not `state` any more.
    fn mark(&self, state: u32) -> bool {
        // Ordering: Relaxed. Nothing but the bit is told, and who exchanges or swaps always sees the latest value.
        let exchange = |to| self.state.word().compare_exchange(state, to, Ordering::Relaxed, Ordering::Relaxed);
        state & WAITING != 0 || exchange(state | WAITING).is_ok()
    }

    /// Changes the state, and wakes the other side if it waits: see [`becomes`](Slot::becomes).
    pub(super) fn hand_over(&self, state: u32) {
        // Ordering: Release, so that who sees the state sees the message. The partner is the load of `becomes`.
        if self.state.word().swap(state, Ordering::Release) & WAITING != 0 {
            self.state.wake_one();
        }
    }
}
