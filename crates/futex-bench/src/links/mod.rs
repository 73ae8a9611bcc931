//! Ways in which two sides wake each other.

mod bare_ring;
mod blocking;
mod event_listener;
mod eventfd;
mod futex;
#[cfg(feature = "iceoryx2")]
mod iceoryx2;
mod notify;
mod socket;
mod spawn_blocking;
mod words;

use crate::ours::Config;
use crate::{executor, names};
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::str::FromStr;
use std::time::Instant;

/// One side's end. The sides take turns: a signal here ends one wait there.
pub(crate) trait End: Send + 'static {
    /// Wakes the other side.
    fn signal(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// Waits for the other side's signal.
    fn wait(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// A way to wake each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Ours(Config),
    Blocking,
    /// Blocking, but each wait begins with [`blocking::LATE`] of work.
    LateBlocking,
    BareRing,
    Eventfd,
    Socket,
    SpawnBlocking,
    Iceoryx2,
    Notify,
    EventListener,
}

/// What the other process is started with.
#[derive(Debug)]
pub(crate) struct Hull {
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: Option<OwnedFd>,
    /// Where the sides meet by a name.
    pub(crate) name: String,
}

/// One side's end of any link.
pub(crate) enum AnyEnd {
    Ours(futex::Futex),
    Blocking(blocking::Blocking),
    BareRing(Box<bare_ring::BareRing>),
    Eventfd(eventfd::Eventfd),
    Socket(socket::Socket),
    SpawnBlocking(spawn_blocking::SpawnBlocking),
    #[cfg(feature = "iceoryx2")]
    Iceoryx2(Box<iceoryx2::Event>),
    Notify(notify::Waker),
    EventListener(event_listener::Listener),
}

impl Link {
    const ALL: [Self; 14] = [
        Self::Ours(Config::URING),
        Self::Ours(Config::WAITV),
        Self::Ours(Config::THREAD),
        Self::Ours(Config::URING.spinning()),
        Self::Ours(Config::WAITV.spinning()),
        Self::Blocking,
        Self::LateBlocking,
        Self::BareRing,
        Self::Eventfd,
        Self::Socket,
        Self::SpawnBlocking,
        Self::Iceoryx2,
        Self::Notify,
        Self::EventListener,
    ];

    /// This side's end of a link to another process, and what that one needs for the other end. Where the link needs a
    /// runtime, in one.
    pub(crate) fn to_process(self) -> io::Result<(AnyEnd, Hull)> {
        match self {
            Self::Ours(_) | Self::Blocking | Self::LateBlocking | Self::BareRing | Self::SpawnBlocking => {
                words::to_process(self)
            }
            Self::Eventfd => eventfd::to_process(),
            Self::Socket => socket::to_process(),
            #[cfg(feature = "iceoryx2")]
            Self::Iceoryx2 => iceoryx2::to_process(),
            #[cfg(not(feature = "iceoryx2"))]
            Self::Iceoryx2 => Err(io::Error::other("this lab was built without the feature `iceoryx2`")),
            Self::Notify | Self::EventListener => Err(io::Error::other(format!("{self} ends at the process's border"))),
        }
    }

    /// The other process's end.
    pub(crate) fn other_end(self, hull: Hull) -> io::Result<AnyEnd> {
        match self {
            Self::Ours(_) | Self::Blocking | Self::LateBlocking | Self::BareRing | Self::SpawnBlocking => {
                words::from_hull(self, hull)
            }
            Self::Eventfd => eventfd::from_hull(hull),
            Self::Socket => socket::from_hull(hull),
            #[cfg(feature = "iceoryx2")]
            Self::Iceoryx2 => iceoryx2::from_hull(&hull),
            _ => Err(io::Error::other(format!("{self} does not reach another process"))),
        }
    }

    /// Both ends within one process. Each `at` runs its argument in the runtime of its side.
    pub(crate) fn within(self, at: [&executor::Executor; 2]) -> io::Result<[AnyEnd; 2]> {
        match self {
            Self::Notify => Ok(notify::pair().map(AnyEnd::Notify)),
            Self::EventListener => Ok(event_listener::pair().map(AnyEnd::EventListener)),
            _ => words::within(self, at),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(config) => config.fmt(f),
            Self::Blocking => f.write_str("blocking futex"),
            Self::LateBlocking => write!(f, "blocking futex, {} µs late", blocking::LATE.as_micros()),
            Self::BareRing => f.write_str("bare ring and epoll"),
            Self::Eventfd => f.write_str("shared eventfds"),
            Self::Socket => f.write_str("Unix socket pair"),
            Self::SpawnBlocking => f.write_str("spawn_blocking"),
            Self::Iceoryx2 => f.write_str("iceoryx2 event"),
            Self::Notify => f.write_str("tokio Notify"),
            Self::EventListener => f.write_str("event-listener"),
        }
    }
}

impl FromStr for Link {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        names::find(Self::ALL, name)
    }
}

/// Runs the same call on whatever end it is.
macro_rules! each_end {
    ($self:ident, $end:ident => $call:expr) => {
        match $self {
            AnyEnd::Ours($end) => $call,
            AnyEnd::Blocking($end) => $call,
            AnyEnd::BareRing($end) => $call,
            AnyEnd::Eventfd($end) => $call,
            AnyEnd::Socket($end) => $call,
            AnyEnd::SpawnBlocking($end) => $call,
            #[cfg(feature = "iceoryx2")]
            AnyEnd::Iceoryx2($end) => $call,
            AnyEnd::Notify($end) => $call,
            AnyEnd::EventListener($end) => $call,
        }
    };
}

impl End for AnyEnd {
    async fn signal(&mut self) -> io::Result<()> {
        each_end!(self, end => end.signal().await)
    }

    async fn wait(&mut self) -> io::Result<()> {
        each_end!(self, end => end.wait().await)
    }
}

/// Answers every signal, for ever.
pub(crate) async fn echo(mut end: AnyEnd) -> io::Result<()> {
    loop {
        end.wait().await?;
        end.signal().await?;
    }
}

/// Signals and waits for the answer, `count` times. Gives the end back, with the nanoseconds of each round trip.
pub(crate) async fn round_trips(mut end: AnyEnd, count: usize) -> io::Result<(AnyEnd, Vec<f64>)> {
    let mut trips = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        end.signal().await?;
        end.wait().await?;
        trips.push(start.elapsed().as_nanos() as f64);
    }
    Ok((end, trips))
}
