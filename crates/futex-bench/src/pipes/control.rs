//! What all pipes have: their messages, and how many are wanted.

use crate::hull::Hull;
use anyhow::Result;
use futex_tokio::{SharedMemory, Word};
use std::sync::atomic::Ordering;
use tokio::runtime::Runtime;

/// Number of words in a message.
pub(super) const MESSAGE: usize = 13;

/// How far a producer may be ahead of the consumer, if that can be chosen. It is about as far as Linux allows with a Unix
/// socket, which the others use: some 280 writes of this size.
pub(super) const AHEAD: usize = 256;

/// The message with a number.
pub(super) fn message(number: u32) -> [u32; MESSAGE] {
    std::array::from_fn(|index| number.wrapping_add(index as u32))
}

/// What takes as many messages, to be called once the producers were started; and a hull for each producer.
pub(crate) type Opened = (Box<dyn FnMut(&Runtime, usize) -> Result<()>>, Vec<Hull>);

/// Shared memory whose first word counts the messages that each producer is to have sent: the producers rest between the
/// consumer's turns. The rest is for slots.
pub(crate) struct Control {
    pub(super) memory: SharedMemory,
    pub(super) wanted: Word,
}

impl Control {
    pub(crate) fn new() -> Result<Self> {
        Self::of(SharedMemory::anonymous(64 << 10)?)
    }

    /// The same, in another process.
    pub(super) fn of(memory: SharedMemory) -> Result<Self> {
        Ok(Self { wanted: memory.word(0)?, memory })
    }

    /// Has each producer send this many more.
    pub(crate) fn want(&self, more: u32) {
        self.wanted.fetch_add(more, Ordering::Release);
        self.wanted.wake(u32::MAX);
    }

    /// Calls `send` for each message that is wanted, for ever. Blocks if none is: nothing else runs in a producer.
    pub(super) async fn send_each(&self, mut send: impl AsyncFnMut(u32) -> Result<()>) -> Result<()> {
        let mut sent = 0;
        loop {
            let wanted = self.wanted.load(Ordering::Acquire);
            if wanted == sent {
                self.wanted.wait(wanted, None)?;
            }
            while sent < wanted {
                send(sent).await?;
                sent += 1;
            }
        }
    }
}
