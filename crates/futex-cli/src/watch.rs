//! The command `watch`.
//!
//! It is a waiter as any other, so a wake of one may find it instead of the waiter that was meant. Therefore it hands on each
//! wake that it gets. It never holds one for long: nothing is armed while it writes, which blocks if nobody reads.
//!
//! Two watches that handed wakes on to each other would not end. So watches wait under a mask of one bit, and hand on under all
//! others. Plain wakes and plain waits have all bits.

use crate::args::Watch;
use crate::failure::{Failure, say};
use crate::runtime::shortened;
use crate::screen::{Change, Screen};
use crate::value::Offset;
use crate::{runtime, word};
use futex_tokio::{AsyncFutex, Word, wait_any};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cell::Cell;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::AsFd as _;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;
use tokio::time::sleep;

/// The mask of watches.
const WATCHES: NonZeroU32 = NonZeroU32::new(1 << 31).expect("a bit");
const OTHERS: NonZeroU32 = NonZeroU32::new(!(1 << 31)).expect("bits");

pub(crate) fn run(args: &Watch) -> Result<(), Failure> {
    let memory = args.object.open_to_change()?;
    let mut words = Vec::new();
    for &offset in &args.offsets {
        if words.iter().all(|(other, _)| *other != offset.0) {
            words.push((offset.0, word::word(&args.object, &memory, offset)?));
        }
    }
    let offsets: Vec<_> = words.iter().map(|(offset, _)| *offset).collect();
    let screen = Screen::new(args.json, &offsets);
    let last = Offset(offsets.iter().copied().max().unwrap_or_default());
    let noted = Cell::new(false);
    let note = |line: &str| {
        say(line);
        noted.set(true);
    };
    let never = runtime::run(&args.object, &memory, last, note, async {
        tokio::select! {
            biased;
            () = reader_gone() => Err(Failure::NoReader),
            result = watch(words, screen, &noted, || shortened(&args.object, &memory, last)) => result,
        }
    })?;
    match never {}
}

struct Watched {
    offset: usize,
    futex: AsyncFutex,
    /// The value that was shown last.
    seen: Option<u32>,
}

async fn watch(
    words: Vec<(usize, Word)>,
    mut screen: Screen,
    noted: &Cell<bool>,
    failure: impl Fn() -> Option<Failure>,
) -> Result<Infallible, Failure> {
    let words =
        words.into_iter().map(|(offset, word)| Ok(Watched { offset, futex: AsyncFutex::new(word)?, seen: None }));
    let mut words = words.collect::<io::Result<Vec<_>>>()?;
    loop {
        if let Some(failure) = failure() {
            return Err(failure);
        }
        let changes: Vec<_> = words.iter_mut().filter_map(Watched::change).collect();
        if changes.is_empty() {
            wake(&words).await?;
        } else {
            for changes in changes.chunks(AT_ONCE) {
                room().await?;
                if noted.take() {
                    screen.begin_anew();
                }
                screen.show(changes)?;
            }
            // A word that always changes must not keep signals from being seen.
            screen.pause().await;
        }
    }
}

impl Watched {
    fn change(&mut self) -> Option<Change> {
        let new = self.futex.word().load(Ordering::Acquire);
        let old = self.seen.replace(new);
        (old != Some(new)).then(|| Change { time: SystemTime::now(), offset: self.offset, old, new })
    }
}

/// Waits until one of the words has another value than the one that was shown, or is woken.
async fn wake(words: &[Watched]) -> io::Result<()> {
    let targets = words.iter().map(|word| (&word.futex, word.seen.unwrap_or_default(), WATCHES));
    let (index, _) = wait_any(targets).await?;
    // If the word had changed before the wait was armed, this wake has no cause, which every waiter allows for.
    words[index].futex.wake_masked(1, OTHERS);
    Ok(())
}

/// How many changes are written at once: their text always fits into one page, which is the least room that a pipe reports.
const AT_ONCE: usize = 32;

/// Returns when standard output has room. A write without room would block, and during it no signal would be seen.
async fn room() -> io::Result<()> {
    /// Tokio can't tell it: it does not see that a write of others took the room.
    const PAUSE: Duration = Duration::from_millis(20);

    while poll(&mut [PollFd::new(&io::stdout(), PollFlags::OUT)], Some(&Timespec::default()))? == 0 {
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Ends when the reader of standard output has gone, if that is a pipe: the next change may be far away.
async fn reader_gone() {
    let stdout = io::stdout().as_fd().try_clone_to_owned().and_then(Sender::from_owned_fd_unchecked);
    match stdout {
        Ok(stdout) => drop(stdout.ready(Interest::ERROR).await),
        // A file can't be polled.
        Err(_) => pending().await,
    }
}
