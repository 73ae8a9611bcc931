//! A process that `doctor` starts: it tries what may end it.
//!
//! Its standard input is the memory that it shares with the other process. It prints [`Message`]s, one per line.

use crate::failure::Failure;
use clap::Parser as _;
use futex_sys::futex::{self, MATCH_ANY, Scope};
use futex_tokio::{AsyncFutex, Backend, Reactor, SharedMemory};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Round trips in all; the first one also waits for the other process to start.
pub(super) const ROUND_TRIPS: u32 = 200;

/// How long they may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Two processes began to wait for each other, and did not come to the end.
pub(super) fn stuck() -> String {
    format!("two processes that wait for each other did not finish {ROUND_TRIPS} round trips in {PATIENCE:?}")
}

/// The command that only `doctor` knows. It stands in no help and no completion, which hidden ones of clap do.
pub(super) const COMMAND: &str = "doctor-peer";

#[derive(Debug, clap::Parser)]
pub(crate) struct DoctorPeer {
    #[arg(value_enum)]
    role: Role,
    /// Without it, the choice is that of any program
    backend: Option<Backend>,
}

/// The command line, if it is that of such a process.
pub(crate) fn asked_for() -> Option<DoctorPeer> {
    let mut words = std::env::args_os().skip(1).peekable();
    (words.peek()? == COMMAND).then(|| DoctorPeer::parse_from(words))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Role {
    /// Only takes a backend.
    Choose,
    /// Only opens a ring. If a reactor gets none, it tries the other backends too, to name those that work.
    Ring,
    /// Asks, and measures how long the answers take.
    Ask,
    Answer,
}

impl Role {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Choose => "choose",
            Self::Ring => "ring",
            Self::Ask => "ask",
            Self::Answer => "answer",
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    /// What it does next, so that its end can be explained.
    Step(Step),
    Done(Done),
    Failed(String),
}

/// What a process found out that has done its part.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) backend: String,
    /// The better backends, which are not available.
    pub(super) passed_over: Vec<String>,
    /// The median, of the one that asks.
    pub(super) round_trip_ns: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    /// Makes a call of `futex`.
    Futex,
    /// Opens a reactor.
    Open,
    /// Waits for the other process.
    Wait,
}

pub(crate) fn run(args: &DoctorPeer) -> Result<(), Failure> {
    // A sandbox that kills has the kernel write a core. Nobody wants it, so a failure does not matter.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(async {
            match open(args) {
                Ok(reactor) => finish(work(args.role, &reactor).await),
                Err(error) => finish(Err(error)),
            }
        }),
        Err(error) => finish(Err(cannot("make a Tokio runtime", error))),
    }
}

fn cannot(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what}: {error}"))
}

/// Sends the last message and ends the process. Nothing is dropped: closing a reactor takes wakes, which may not come.
fn finish(result: io::Result<Done>) -> ! {
    let message = result.map_or_else(|error| Message::Failed(error.to_string()), Message::Done);
    process::exit(send(&message).map_or(1, |()| 0))
}

fn send(message: &Message) -> io::Result<()> {
    let line = serde_json::to_string(message)?;
    writeln!(io::stdout(), "{line}")
}

fn open(args: &DoctorPeer) -> io::Result<Reactor> {
    send(&Message::Step(Step::Futex))?;
    try_futex()?;
    send(&Message::Step(Step::Open))?;
    if args.role == Role::Ring {
        open_ring()?;
    }
    match args.backend {
        Some(backend) => Reactor::builder().backend(backend).build(),
        None => Reactor::builder().build(),
    }
}

#[cfg(feature = "uring")]
fn open_ring() -> io::Result<()> {
    futex_sys::uring::FutexRing::new().map(drop)
}

#[cfg(not(feature = "uring"))]
fn open_ring() -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this program was built without the feature `uring`"))
}

async fn work(role: Role, reactor: &Reactor) -> io::Result<Done> {
    let round_trip_ns = match role {
        Role::Ask | Role::Answer => {
            send(&Message::Step(Step::Wait))?;
            let stuck = |_| io::Error::new(io::ErrorKind::TimedOut, stuck());
            median(tokio::time::timeout(PATIENCE, converse(role, reactor)).await.map_err(stuck)??)
        }
        _ => None,
    };
    let passed_over = reactor.passed_over().map(|(backend, _)| backend.to_string()).collect();
    Ok(Done { backend: reactor.backend().to_string(), passed_over, round_trip_ns })
}

/// Waits for a value that the word does not have, and wakes nobody.
fn try_futex() -> io::Result<()> {
    let word = AtomicU32::new(0);
    futex::wait(&word, Scope::Shared, 1, MATCH_ANY, None)?;
    futex::wake(&word, Scope::Shared, 1)?;
    Ok(())
}

/// Returns how long each answer took.
///
/// In the first round trip each waits until the other one sleeps in the kernel, so that there is a wake in both directions.
async fn converse(role: Role, reactor: &Reactor) -> io::Result<Vec<Duration>> {
    let fd = io::stdin().as_fd().try_clone_to_owned().map_err(|error| cannot("duplicate a descriptor", error))?;
    let memory = SharedMemory::from_fd(fd)?;
    let question = AsyncFutex::with_reactor(reactor, memory.word(0)?);
    let answer = AsyncFutex::with_reactor(reactor, memory.word(64)?);
    let tell = async |futex: &AsyncFutex, trip| {
        while trip == 1 && futex.word().waiters()? == 0 {
            tokio::task::yield_now().await;
        }
        futex.word().store(trip, Ordering::Release);
        futex.wake_one();
        io::Result::Ok(())
    };
    let mut trips = Vec::new();
    for trip in 1..=ROUND_TRIPS {
        let start = Instant::now();
        if role == Role::Ask {
            tell(&question, trip).await?;
            answer.wait_until(|value| value == trip).await?;
            trips.push(start.elapsed());
        } else {
            question.wait_until(|value| value == trip).await?;
            tell(&answer, trip).await?;
        }
    }
    Ok(trips)
}

fn median(mut trips: Vec<Duration>) -> Option<u64> {
    trips.sort_unstable();
    trips.get(trips.len() / 2).and_then(|trip| u64::try_from(trip.as_nanos()).ok())
}
