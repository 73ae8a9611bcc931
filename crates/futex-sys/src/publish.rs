//! Publishing new objects under their names, so that other processes never see an incomplete object or a missing name.

use crate::error::explain;
use crate::name_lock::Holder;
use crate::posix_name::{DIRECTORY, OPEN, PosixName};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Only the user may read and write.
const MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Makes an object from an empty file by `make`, and then gives it the name. Returns `None` if the name is taken.
pub(crate) fn publish<T: AsFd>(name: PosixName<'_>, make: impl Fn(OwnedFd) -> io::Result<T>) -> io::Result<Option<T>> {
    first_way(name, |way| publish_by(way, name, &make))
}

/// Like [`publish`], but if the name is taken, the new object takes it over from the old object.
pub(crate) fn replace<T: AsFd>(name: PosixName<'_>, make: impl Fn(OwnedFd) -> io::Result<T>) -> io::Result<T> {
    first_way(name, |way| replace_by(way, name, &make))
}

/// How a new object is kept from other processes until it is complete.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// A file without a name (`O_TMPFILE`): a process that is killed meanwhile leaves nothing behind.
    Nameless,
    /// A file with a hidden name, for sandboxes without `O_TMPFILE` or without `/proc`. A process that is killed meanwhile
    /// leaves the hidden name behind.
    Hidden,
}

/// Returns the result of the first way that this system supports.
fn first_way<R>(name: PosixName<'_>, mut by: impl FnMut(Way) -> io::Result<Option<R>>) -> io::Result<R> {
    for way in [Way::Nameless, Way::Hidden] {
        if let Some(result) = by(way)? {
            return Ok(result);
        }
    }
    Err(name.cannot("create", Errno::OPNOTSUPP))
}

/// Returns `Some(None)` if the name is taken, and `None` if this system does not support the way.
fn publish_by<T: AsFd>(
    way: Way,
    name: PosixName<'_>,
    make: impl Fn(OwnedFd) -> io::Result<T>,
) -> io::Result<Option<Option<T>>> {
    let Some(draft) = Draft::make(way, name, make)? else { return Ok(None) };
    Ok(match draft.link(name)? {
        Linked::Done => Some(Some(draft.object)),
        Linked::Taken => Some(None),
        Linked::Unsupported => None,
    })
}

/// Returns `None` if this system does not support the way.
fn replace_by<T: AsFd>(
    way: Way,
    name: PosixName<'_>,
    make: impl Fn(OwnedFd) -> io::Result<T>,
) -> io::Result<Option<T>> {
    let Some(draft) = Draft::make(way, name, make)? else { return Ok(None) };
    loop {
        match draft.link(name)? {
            Linked::Done => return Ok(Some(draft.object)),
            Linked::Taken => {}
            Linked::Unsupported => return Ok(None),
        }
        let holder = Holder::of(name)?;
        if matches!(holder, Holder::Nobody) {
            continue; // removed in between
        }
        return draft.rename(name).map(Some);
    }
}

/// A complete object that does not have its name yet.
struct Draft<T> {
    object: T,
    hidden: Option<HiddenName>,
}

enum Linked {
    Done,
    Taken,
    Unsupported,
}

impl<T: AsFd> Draft<T> {
    /// Returns `None` if this system does not support the way.
    fn make(way: Way, name: PosixName<'_>, make: impl Fn(OwnedFd) -> io::Result<T>) -> io::Result<Option<Self>> {
        let cannot = |errno| name.cannot("create", errno);
        let (file, hidden) = match way {
            Way::Nameless => match openat(CWD, DIRECTORY, OFlags::RDWR | OFlags::CLOEXEC | OFlags::TMPFILE, MODE) {
                Ok(file) => (file, None),
                Err(errno) if means_unsupported(errno) => return Ok(None),
                Err(errno) => return Err(cannot(errno)),
            },
            Way::Hidden => {
                let create = |path: &Path| openat(CWD, path, OPEN | OFlags::CREATE | OFlags::EXCL, MODE);
                let (file, hidden) = HiddenName::take(name, create).map_err(cannot)?;
                (file, Some(hidden))
            }
        };
        // The umask may have cleared bits of the mode. They are set again before another process can open the object.
        rustix::fs::fchmod(&file, MODE).map_err(|errno| explain(errno, format!("cannot set the mode of {name}")))?;
        Ok(Some(Self { object: make(file)?, hidden }))
    }

    /// Gives the object its name if the name is free. Unlike a rename, a link never replaces another object.
    fn link(&self, name: PosixName<'_>) -> io::Result<Linked> {
        match self.link_to(&name.path()) {
            Ok(()) => Ok(Linked::Done),
            Err(Errno::EXIST) => Ok(Linked::Taken),
            Err(errno) if self.hidden.is_none() && means_unsupported(errno) => Ok(Linked::Unsupported),
            Err(errno) => Err(explain(errno, format!("cannot give {name} its name"))),
        }
    }

    fn link_to(&self, path: &Path) -> rustix::io::Result<()> {
        match &self.hidden {
            // open(2) describes this link for an O_TMPFILE without privileges. `thread-self` and not `self`, because a thread
            // can have its own table of descriptors. In the table of the first thread, the number may be another object of
            // this directory.
            None => {
                let source = format!("/proc/thread-self/fd/{}", self.object.as_fd().as_raw_fd());
                linkat(CWD, source, CWD, path, AtFlags::SYMLINK_FOLLOW)
            }
            Some(hidden) => linkat(CWD, hidden.path(), CWD, path, AtFlags::empty()),
        }
    }

    /// Gives the object its name, and takes the name away from the object that has it.
    fn rename(mut self, name: PosixName<'_>) -> io::Result<T> {
        let cannot = |errno| name.cannot("replace", errno);
        // A file without a name gets a hidden name only now. A process that is killed before the rename leaves it behind.
        let mut hidden = match self.hidden.take() {
            Some(hidden) => hidden,
            None => HiddenName::take(name, |path| self.link_to(path)).map_err(cannot)?.1,
        };
        hidden.rename(name).map_err(cannot)?;
        Ok(self.object)
    }
}

/// Returns true for the errors of a system without `O_TMPFILE` or `/proc`, and of a sandbox that forbids linking a descriptor.
fn means_unsupported(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL | Errno::PERM | Errno::NOSYS | Errno::XDEV
    )
}

/// A hidden name, which is removed when this value is dropped.
struct HiddenName {
    /// `None` after the rename.
    path: Option<PathBuf>,
}

impl HiddenName {
    /// Calls `take` with new hidden names until one is not taken yet.
    fn take<R>(name: PosixName<'_>, take: impl Fn(&Path) -> rustix::io::Result<R>) -> rustix::io::Result<(R, Self)> {
        static COUNT: AtomicU32 = AtomicU32::new(0);

        let start: String = name.entry().to_string_lossy().chars().take(50).collect(); // at most 200 bytes of the 255
        loop {
            // Ordering: Relaxed, because the number guards no other memory.
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = Path::new(DIRECTORY).join(format!(".{start}.{}.{count}.tmp", std::process::id()));
            match take(&path) {
                Ok(taken) => return Ok((taken, Self { path: Some(path) })),
                // A killed process left it, or a process of another container has the same pid.
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    fn rename(&mut self, name: PosixName<'_>) -> rustix::io::Result<()> {
        rustix::fs::rename(self.path(), name.path())?;
        self.path = None;
        Ok(())
    }
}

impl Drop for HiddenName {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // The object has its own name by now, or is discarded. After an error the hidden file stays, which is harmless.
            let _ = rustix::fs::unlink(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const WAYS: [Way; 2] = [Way::Nameless, Way::Hidden];

    /// A name for one test, which is unlinked when this value is dropped.
    struct Scratch(String);

    impl Scratch {
        fn new(what: &str, way: Way) -> Self {
            Self(format!("/futex-sys-unit-{what}-{way:?}-{}", std::process::id()))
        }

        fn name(&self) -> PosixName<'_> {
            PosixName::new(&self.0).unwrap()
        }

        /// The entries of the directory that contain this name, also the hidden ones.
        fn entries(&self) -> Vec<String> {
            let entries = std::fs::read_dir(DIRECTORY).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
            names.filter(|name| name.contains(&self.0[1..])).collect()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = self.name().unlink();
        }
    }

    /// Makes an object of eight bytes. The first byte is `content`.
    fn object(content: u8) -> impl Fn(OwnedFd) -> io::Result<OwnedFd> {
        move |file| {
            rustix::io::pwrite(&file, &[content, 0, 0, 0, 0, 0, 0, 0], 0)?;
            Ok(file)
        }
    }

    #[test]
    fn an_object_is_published_whole_and_for_its_user_alone() {
        for way in WAYS {
            let scratch = Scratch::new("whole", way);
            let attempt = publish_by(way, scratch.name(), object(1)).unwrap();
            assert!(matches!(attempt, Some(Some(_))), "{way:?}");
            let stat = rustix::fs::fstat(scratch.name().open().unwrap()).unwrap();
            assert_eq!((stat.st_size, stat.st_mode & 0o777, stat.st_nlink), (8, 0o600, 1), "{way:?}");
            assert_eq!(scratch.entries(), [&scratch.0[1..]], "{way:?}");
        }
    }

    #[test]
    fn a_taken_name_keeps_its_object_and_leaves_nothing_behind() {
        for way in WAYS {
            let scratch = Scratch::new("taken", way);
            assert!(matches!(publish_by(way, scratch.name(), object(1)), Ok(Some(Some(_)))), "{way:?}");
            assert!(matches!(publish_by(way, scratch.name(), object(2)), Ok(Some(None))), "{way:?}");
            let mut content = [0];
            rustix::io::pread(scratch.name().open().unwrap(), &mut content, 0).unwrap();
            assert_eq!((content, scratch.entries().len()), ([1], 1), "{way:?}");
        }
    }

    #[test]
    fn an_object_that_fails_to_be_made_gets_no_name() {
        for way in WAYS {
            let scratch = Scratch::new("failed", way);
            let fail = |_file: OwnedFd| -> io::Result<OwnedFd> { Err(Errno::NOSPC.into()) };
            let error = publish_by(way, scratch.name(), fail).err().unwrap();
            assert_eq!(error.raw_os_error(), Some(Errno::NOSPC.raw_os_error()), "{way:?}");
            assert_eq!(scratch.entries(), [""; 0], "{way:?}");
        }
    }

    #[test]
    fn replacing_makes_or_replaces_and_leaves_nothing_behind() {
        for way in WAYS {
            let scratch = Scratch::new("replaced", way);
            for content in [1, 2, 3] {
                assert!(matches!(replace_by(way, scratch.name(), object(content)), Ok(Some(_))), "{way:?}");
                let file = scratch.name().open().unwrap();
                let mut seen = [0];
                rustix::io::pread(&file, &mut seen, 0).unwrap();
                assert_eq!((seen, scratch.entries().len()), ([content], 1), "{way:?}");
                let stat = rustix::fs::fstat(file).unwrap();
                assert_eq!((stat.st_size, stat.st_mode & 0o777, stat.st_nlink), (8, 0o600, 1), "{way:?}");
            }
        }
    }

    #[test]
    fn an_object_that_fails_to_be_made_replaces_nothing() {
        for way in WAYS {
            let scratch = Scratch::new("not-replaced", way);
            assert!(matches!(publish_by(way, scratch.name(), object(1)), Ok(Some(Some(_)))), "{way:?}");
            let fail = |_file: OwnedFd| -> io::Result<OwnedFd> { Err(Errno::NOSPC.into()) };
            assert!(replace_by(way, scratch.name(), fail).is_err(), "{way:?}");
            let mut content = [0];
            rustix::io::pread(scratch.name().open().unwrap(), &mut content, 0).unwrap();
            assert_eq!((content, scratch.entries().len()), ([1], 1), "{way:?}");
        }
    }

    #[test]
    fn one_of_many_racing_threads_publishes() {
        for way in WAYS {
            let scratch = Scratch::new("race", way);
            let published = std::thread::scope(|scope| {
                let attempts = [(); 8].map(|()| scope.spawn(|| publish_by(way, scratch.name(), object(1)).unwrap()));
                attempts.into_iter().map(|attempt| attempt.join().unwrap()).collect::<Vec<_>>()
            });
            let winners = published.iter().filter(|attempt| matches!(attempt, Some(Some(_)))).count();
            assert_eq!((winners, scratch.entries().len()), (1, 1), "{way:?}");
        }
    }

    /// Takes a hidden name for an empty file.
    fn touch(path: &Path) -> rustix::io::Result<()> {
        openat(CWD, path, OPEN | OFlags::CREATE | OFlags::EXCL, MODE).map(drop)
    }

    #[test]
    fn the_longest_name_has_a_hidden_name() {
        for name in ["x".repeat(255), "日".repeat(85), "\u{10ffff}".repeat(63)] {
            let ((), hidden) = HiddenName::take(PosixName::new(&name).unwrap(), touch).unwrap();
            assert!(hidden.path().exists());
        }
    }

    #[test]
    fn a_hidden_name_that_was_left_behind_is_skipped() {
        let name = PosixName::new("futex-sys-unit-left-over").unwrap();
        let ((), first) = HiddenName::take(name, touch).unwrap();
        // The next few names are taken, as by another process with the same pid.
        let (start, count) = first.path().to_str().unwrap().strip_suffix(".tmp").unwrap().rsplit_once('.').unwrap();
        let count: u32 = count.parse().unwrap();
        let taken: Vec<_> = (count + 1..count + 20).map(|count| format!("{start}.{count}.tmp")).collect();
        for path in &taken {
            // A thread of another test may skip some of these names.
            std::fs::write(path, "").unwrap();
        }
        let ((), second) = HiddenName::take(name, touch).unwrap();
        for path in &taken {
            assert_ne!(Path::new(path), second.path());
            std::fs::remove_file(path).unwrap();
        }
    }
}
