//! Events of the files of regions (inotify(7)).
//!
//! The kernel reports an event when an open file description of the file is closed, also by the end of a process. The same thread of the
//! kernel drops the lock of the member a few microseconds after that event.

use crate::descriptor::Descriptor;
use crate::os::at_fork::{NotForked, OwnFile};
use crate::poke::Poke;
use futex_sys::__private::explain;
use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};
use rustix::io::Errno;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// The events that matter. `MOVE_SELF` and `ATTRIB`: the name of the file may lead elsewhere from now on.
const EVENTS: WatchFlags =
    WatchFlags::CLOSE_WRITE.union(WatchFlags::ATTRIB).union(WatchFlags::DELETE_SELF).union(WatchFlags::MOVE_SELF);

/// Number of events after which [`Inotify::read`] returns. The descriptor stays readable if there are more.
const MANY: usize = 1024;

/// An instance of inotify.
#[derive(Debug)]
pub(super) struct Inotify {
    /// Forks do not keep the instance, because the number of instances per user is limited. Dropped before `file`.
    _not_forked: NotForked,
    file: Descriptor,
    /// Shows whether the descriptor of the instance is closed: other files have the inode of the instance, and a program that closes
    /// this descriptor usually closes those of the poke too.
    poke: Arc<Poke>,
}

/// The watch of a file. Two watches of the same file are the same watch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Watch(i32);

/// What happened to a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// A description of the file was closed.
    Closed(Watch),
    /// The file may have lost its name.
    Name(Watch),
    /// The kernel has dropped events. Any event may have happened to any file.
    Overflow,
}

impl Inotify {
    pub(super) fn new(poke: &Arc<Poke>) -> io::Result<Self> {
        let open = || {
            init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(|errno| {
                explain(errno, "cannot watch the files of regions (see /proc/sys/fs/inotify/max_user_instances)")
            })
        };
        let (file, not_forked) = OwnFile::open(open)?.into_parts();
        Ok(Self { _not_forked: not_forked, file: Descriptor::new(file)?, poke: Arc::clone(poke) })
    }

    fn get(&self) -> io::Result<&OwnedFd> {
        self.poke.file()?;
        self.file.get()
    }

    pub(super) fn add(&self, file: BorrowedFd<'_>) -> io::Result<Watch> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        add_watch(self.get()?, path, EVENTS)
            .map(Watch)
            .map_err(|errno| explain(errno, "cannot watch the file of a region"))
    }

    pub(super) fn remove(&self, watch: Watch) {
        if let Ok(file) = self.get() {
            // It fails if the kernel has removed the watch together with the file.
            let _ = remove_watch(file, watch.0);
        }
    }

    /// Reads the pending events, and calls `each` with each of them.
    ///
    /// # Errors
    ///
    /// If other code has closed the descriptor.
    pub(super) fn read(&self, mut each: impl FnMut(Event)) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(self.get()?, &mut buffer);
        let mut count = 0;
        while count < MANY || !reader.is_buffer_empty() {
            count += 1;
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(explain(errno, "cannot read the events of the files of regions")),
            };
            let (watch, events) = (Watch(event.wd()), event.events());
            if events.contains(ReadFlags::QUEUE_OVERFLOW) {
                each(Event::Overflow);
            }
            if events.contains(ReadFlags::CLOSE_WRITE) {
                each(Event::Closed(watch));
            }
            if events.intersects(ReadFlags::ATTRIB | ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF) {
                each(Event::Name(watch));
            }
        }
        Ok(())
    }
}

impl Inotify {
    /// The descriptor, to poll it.
    pub(super) fn file(&self) -> io::Result<BorrowedFd<'_>> {
        self.get().map(AsFd::as_fd)
    }
}

impl Drop for Inotify {
    fn drop(&mut self) {
        if self.poke.file().is_err() {
            self.file.lose();
        }
    }
}
