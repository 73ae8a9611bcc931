//! Ways to send messages to another process.

mod control;
#[cfg(feature = "iceoryx2")]
mod iceoryx2;
#[cfg(feature = "ipc-channel")]
mod ipc_channel;
mod message;
pub(crate) mod opened;
mod slot;
pub(crate) mod slots;
mod socket;

use self::opened::Opened;
use self::slots::Order;
use crate::executor::{Executor, Kind};
use crate::hull::Hull;
use crate::ours::Config;
use std::fmt;
use std::io;

/// A way to send messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pipe {
    /// Slots in shared memory.
    Slots(Config, Order),
    Socket,
    IpcChannel,
    Iceoryx2,
}

impl Pipe {
    pub(crate) const ALL: [Self; 10] = [
        Self::Slots(Config::URING, Order::InOrder),
        Self::Slots(Config::WAITV, Order::InOrder),
        Self::Slots(Config::THREAD, Order::InOrder),
        Self::Slots(Config::URING, Order::TaskPerSlot),
        Self::Slots(Config::WAITV, Order::TaskPerSlot),
        Self::Slots(Config::INTERRUPTING, Order::TaskPerSlot),
        Self::Slots(Config::THREAD, Order::TaskPerSlot),
        Self::Socket,
        Self::IpcChannel,
        Self::Iceoryx2,
    ];

    /// What its futures are polled by, on both sides.
    pub(crate) fn executor(self) -> Kind {
        match self {
            Self::Slots(..) | Self::Socket => Kind::CurrentThread,
            Self::IpcChannel | Self::Iceoryx2 => Kind::Blocking,
        }
    }

    /// Opens the consumer's end. Where it needs a runtime, in one.
    pub(crate) fn open(self, producers: usize) -> io::Result<Opened> {
        match self {
            Self::Slots(config, order) => slots::open(config, order, producers),
            Self::Socket => socket::open(producers),
            #[cfg(feature = "ipc-channel")]
            Self::IpcChannel => ipc_channel::open(producers),
            #[cfg(feature = "iceoryx2")]
            Self::Iceoryx2 => iceoryx2::open(producers),
            #[expect(clippy::allow_attributes, reason = "it depends on the features")]
            #[allow(unreachable_patterns, reason = "it depends on the features")]
            _ => Err(io::Error::other("this lab was built without that rival's feature")),
        }
    }

    /// Sends messages, until killed.
    pub(crate) fn produce(self, executor: &Executor, hull: Hull, producer: usize) -> io::Result<()> {
        match self {
            Self::Slots(config, order) => executor.block_on(slots::produce(config, order, hull, producer)),
            Self::Socket => executor.block_on(socket::produce(hull)),
            #[cfg(feature = "ipc-channel")]
            Self::IpcChannel => ipc_channel::produce(hull),
            #[cfg(feature = "iceoryx2")]
            Self::Iceoryx2 => iceoryx2::produce(hull),
            #[expect(clippy::allow_attributes, reason = "it depends on the features")]
            #[allow(unreachable_patterns, reason = "it depends on the features")]
            _ => Err(io::Error::other("this lab was built without that rival's feature")),
        }
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slots(config, Order::InOrder) => config.fmt(f),
            Self::Slots(config, Order::TaskPerSlot) => write!(f, "{config}, a task per slot"),
            Self::Socket => f.write_str("Unix socket pair"),
            Self::IpcChannel => f.write_str("ipc-channel"),
            Self::Iceoryx2 => f.write_str("iceoryx2 publish/subscribe"),
        }
    }
}
