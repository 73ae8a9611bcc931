//! A candidate: the part that uses the lock.

use futex_ipc::{AutoEvent, ManualEvent, Mutex, Region, Value};
use futex_tokio::{ProcessId, process_end};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use tokio::io::AsyncWriteExt as _;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The value of the mutex.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Term {
    /// Number of the term. Each leader has a higher number than earlier leaders, so others can refuse orders of an earlier leader.
    number: u64,
    /// The process of the leader: the words of a `ProcessId`.
    process: [u32; 4],
}

impl Value for Term {
    const NAME: &'static str = "example.com/term";
    const VERSION: u32 = 1;
}

/// The objects of the region.
pub(crate) struct Objects {
    /// The process that has this mutex leads.
    leadership: Mutex<Term>,
    /// Set by each new leader.
    pub(crate) elected: AutoEvent,
    /// Set at the end.
    pub(crate) finish: ManualEvent,
}

impl Objects {
    /// All processes open the objects like this. The first one makes them.
    pub(crate) fn open_or_create(region: &Region) -> io::Result<Self> {
        Ok(Self {
            leadership: Mutex::open_or_create(region, "leadership", Term::default())?,
            elected: AutoEvent::open_or_create(region, "elected")?,
            finish: ManualEvent::open_or_create(region, "finish")?,
        })
    }
}

/// The address of the leader's socket. It has no file: the kernel has a table of such names.
pub(crate) fn address(name: &str) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(name)
}

pub(crate) async fn run(name: &str) -> io::Result<()> {
    let region = Region::builder().label("candidate").open(name)?;
    let objects = Objects::open_or_create(&region)?;
    tokio::select! {
        done = lead(&objects, name) => done,
        finished = objects.finish.wait() => finished,
    }
}

/// Waits until this process leads, and leads until it is killed or cancelled.
async fn lead(objects: &Objects, name: &str) -> io::Result<()> {
    let mut term = objects.leadership.lock().await?;

    if term.predecessor_died() {
        // The predecessor can't write into the region any more, so the mutex is free. But the kernel may not have closed its
        // socket yet. (`term.predecessor()` also has the process, but only until another process joins in the same slot.)
        process_end(ProcessId::from_words(term.process)?)?.await?;
        // Nothing else needs a repair.
        term.settle();
    }

    term.number += 1;
    term.process = ProcessId::current()?.to_words();
    term.checkpoint(); // makes this the value, and keeps the lock

    let listener = UnixListener::bind_addr(&address(name)?)?; // fails if the predecessor still has the address
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    objects.elected.set()?;

    // The work of a leader: it sends the number of the term and its pid to each client.
    loop {
        let (mut client, _) = listener.accept().await?;
        let answer = format!("{} {}", term.number, std::process::id());
        client.write_all(answer.as_bytes()).await?;
    }
}
