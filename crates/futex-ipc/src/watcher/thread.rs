//! The thread of the watcher.

use super::inotify::{Event, Inotify, Watch};
use super::watched::Watched;
use crate::membership::Membership;
use crate::os::signals::with_signals_blocked;
use crate::poke::Poke;
use futex_sys::__private::{PerProcess, explain, with_kind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::thread::set_current_timer_slack;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Time for which the thread stays after the last member has left, so that the next member can use it.
const LINGER: Duration = Duration::from_secs(1);

/// Time between two turns if the thread can't wait for its descriptors, and after a panic.
const PAUSE: Duration = Duration::from_millis(10);

/// The thread of this process. A fork has none until it opens a region itself.
static THREAD: PerProcess<Mutex<Option<Arc<Thread>>>> = PerProcess::new();

/// A member in the list of the thread.
#[derive(Debug)]
pub(super) struct Entry {
    watch: Option<Watch>,
    /// Empty after the member has left. The lock is held while the thread works for the member.
    watched: Mutex<Option<Watched>>,
}

impl Entry {
    fn is_meant(&self, event: Event) -> bool {
        match event {
            Event::Closed(watch) | Event::Name(watch) => self.watch == Some(watch),
            Event::Overflow => true,
        }
    }

    #[cfg(test)]
    pub(super) fn keep_busy(&self) -> impl Drop + '_ {
        lock(&self.watched)
    }

    #[cfg(test)]
    pub(super) fn state(&self) -> String {
        lock(&self.watched).as_ref().map_or_else(String::new, Watched::state)
    }

    #[cfg(test)]
    pub(super) fn rest(&self) -> bool {
        lock(&self.watched).as_mut().is_some_and(Watched::rest)
    }
}

#[derive(Debug)]
pub(super) struct Thread {
    poke: Arc<Poke>,
    /// `None` if there is no inotify.
    inotify: Option<Inotify>,
    /// True after other code has closed the descriptors.
    is_blind: AtomicBool,
    entries: Mutex<Vec<Arc<Entry>>>,
}

/// Starts the thread if it does not run.
pub(super) fn prepare() -> io::Result<()> {
    current(&mut lock(THREAD.get())).map(drop)
}

/// Adds a member, and starts the thread if it does not run.
pub(super) fn add(membership: &Arc<Membership>) -> io::Result<(Arc<Thread>, Arc<Entry>)> {
    let mut there = lock(THREAD.get());
    let thread = current(&mut there)?;
    let entry = thread.add(membership)?;
    Ok((thread, entry))
}

/// Returns the thread of this process. Starts it if it does not run, or if the program has closed the descriptors of the current one.
fn current(there: &mut Option<Arc<Thread>>) -> io::Result<Arc<Thread>> {
    if let Some(thread) = there.as_ref().filter(|thread| thread.poke.file().is_ok()) {
        return Ok(Arc::clone(thread));
    }
    Ok(Arc::clone(there.insert(Thread::start()?)))
}

impl Thread {
    fn start() -> io::Result<Arc<Self>> {
        let poke = Arc::new(Poke::new()?);
        let this = Arc::new(Self {
            inotify: Inotify::new(&poke).ok(),
            poke,
            is_blind: AtomicBool::new(false),
            entries: Mutex::default(),
        });
        let thread = Arc::clone(&this);
        with_signals_blocked(|| std::thread::Builder::new().name("futex-ipc".into()).spawn(move || thread.run()))
            .map_err(cannot_start)?;
        Ok(this)
    }

    fn add(&self, membership: &Arc<Membership>) -> io::Result<Arc<Entry>> {
        // Several members of one file share one watch, so watches are added and removed under the lock.
        let mut entries = lock(&self.entries);
        let watch = self.inotify.as_ref().and_then(|inotify| inotify.add(membership.as_fd()).ok());
        let has_events = watch.is_some() && !self.is_blind.load(Relaxed);
        let watched = Watched::new(membership.clone(), has_events);
        let entry = Arc::new(Entry { watch, watched: Mutex::new(Some(watched)) });
        entries.push(Arc::clone(&entry));
        drop(entries);
        membership.waits().set_poke(Arc::clone(&self.poke));
        self.poke.poke();
        Ok(entry)
    }

    /// Removes a member. When this returns, the thread does not use the region any more.
    pub(super) fn remove(&self, entry: &Arc<Entry>) {
        let mut entries = lock(&self.entries);
        entries.retain(|other| !Arc::ptr_eq(other, entry));
        if let (Some(inotify), Some(watch)) = (&self.inotify, entry.watch) {
            if entries.iter().all(|other| other.watch != Some(watch)) {
                inotify.remove(watch);
            }
        }
        let is_empty = entries.is_empty();
        drop(entries);
        let watched = lock(&entry.watched).take();
        drop(watched);
        if is_empty {
            // The thread computes when it ends.
            self.poke.poke();
        }
    }

    fn run(&self) {
        // By default, the kernel may end a sleep up to 50 µs late.
        let _ = set_current_timer_slack(NonZeroU64::new(1));
        let mut ends = None;
        while !self.is_over(&mut ends) {
            // A panic would be a fault of this crate. After it, the process must still notice deaths.
            if catch_unwind(AssertUnwindSafe(|| self.turn(ends))).is_err() {
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// True if this process has not been a member for some time. Then the next member starts another thread.
    fn is_over(&self, ends: &mut Option<Instant>) -> bool {
        if !lock(&self.entries).is_empty() {
            *ends = None;
            return false;
        }
        let now = Instant::now();
        if *ends.get_or_insert(now + LINGER) > now {
            return false;
        }
        let mut current = lock(THREAD.get());
        // Members are added under this lock.
        let is_over = lock(&self.entries).is_empty();
        if is_over {
            current.take_if(|current| std::ptr::eq(&**current, self));
        }
        is_over
    }

    /// Does what is due, and sleeps until the next action is due.
    fn turn(&self, until: Option<Instant>) {
        let entries = lock(&self.entries).clone();
        let mut next = until;
        for entry in &entries {
            if let Some(watched) = &mut *lock(&entry.watched) {
                let due = watched.run(Instant::now());
                next = [next, due].into_iter().flatten().min();
            }
        }
        drop(entries);
        self.sleep(next);
        let entries = lock(&self.entries).clone();
        self.read(&entries);
    }

    fn sleep(&self, until: Option<Instant>) {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let timeout = left.map(|left| Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos() as _ });
        match self.files().map(|mut files| poll(&mut files, timeout.as_ref())) {
            // An early end only leads to a turn that does nothing.
            Some(Ok(_) | Err(Errno::INTR)) => {}
            // The program has closed the descriptors, or has lowered its limit below their number (`RLIMIT_NOFILE`).
            None | Some(Err(_)) => std::thread::sleep(left.map_or(PAUSE, |left| left.min(PAUSE))),
        }
    }

    /// The descriptors that end the sleep. `None` if other code has closed them.
    fn files(&self) -> Option<Vec<PollFd<'_>>> {
        if self.is_blind.load(Relaxed) {
            return None;
        }
        let files = [self.poke.file().map(AsFd::as_fd)].into_iter().chain(self.inotify.as_ref().map(Inotify::file));
        let files = files.map(|file| file.map(|file| PollFd::from_borrowed_fd(file, PollFlags::IN)));
        let files = files.collect::<io::Result<_>>().ok();
        if files.is_none() {
            self.go_blind();
        }
        files
    }

    /// Reads the events that have woken the thread.
    fn read(&self, entries: &[Arc<Entry>]) {
        if self.is_blind.load(Relaxed) {
            return;
        }
        let poked = self.poke.take();
        let read = self.inotify.as_ref().map_or(Ok(()), |inotify| {
            inotify.read(|event| {
                let now = Instant::now();
                for entry in entries.iter().filter(|entry| entry.is_meant(event)) {
                    if let Some(watched) = &mut *lock(&entry.watched) {
                        watched.event(event, now);
                    }
                }
            })
        });
        if poked.and(read).is_err() {
            self.go_blind();
        }
    }

    /// Takes the events of a member away, as if there were no inotify.
    #[cfg(test)]
    pub(super) fn take_events(&self, entry: &Entry) {
        lock(&entry.watched).as_mut().expect("a member").lose_events();
        self.poke.poke();
    }

    /// Continues without descriptors, after the program has closed them (`close_range`).
    fn go_blind(&self) {
        self.is_blind.store(true, Relaxed);
        let entries = lock(&self.entries).clone();
        for entry in entries {
            if let Some(watched) = &mut *lock(&entry.watched) {
                watched.lose_events();
            }
        }
    }
}

#[cold]
fn cannot_start(error: io::Error) -> io::Error {
    let sentence = "cannot start the thread that notices the death of a region's members (see `ulimit -u`)";
    // A caller of `receive` would mistake `WouldBlock` for a socket without a message.
    let is_limit = error.kind() == io::ErrorKind::WouldBlock;
    let error = explain(error, sentence);
    if is_limit { with_kind(io::ErrorKind::OutOfMemory, error) } else { error }
}

/// Locks a mutex whose value stays usable when a holder panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
