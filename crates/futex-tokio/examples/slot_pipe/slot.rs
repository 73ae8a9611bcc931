//! The shared memory: a header and the slots, each one cache line long.

use futex_tokio::{AsyncFutex, Reactor, SharedMemory};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::task::coop::consume_budget;

/// Number of bytes of the header and of each slot. This is a cache line, so that two slots don't share one.
const LINE: usize = 64;
/// Number of words of a message.
const MESSAGE: usize = 13;

/// State of a slot that has no message.
const EMPTY: u32 = 0;
/// State of a slot that has a message.
const FULL: u32 = 1;
/// State of a slot whose producer has no more messages.
const CLOSED: u32 = 2;
/// Bit beside the state that a waiter sets: the consumer while the slot is empty, the producer while it is full.
const WAITING: u32 = 1 << 31;

/// Returns the number of bytes of a header and `slots` slots.
pub(crate) fn len(slots: usize) -> usize {
    LINE * (1 + slots)
}

/// Returns the word that asks the producers to stop, which is the first word of the header.
pub(crate) fn stop(memory: &SharedMemory) -> &AtomicU32 {
    &memory.as_words()[0]
}

/// Returns the time in nanoseconds, on a clock that all processes share.
pub(crate) fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Returns the content of the message with this number. Both sides can compute it.
fn content(producer: u32, number: u32) -> impl Iterator<Item = u32> {
    let mut state = u64::from(producer) << 32 | u64::from(number);
    std::iter::repeat_with(move || {
        // SplitMix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as u32
    })
}

/// Returns a checksum that depends on the order of the words.
fn digest(words: impl Iterator<Item = u32>) -> u64 {
    words.fold(0xcbf2_9ce4_8422_2325, |digest, word| (digest ^ u64::from(word)).wrapping_mul(0x0100_0000_01b3))
}

/// Computes the checksum of one message from its number.
pub(crate) fn expected_digest(producer: u32, number: u32) -> u64 {
    digest([producer, number].into_iter().chain(content(producer, number).take(CONTENT)))
}

/// Number of words of a message without its producer (one word), its number (one) and its time (two).
const CONTENT: usize = MESSAGE - 4;

/// One slot: a state word, and the message after it.
pub(crate) struct Slot {
    state: AsyncFutex,
    memory: SharedMemory,
    first: usize,
}

/// The consumer's data about one message.
pub(crate) struct Received {
    pub(crate) producer: u32,
    pub(crate) digest: u64,
    /// Time from publishing to receipt, in nanoseconds.
    pub(crate) latency: u64,
}

impl Slot {
    pub(crate) fn new(reactor: &Reactor, memory: &SharedMemory, index: usize) -> io::Result<Self> {
        let offset = LINE * (1 + index);
        let state = AsyncFutex::with_reactor(reactor, memory.word(offset)?);
        Ok(Self { state, memory: memory.clone(), first: offset / 4 + 1 })
    }

    fn message(&self) -> &[AtomicU32] {
        &self.memory.as_words()[self.first..][..MESSAGE]
    }

    /// Writes a message and makes the slot full. The slot must be empty.
    pub(crate) fn publish(&self, producer: u32, number: u32) {
        let words = self.message();
        let head = [producer, number];
        for (word, value) in words.iter().zip(head.into_iter().chain(content(producer, number).take(CONTENT))) {
            word.store(value, Ordering::Relaxed);
        }
        let time = now();
        words[MESSAGE - 2].store(time as u32, Ordering::Relaxed);
        words[MESSAGE - 1].store((time >> 32) as u32, Ordering::Relaxed);
        self.hand_over(FULL);
    }

    /// Reads the message and makes the slot empty. The slot must be full.
    pub(crate) fn take(&self) -> Received {
        let now = now();
        let words = self.message();
        let load = |index: usize| words[index].load(Ordering::Relaxed);
        let time = u64::from(load(MESSAGE - 2)) | u64::from(load(MESSAGE - 1)) << 32;
        let received = Received {
            producer: load(0),
            digest: digest((0..MESSAGE - 2).map(load)),
            latency: now.saturating_sub(time),
        };
        self.hand_over(EMPTY);
        received
    }

    /// Closes the slot: no more messages follow. The slot must be empty.
    pub(crate) fn close(&self) {
        self.hand_over(CLOSED);
    }

    /// For the consumer: waits while the slot is empty. Returns true if it has a message, and false if it was closed.
    pub(crate) async fn filled(&self) -> io::Result<bool> {
        match self.changes_from(EMPTY).await? {
            FULL => Ok(true),
            CLOSED => Ok(false),
            other => Err(unknown(other)),
        }
    }

    /// For the producer: waits while the slot is full.
    pub(crate) async fn emptied(&self) -> io::Result<()> {
        match self.changes_from(FULL).await? {
            EMPTY => Ok(()),
            other => Err(unknown(other)),
        }
    }

    /// Waits while the state is `old`, and returns the next state.
    ///
    /// No wake is lost, and there is hardly ever a wake without a waiter. Let A wait here while B is in `hand_over`. There are
    /// two cases:
    ///
    /// 1. B's swap comes before A's exchange. The exchange fails because the value has changed, and A loads the word again.
    /// 2. B's swap comes after A's exchange. Then B sees the bit, and wakes after the swap. The kernel compares the word and puts
    ///    A to sleep in one step. If this step comes before the swap, A sleeps and the wake finds it. If it comes after the
    ///    swap, A does not sleep.
    ///
    /// If A's wait ends for another reason, A finds its own bit, and waits again without setting it.
    async fn changes_from(&self, old: u32) -> io::Result<u32> {
        loop {
            // Ordering: Acquire. The partner is the swap in `hand_over`. A's exchange continues the release sequence of that
            // swap.
            let state = self.state.word().load(Ordering::Acquire);
            if state & !WAITING != old {
                return Ok(state & !WAITING);
            }
            if self.mark(state) {
                self.state.wait_async(state | WAITING).await?;
            }
            // If the partner changes the word all the time, the other tasks of this thread must still run.
            consume_budget().await;
        }
    }

    /// Sets the bit that says that this side waits. Returns false if the word is no longer `state`.
    fn mark(&self, state: u32) -> bool {
        // Ordering: Relaxed. The bit publishes no other data, and an exchange or a swap always acts on the latest value.
        let exchange = |to| self.state.word().compare_exchange(state, to, Ordering::Relaxed, Ordering::Relaxed);
        state & WAITING != 0 || exchange(state | WAITING).is_ok()
    }

    /// Changes the state, and wakes the other side if it waits: see [`changes_from`](Slot::changes_from).
    fn hand_over(&self, state: u32) {
        // Ordering: Release, so that a side that sees the state also sees the message. The partner is the load in `changes_from`.
        if self.state.word().swap(state, Ordering::Release) & WAITING != 0 {
            self.state.wake_one();
        }
    }
}

/// The error for a state that is none of the above. A faulty process can write anything into shared memory.
fn unknown(state: u32) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a slot has the state {state:#x}, which no side writes at this point"),
    )
}
