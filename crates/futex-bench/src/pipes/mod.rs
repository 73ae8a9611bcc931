//! Ways to send messages to another process.

mod control;
#[cfg(feature = "iceoryx2")]
mod iceoryx2;
#[cfg(feature = "ipc-channel")]
mod ipc_channel;
mod slots;
mod socket;

pub(crate) use self::control::{Control, Opened};
pub(crate) use self::slots::Order;
use crate::hull::Hull;
use crate::ours::Config;
use anyhow::Result;
use futex_tokio::SharedMemory;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A way to send messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Pipe {
    /// Slots in shared memory.
    Slots(Config, Order),
    Socket,
    IpcChannel,
    Iceoryx2,
}

impl Pipe {
    /// Opens the consumer's end on the runtime that is entered.
    pub(crate) fn open(self, control: &Control, producers: usize) -> Result<Opened> {
        match self {
            Self::Slots(config, order) => slots::open(config, order, control, producers),
            Self::Socket => socket::open(control, producers),
            #[cfg(feature = "ipc-channel")]
            Self::IpcChannel => ipc_channel::open(control, producers),
            #[cfg(feature = "iceoryx2")]
            Self::Iceoryx2 => iceoryx2::open(control, producers),
            #[cfg(not(all(feature = "ipc-channel", feature = "iceoryx2")))]
            _ => anyhow::bail!("this lab was built without that rival's feature"),
        }
    }

    /// Sends messages until this process is killed.
    pub(crate) async fn produce(self, mut hull: Hull, producer: usize) -> Result<()> {
        let control = Control::of(SharedMemory::from_fd(hull.take_fd()?)?)?;
        match self {
            Self::Slots(config, order) => slots::produce(config, order, &control, producer).await,
            Self::Socket => socket::produce(&control, hull).await,
            #[cfg(feature = "ipc-channel")]
            Self::IpcChannel => ipc_channel::produce(&control, hull).await,
            #[cfg(feature = "iceoryx2")]
            Self::Iceoryx2 => iceoryx2::produce(&control, hull).await,
            #[cfg(not(all(feature = "ipc-channel", feature = "iceoryx2")))]
            _ => anyhow::bail!("this lab was built without that rival's feature"),
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
