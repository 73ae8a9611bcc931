//! The shared memory: a header, and slots of a cache line each.

use futex_tokio::{AsyncFutex, Reactor, SharedMemory};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::task::coop::consume_budget;

/// Bytes of the header and of each slot: a cache line, so that neighbours don't disturb each other.
const LINE: usize = 64;
/// Words of a message.
const MESSAGE: usize = 13;

/// The states of a slot.
const EMPTY: u32 = 0;
const FULL: u32 = 1;
/// Its producer has no more messages.
const CLOSED: u32 = 2;
/// Set beside the state by who waits for the next one: the consumer while it is empty, the producer while it is full.
const WAITING: u32 = 1 << 31;

/// Bytes for a header and `slots` slots.
pub(crate) fn len(slots: usize) -> usize {
    LINE * (1 + slots)
}

/// The word that asks the producers to stop: the first of the header.
pub(crate) fn stop(memory: &SharedMemory) -> &AtomicU32 {
    &memory.as_words()[0]
}

/// Nanoseconds on a clock that all processes share.
pub(crate) fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// What the message with a number is made of, so that both sides can tell.
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

/// A sum over the content of a message that depends on the order of its words.
fn digest(words: impl Iterator<Item = u32>) -> u64 {
    words.fold(0xcbf2_9ce4_8422_2325, |digest, word| (digest ^ u64::from(word)).wrapping_mul(0x0100_0000_01b3))
}

/// The checksum of one message, computed from its number.
pub(crate) fn expected_digest(producer: u32, number: u32) -> u64 {
    digest([producer, number].into_iter().chain(content(producer, number).take(CONTENT)))
}

/// Words of a message behind its producer, its number and its time.
const CONTENT: usize = MESSAGE - 4;

/// One slot: its state word to wait on, and the message behind it.
pub(crate) struct Slot {
    state: AsyncFutex,
    memory: SharedMemory,
    first: usize,
}

/// What the consumer learns of a message.
pub(crate) struct Received {
    pub(crate) producer: u32,
    pub(crate) digest: u64,
    /// Nanoseconds from publishing to receipt.
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

    /// Writes a message and hands it over. The slot is empty.
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

    /// Reads the message and hands the slot back. The slot is full.
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

    /// Says that no more messages come. The slot is empty.
    pub(crate) fn close(&self) {
        self.hand_over(CLOSED);
    }

    /// For the consumer: waits while the slot is empty. Tells whether there is a message; if not, the slot was closed.
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

    /// Waits while the state is `old`, and returns the next one.
    ///
    /// No wake is lost, and hardly any is made for nobody. Say A waits in here, and B is in `hand_over`. Either
    ///
    /// 1. B's swap comes before A's exchange. The exchange fails, as the value is another, and A looks again. Or
    /// 2. B's swap comes after it. Then B sees the bit, and wakes after the swap. The kernel compares the word again when it
    ///    puts A to sleep, in one step: before the swap A sleeps, and the wake finds it; after the swap it does not sleep.
    ///
    /// A wait that returns for another reason finds its own bit, and waits again without setting it.
    async fn changes_from(&self, old: u32) -> io::Result<u32> {
        loop {
            // Ordering: Acquire, the partner is the swap of `hand_over`. A's exchange in between does not hide it.
            let state = self.state.word().load(Ordering::Acquire);
            if state & !WAITING != old {
                return Ok(state & !WAITING);
            }
            if self.mark(state) {
                self.state.wait_async(state | WAITING).await?;
            }
            // A partner that changes it all the time must not keep the other tasks of this thread waiting.
            consume_budget().await;
        }
    }

    /// Says that somebody waits; false where the state is not `state` any more.
    fn mark(&self, state: u32) -> bool {
        // Ordering: Relaxed. Nothing but the bit is told, and who exchanges or swaps always sees the latest value.
        let exchange = |to| self.state.word().compare_exchange(state, to, Ordering::Relaxed, Ordering::Relaxed);
        state & WAITING != 0 || exchange(state | WAITING).is_ok()
    }

    /// Changes the state, and wakes the other side if it waits: see [`changes_from`](Slot::changes_from).
    fn hand_over(&self, state: u32) {
        // Ordering: Release, so that who sees the state sees the message. The partner is the load of `changes_from`.
        if self.state.word().swap(state, Ordering::Release) & WAITING != 0 {
            self.state.wake_one();
        }
    }
}

/// Shared memory may hold anything: a process that runs wild can write there.
fn unknown(state: u32) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a slot's state is {state:#x}, which neither side writes now"))
}
