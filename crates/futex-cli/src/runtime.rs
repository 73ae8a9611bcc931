//! What the commands that wait have in common: their runtime, and what ends them beside the word.

use crate::descriptors;
use crate::failure::Failure;
use crate::object::Object;
use crate::value::Offset;
use futex_tokio::SharedMemory;
use rustix::fs::{fstat, inotify};
use std::future::{Future, pending, poll_fn};
use std::io;
use std::os::fd::AsRawFd as _;
use std::task::Poll;
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Runs `wait` until it is over, a signal asks for the end, or `memory` loses the word at `last`. What the user should know
/// meanwhile goes to `note`.
///
/// Whatever the reason, `wait` is dropped before this returns, so that a wake which it has consumed is handed on.
pub(crate) fn run<T>(
    object: &Object,
    memory: &SharedMemory,
    last: Offset,
    note: impl Fn(&str),
    wait: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    descriptors::check_spare(TAKEN).map_err(|error| {
        Failure::new(format_args!("cannot wait, because too few descriptors are left (see `ulimit -n`): {error}"))
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = signals()?;
        // In this order: the word of memory that became shorter must not be loaded.
        tokio::select! {
            biased;
            failure = interruption(&mut signals) => Err(failure),
            failure = loss(object, memory, last, note) => Err(failure),
            // The kernel refuses a wait on a page that is gone, perhaps before it reports the new length.
            result = wait => result.map_err(|failure| shortened(object, memory, last).unwrap_or(failure)),
        }
    })
}

/// Descriptors that must be left. A runtime takes five (Tokio 1.54): an epoll instance and its eventfd, a pair of sockets, and a
/// duplicate of one of them. Tokio panics if the last ones run out while it prepares for signals.
const TAKEN: usize = 8;

/// The signals that ask for the end, with their numbers. One that was ignored when this program was started stays ignored
/// (`nohup`, and SIGINT for the background jobs of a script).
fn signals() -> io::Result<Vec<(u8, Signal)>> {
    let status = procfs::process::Process::myself().and_then(|process| process.status());
    let ignored = status.map_or(0, |status| status.sigign);
    [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::terminate()]
        .into_iter()
        .filter_map(|kind| Some((u8::try_from(kind.as_raw_value()).ok()?, kind)))
        .filter(|(number, _)| ignored & 1 << (number - 1) == 0)
        .map(|(number, kind)| Ok((number, signal(kind)?)))
        .collect()
}

async fn interruption(signals: &mut [(u8, Signal)]) -> Failure {
    poll_fn(|cx| {
        let come = signals.iter_mut().find_map(|(number, signal)| signal.poll_recv(cx).is_ready().then_some(*number));
        come.map_or(Poll::Pending, |number| Poll::Ready(Failure::Interrupted(number)))
    })
    .await
}

/// Ends when `memory` has lost the word at `last`: nobody can wake its waiters any more. Notes when it loses its name, as then
/// others may have another object under the name.
async fn loss(object: &Object, memory: &SharedMemory, last: Offset, note: impl Fn(&str)) -> Failure {
    // Without it (there are 128 per user by default) the wait is as good as before, and learns of no loss.
    let Ok(events) = subscribe(memory) else { return pending().await };
    // Memfds have none, and a descriptor may be the last that is left of an object.
    let still_has_name = || fstat(memory).is_ok_and(|stat| stat.st_nlink > 0);
    let mut has_name = still_has_name();
    loop {
        if let Some(failure) = shortened(object, memory, last) {
            return failure;
        }
        if has_name && !still_has_name() {
            has_name = false;
            note(&format!("{object} was removed or replaced; this still waits in the object that had the name"));
        }
        if events.readable().await.is_err() {
            return pending().await;
        }
        while events.try_read(&mut [0; 1024]).is_ok_and(|length| length > 0) {}
    }
}

/// The failure of memory that has lost the word at `last`: the next load of that word may raise SIGBUS.
pub(crate) fn shortened(object: &Object, memory: &SharedMemory, last: Offset) -> Option<Failure> {
    let length = u64::try_from(fstat(memory).ok()?.st_size).ok()?;
    (length < last.end() as u64).then(|| {
        let Offset(offset) = last;
        Failure::new(format_args!(
            "{object} was made shorter: it has {length} bytes now, and the word at offset {offset} is gone"
        ))
    })
}

/// Events of changes of the object's length, and of the number of its names.
fn subscribe(memory: &SharedMemory) -> io::Result<Receiver> {
    let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
    inotify::add_watch(&events, path, inotify::WatchFlags::MODIFY | inotify::WatchFlags::ATTRIB)?;
    // It is not a pipe, but it is polled and read as one.
    Receiver::from_owned_fd_unchecked(events)
}
