//! The shared memory: a header, and slots of a cache line each.

use futex_tokio::{AsyncFutex, Reactor, SharedMemory};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes of the header and of each slot: a cache line, so that neighbours don't disturb each other.
const LINE: usize = 64;
/// Words of a message.
const MESSAGE: usize = 13;

/// The states of a slot.
pub(crate) const EMPTY: u32 = 0;
pub(crate) const FULL: u32 = 1;
/// Its producer has no more messages.
pub(crate) const CLOSED: u32 = 2;

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
    pub(crate) state: AsyncFutex,
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

    /// Changes the state, then wakes.
    pub(crate) fn hand_over(&self, state: u32) {
        // Ordering: Release, so that who sees the state sees the message. The partner is the acquire load of `wait_until`.
        self.state.word().store(state, Ordering::Release);
        self.state.wake_one();
    }
}
