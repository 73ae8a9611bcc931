//! Ways in which two sides wake each other.

#[cfg(feature = "iceoryx2")]
mod iceoryx2;
mod words;

use self::words::{BareRing, Words};
use crate::hull::Hull;
use crate::ours::Config;
use crate::register::register;
use anyhow::Result;
use futex_sys::EventFd;
use futex_tokio::{AsyncFutex, SharedMemory};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::net;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

/// A way to wake each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Link {
    Ours(Config),
    /// The limit: threads that block in `FUTEX_WAIT`.
    Blocking,
    /// The same with 10 µs of work before each wait. If an idle processor takes long to wake, that is *faster*: the answer comes
    /// before the thread has gone to sleep. Contestants that do more than others gain from it.
    LateBlocking,
    /// The kernel's part of the library: an io_uring, its eventfd in an epoll, and a thread, with nothing else.
    BareRing,
    /// What one does without the library: a blocking thread of Tokio for each wait.
    SpawnBlocking,
    /// Two eventfds that both processes have, each in the other's epoll.
    Eventfd,
    /// A pair of Unix sockets and one byte.
    Socket,
    /// The events of iceoryx2: its listener's descriptor in Tokio's epoll.
    Iceoryx2,
    /// Tokio's own, within one process.
    Notify,
}

/// One side's end. The sides take turns: a signal here ends one wait there. What this side waits for comes first.
pub(crate) enum End {
    Ours(Words, AsyncFutex),
    Blocking(Words, Duration),
    BareRing(Words, Box<BareRing>),
    SpawnBlocking(Words),
    Eventfd(AsyncFd<OwnedFd>, OwnedFd),
    Socket(UnixStream),
    #[cfg(feature = "iceoryx2")]
    Iceoryx2(Box<iceoryx2::Event>),
    Notify(Arc<Notify>, Arc<Notify>),
}

impl Link {
    /// What each side makes its end from.
    pub(crate) fn hulls(self) -> Result<[Hull; 2]> {
        Ok(match self {
            Self::Eventfd => {
                let (one, other) = (OwnedFd::from(EventFd::new()?), OwnedFd::from(EventFd::new()?));
                [Hull::of([&one, &other])?, Hull::of([&other, &one])?]
            }
            Self::Socket => {
                let (one, other) = net::UnixStream::pair()?;
                [Hull::of([&one])?, Hull::of([&other])?]
            }
            #[cfg(feature = "iceoryx2")]
            Self::Iceoryx2 => {
                let name = format!("futex-bench-{:x}", fastrand::u64(..));
                [(); 2].map(|()| Hull { name: name.clone(), ..Hull::default() })
            }
            #[cfg(not(feature = "iceoryx2"))]
            Self::Iceoryx2 => anyhow::bail!("this lab was built without the feature `iceoryx2`"),
            _ => {
                let memory = SharedMemory::anonymous(4096)?;
                [Hull::of([&memory])?, Hull::of([&memory])?]
            }
        })
    }

    /// The end of side 0 or 1, on the runtime that is entered.
    pub(crate) fn end(self, mut hull: Hull, side: usize) -> Result<End> {
        let mut words = || Words::new(&SharedMemory::from_fd(hull.take_fd()?)?, side);
        Ok(match self {
            Self::Ours(config) => {
                let words = words()?;
                let futex = AsyncFutex::with_reactor(&config.reactor()?, &words.mine);
                End::Ours(words, futex)
            }
            Self::Blocking => End::Blocking(words()?, Duration::ZERO),
            Self::LateBlocking => End::Blocking(words()?, Duration::from_micros(10)),
            Self::BareRing => End::BareRing(words()?, Box::new(BareRing::new()?)),
            Self::SpawnBlocking => End::SpawnBlocking(words()?),
            Self::Eventfd => End::Eventfd(register(hull.take_fd()?)?, hull.take_fd()?),
            Self::Socket => End::Socket(hull.take_socket()?),
            #[cfg(feature = "iceoryx2")]
            Self::Iceoryx2 => End::Iceoryx2(Box::new(iceoryx2::Event::new(&hull.name, side)?)),
            _ => anyhow::bail!("{self} does not reach other processes"),
        })
    }

    /// Both ends within one process, each made on the runtime of its side.
    pub(crate) fn ends(self, at: [&Runtime; 2]) -> Result<[End; 2]> {
        if self == Self::Notify {
            let (one, other) = (Arc::<Notify>::default(), Arc::<Notify>::default());
            return Ok([End::Notify(one.clone(), other.clone()), End::Notify(other, one)]);
        }
        let [mine, theirs] = self.hulls()?;
        Ok([at[0].block_on(async { self.end(mine, 0) })?, at[1].block_on(async { self.end(theirs, 1) })?])
    }
}

impl End {
    /// Wakes the other side.
    async fn signal(&mut self) -> Result<()> {
        match self {
            Self::Ours(words, _) | Self::Blocking(words, _) | Self::BareRing(words, _) | Self::SpawnBlocking(words) => {
                words.signal();
            }
            Self::Eventfd(_, theirs) => drop(rustix::io::write(theirs, &1_u64.to_ne_bytes())?),
            Self::Socket(socket) => socket.write_all(&[1]).await?,
            #[cfg(feature = "iceoryx2")]
            Self::Iceoryx2(event) => event.signal().await?,
            Self::Notify(_, theirs) => theirs.notify_one(),
        }
        Ok(())
    }

    /// Waits for the other side's signal.
    async fn wait(&mut self) -> Result<()> {
        match self {
            Self::Ours(words, futex) => {
                let seen = words.seen;
                words.seen = futex.wait_until(|value| value != seen).await?;
            }
            Self::Blocking(words, late) => {
                if *late > Duration::ZERO {
                    let start = Instant::now();
                    while start.elapsed() < *late {}
                }
                while !words.changed() {
                    words.mine.wait(words.seen, None)?;
                }
            }
            Self::BareRing(words, ring) => {
                while !words.changed() {
                    ring.wait(words)?;
                }
            }
            Self::SpawnBlocking(words) => {
                while !words.changed() {
                    let (word, seen) = (words.mine.clone(), words.seen);
                    let _ = spawn_blocking(move || word.wait(seen, None)).await??;
                }
            }
            Self::Eventfd(mine, _) => loop {
                let mut ready = mine.readable().await?;
                let read = ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut [0_u8; 8])?));
                if let Ok(read) = read {
                    read?;
                    break;
                }
            },
            Self::Socket(socket) => drop(socket.read_exact(&mut [0]).await?),
            #[cfg(feature = "iceoryx2")]
            Self::Iceoryx2(event) => event.wait().await?,
            Self::Notify(mine, _) => mine.notified().await,
        }
        Ok(())
    }
}

/// Answers every signal, for ever.
pub(crate) async fn echo(mut end: End) -> Result<()> {
    loop {
        end.wait().await?;
        end.signal().await?;
    }
}

/// Signals and waits for the answer, `count` times. Returns the end, and the nanoseconds of each round trip.
pub(crate) async fn round_trips(mut end: End, count: usize) -> Result<(End, Vec<f64>)> {
    let mut trips = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        end.signal().await?;
        end.wait().await?;
        trips.push(start.elapsed().as_nanos() as f64);
    }
    Ok((end, trips))
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours(config) => return config.fmt(f),
            Self::Blocking => crate::question::BLOCKING,
            Self::LateBlocking => "blocking futex, 10 µs late",
            Self::BareRing => "bare ring and epoll",
            Self::SpawnBlocking => "spawn_blocking",
            Self::Eventfd => "shared eventfds",
            Self::Socket => "Unix socket pair",
            Self::Iceoryx2 => "iceoryx2 event",
            Self::Notify => "tokio Notify",
        })
    }
}
