//! Ways in which two sides wake each other.

mod bare_ring;
mod blocking;
pub(crate) mod end;
mod event_listener;
mod eventfd;
mod futex;
#[cfg(feature = "iceoryx2")]
mod iceoryx2;
mod notify;
mod socket;
mod spawn_blocking;
mod words;

use self::bare_ring::BareRing;
use self::blocking::{Blocking, LATE};
use self::end::End;
use self::eventfd::Eventfd;
use self::futex::Futex;
use self::socket::Socket;
use self::spawn_blocking::SpawnBlocking;
use self::words::Words;
use crate::executor::Executor;
use crate::hull::Hull;
use crate::ours::Config;
use std::fmt;
use std::io;
use std::time::Duration;

/// A way to wake each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Ours(Config),
    Blocking,
    /// Blocking, but each wait begins with [`LATE`] of work.
    LateBlocking,
    BareRing,
    Eventfd,
    Socket,
    SpawnBlocking,
    Iceoryx2,
    Notify,
    EventListener,
}

/// One side's end of any link.
pub(crate) enum AnyEnd {
    Ours(Futex),
    Blocking(Blocking),
    BareRing(Box<BareRing>),
    Eventfd(Eventfd),
    Socket(Socket),
    SpawnBlocking(SpawnBlocking),
    #[cfg(feature = "iceoryx2")]
    Iceoryx2(Box<iceoryx2::Event>),
    Notify(notify::Waker),
    EventListener(event_listener::Listener),
}

impl Link {
    pub(crate) const ALL: [Self; 14] = [
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

    /// This side's end of a link to another process, and what that one needs for the other end. If the link needs a runtime,
    /// in one.
    pub(crate) fn to_process(self) -> io::Result<(AnyEnd, Hull)> {
        Ok(match self {
            Self::Eventfd => {
                let (end, hull) = Eventfd::to_process()?;
                (AnyEnd::Eventfd(end), hull)
            }
            Self::Socket => {
                let (end, hull) = Socket::to_process()?;
                (AnyEnd::Socket(end), hull)
            }
            #[cfg(feature = "iceoryx2")]
            Self::Iceoryx2 => {
                let (end, hull) = iceoryx2::Event::to_process()?;
                (AnyEnd::Iceoryx2(Box::new(end)), hull)
            }
            #[cfg(not(feature = "iceoryx2"))]
            Self::Iceoryx2 => return Err(io::Error::other("this lab was built without the feature `iceoryx2`")),
            _ => {
                let (words, hull) = Words::to_process()?;
                (self.over(words)?, hull)
            }
        })
    }

    /// The other process's end.
    pub(crate) fn other_end(self, hull: Hull) -> io::Result<AnyEnd> {
        match self {
            Self::Eventfd => Eventfd::from_hull(hull).map(AnyEnd::Eventfd),
            Self::Socket => Socket::from_hull(hull).map(AnyEnd::Socket),
            #[cfg(feature = "iceoryx2")]
            Self::Iceoryx2 => iceoryx2::Event::from_hull(&hull).map(|end| AnyEnd::Iceoryx2(Box::new(end))),
            _ => self.over(Words::from_hull(hull)?),
        }
    }

    /// Both ends within one process, each made in the runtime of its side.
    pub(crate) fn within(self, at: [&Executor; 2]) -> io::Result<[AnyEnd; 2]> {
        match self {
            Self::Notify => Ok(notify::pair().map(AnyEnd::Notify)),
            Self::EventListener => Ok(event_listener::pair().map(AnyEnd::EventListener)),
            _ => {
                let [mine, theirs] = Words::pair()?;
                Ok([at[0].enter(|| self.over(mine))?, at[1].enter(|| self.over(theirs))?])
            }
        }
    }

    /// An end of a link over two words.
    fn over(self, words: Words) -> io::Result<AnyEnd> {
        match self {
            Self::Ours(config) => Futex::new(words, config).map(AnyEnd::Ours),
            Self::Blocking => Ok(AnyEnd::Blocking(Blocking::new(words, Duration::ZERO))),
            Self::LateBlocking => Ok(AnyEnd::Blocking(Blocking::new(words, LATE))),
            Self::BareRing => Ok(AnyEnd::BareRing(Box::new(BareRing::new(words)?))),
            Self::SpawnBlocking => Ok(AnyEnd::SpawnBlocking(SpawnBlocking(words))),
            _ => Err(io::Error::other(format!("{self} has no words"))),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(config) => config.fmt(f),
            Self::Blocking => f.write_str("blocking futex"),
            Self::LateBlocking => write!(f, "blocking futex, {} µs late", LATE.as_micros()),
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
