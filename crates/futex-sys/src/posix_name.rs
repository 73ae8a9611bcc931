//! POSIX names of shared memory, `shm_open(3)`: on Linux the files of one directory.

use crate::error::{explain, refuse};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat};
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where POSIX names live on Linux, `shm_overview(7)`.
const DIRECTORY: &str = "/dev/shm";
/// What `shm_open(3)` sets, and non-blocking, so that a pipe in the object's place is refused and not waited for.
const OPEN: OFlags = OFlags::RDWR.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK);
/// For this user alone.
const MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// A name that objects can have.
#[derive(Clone, Copy)]
pub(crate) struct PosixName<'a> {
    given: &'a str,
    /// The directory entry.
    entry: &'a str,
}

/// How a new object stays out of sight until it is whole.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// As a file without a name (`O_TMPFILE`): a process that is killed in between leaves nothing behind.
    Nameless,
    /// Under a hidden name, for sandboxes without `O_TMPFILE` or without `/proc`. A process that is killed in between
    /// leaves that name behind.
    Hidden,
}

/// What came of publishing an object one way.
enum Attempt<T> {
    Published(T),
    NameTaken,
    /// This system does not know the way.
    Unsupported,
}

impl<'a> PosixName<'a> {
    pub(crate) fn new(name: &'a str) -> io::Result<Self> {
        let entry = name.strip_prefix('/').unwrap_or(name);
        if entry.is_empty() || entry.len() > 255 || entry == "." || entry == ".." || entry.contains(['/', '\0']) {
            return Err(refuse(format!(
                "{name:?} can't name shared memory: use 1 to 255 bytes without a slash (but a leading one) or a NUL, and \
                 not . or .."
            )));
        }
        Ok(Self { given: name, entry })
    }

    pub(crate) fn open(self) -> io::Result<OwnedFd> {
        openat(CWD, self.path(), OPEN, Mode::empty()).map_err(|errno| explain(errno, format!("cannot open {self}")))
    }

    pub(crate) fn unlink(self) -> io::Result<()> {
        rustix::fs::unlink(self.path()).map_err(|errno| explain(errno, format!("cannot unlink {self}")))
    }

    /// Makes an object of an empty file by `make`, and gives it this name once it is made; `None` where the name is taken.
    pub(crate) fn publish<T: AsFd>(self, make: impl Fn(OwnedFd) -> io::Result<T>) -> io::Result<Option<T>> {
        for way in [Way::Nameless, Way::Hidden] {
            match self.publish_by(way, &make)? {
                Attempt::Published(object) => return Ok(Some(object)),
                Attempt::NameTaken => return Ok(None),
                Attempt::Unsupported => {}
            }
        }
        Err(explain(Errno::OPNOTSUPP, format!("cannot create {self}")))
    }

    fn publish_by<T: AsFd>(self, way: Way, make: impl Fn(OwnedFd) -> io::Result<T>) -> io::Result<Attempt<T>> {
        let (file, hidden) = match way {
            Way::Nameless => match openat(CWD, DIRECTORY, OFlags::RDWR | OFlags::CLOEXEC | OFlags::TMPFILE, MODE) {
                Ok(file) => (file, None),
                Err(errno) if means_unsupported(errno) => return Ok(Attempt::Unsupported),
                Err(errno) => return Err(explain(errno, format!("cannot create {self}"))),
            },
            Way::Hidden => {
                let (file, hidden) = HiddenFile::create(self)?;
                (file, Some(hidden))
            }
        };
        // The umask took bits off, perhaps the owner's. It is put right before anybody finds the object by its name.
        rustix::fs::fchmod(&file, MODE).map_err(|errno| explain(errno, format!("cannot set the mode of {self}")))?;
        let object = make(file)?;
        let (source, flags) = match &hidden {
            // The way that open(2) shows for an O_TMPFILE without privileges.
            None => (format!("/proc/self/fd/{}", object.as_fd().as_raw_fd()), AtFlags::SYMLINK_FOLLOW),
            Some(hidden) => (hidden.path.clone(), AtFlags::empty()),
        };
        // Linking never replaces another object, as renaming would.
        match linkat(CWD, source, CWD, self.path(), flags) {
            Ok(()) => Ok(Attempt::Published(object)),
            Err(Errno::EXIST) => Ok(Attempt::NameTaken),
            Err(errno) if hidden.is_none() && means_unsupported(errno) => Ok(Attempt::Unsupported),
            Err(errno) => Err(explain(errno, format!("cannot give {self} its name"))),
        }
    }

    fn path(self) -> String {
        format!("{DIRECTORY}/{}", self.entry)
    }
}

impl fmt::Display for PosixName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shared memory {:?}", self.given)
    }
}

/// Whether a system without `O_TMPFILE` answers so, or one where `/proc` is missing, or where sandboxes forbid to link a
/// descriptor.
fn means_unsupported(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL | Errno::PERM | Errno::NOSYS | Errno::XDEV
    )
}

/// A hidden name, until dropped.
struct HiddenFile {
    path: String,
}

impl HiddenFile {
    fn create(name: PosixName<'_>) -> io::Result<(OwnedFd, Self)> {
        static COUNT: AtomicU32 = AtomicU32::new(0);

        let start: String = name.entry.chars().take(50).collect(); // at most 200 bytes of the 255
        loop {
            // Ordering: Relaxed, a number that guards no other memory.
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = format!("{DIRECTORY}/.{start}.{}.{count}.tmp", std::process::id());
            match openat(CWD, &path, OPEN | OFlags::CREATE | OFlags::EXCL, MODE) {
                Ok(file) => return Ok((file, Self { path })),
                // Left by a process that was killed, or of one in another container that has our number.
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(explain(errno, format!("cannot create {name}"))),
            }
        }
    }
}

impl Drop for HiddenFile {
    fn drop(&mut self) {
        // The object has its own name by now, or is given up. A failure leaves a hidden file and harms nobody.
        let _ = rustix::fs::unlink(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    const WAYS: [Way; 2] = [Way::Nameless, Way::Hidden];

    /// A name that no other test has, unlinked when dropped.
    struct Scratch(String);

    impl Scratch {
        fn new(what: &str, way: Way) -> Self {
            Self(format!("/futex-sys-unit-{what}-{way:?}-{}", std::process::id()))
        }

        fn name(&self) -> PosixName<'_> {
            PosixName::new(&self.0).unwrap()
        }

        /// The entries of the directory that go back to this name, hidden ones too.
        fn entries(&self) -> Vec<String> {
            let entries = std::fs::read_dir(DIRECTORY).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.filter(|name| name.contains(&self.0[1..])).collect()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = self.name().unlink();
        }
    }

    /// Makes an object as `SharedMemory` does, of eight bytes, of which the first is `content`.
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
            let attempt = scratch.name().publish_by(way, object(1)).unwrap();
            assert!(matches!(attempt, Attempt::Published(_)), "{way:?}");
            let stat = rustix::fs::fstat(scratch.name().open().unwrap()).unwrap();
            assert_eq!((stat.st_size, stat.st_mode & 0o777, stat.st_nlink), (8, 0o600, 1), "{way:?}");
            assert_eq!(scratch.entries(), [&scratch.0[1..]], "{way:?}");
        }
    }

    #[test]
    fn a_taken_name_keeps_its_object_and_leaves_nothing_behind() {
        for way in WAYS {
            let scratch = Scratch::new("taken", way);
            assert!(matches!(scratch.name().publish_by(way, object(1)), Ok(Attempt::Published(_))), "{way:?}");
            assert!(matches!(scratch.name().publish_by(way, object(2)), Ok(Attempt::NameTaken)), "{way:?}");
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
            let error = scratch.name().publish_by(way, fail).err().unwrap();
            assert_eq!(error.raw_os_error(), Some(Errno::NOSPC.raw_os_error()), "{way:?}");
            assert_eq!(scratch.entries(), [""; 0], "{way:?}");
        }
    }

    #[test]
    fn one_of_many_racing_threads_publishes() {
        for way in WAYS {
            let scratch = Scratch::new("race", way);
            let published = std::thread::scope(|scope| {
                let attempts = [(); 8].map(|()| scope.spawn(|| scratch.name().publish_by(way, object(1)).unwrap()));
                attempts.into_iter().map(|attempt| attempt.join().unwrap()).collect::<Vec<_>>()
            });
            let winners = published.iter().filter(|attempt| matches!(attempt, Attempt::Published(_))).count();
            assert_eq!((winners, scratch.entries().len()), (1, 1), "{way:?}");
        }
    }

    #[test]
    fn the_longest_name_has_a_hidden_one_too() {
        for name in ["x".repeat(255), "日".repeat(85)] {
            let name = PosixName::new(&name).unwrap();
            let (_file, hidden) = HiddenFile::create(name).unwrap();
            assert!(Path::new(&hidden.path).exists());
        }
    }

    #[test]
    fn a_hidden_name_that_is_left_over_is_stepped_over() {
        let name = PosixName::new("futex-sys-unit-left-over").unwrap();
        let (_first, first) = HiddenFile::create(name).unwrap();
        // What another process of the same number would leave: the next few names.
        let (start, count) = first.path.strip_suffix(".tmp").unwrap().rsplit_once('.').unwrap();
        let count: u32 = count.parse().unwrap();
        let taken: Vec<_> = (count + 1..count + 20).map(|count| format!("{start}.{count}.tmp")).collect();
        for path in &taken {
            // Another test's thread may be the one that steps over it.
            std::fs::write(path, "").unwrap();
        }
        let (_second, second) = HiddenFile::create(name).unwrap();
        for path in &taken {
            assert_ne!(path, &second.path);
            std::fs::remove_file(path).unwrap();
        }
    }

    proptest! {
        #[test]
        fn a_name_is_refused_or_stays_in_its_directory(name in "(/|[.]){0,3}[a./\0é]{0,3}") {
            match PosixName::new(&name) {
                Ok(accepted) => {
                    let path = accepted.path();
                    prop_assert_eq!(Path::new(&path).parent(), Some(Path::new(DIRECTORY)));
                    prop_assert_eq!(Path::new(&path).file_name().unwrap(), name.strip_prefix('/').unwrap_or(&name));
                    prop_assert!(!path.contains('\0'));
                }
                Err(error) => {
                    prop_assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
                    let bare = name.strip_prefix('/').unwrap_or(&name);
                    prop_assert!(bare.is_empty() || bare == "." || bare == ".." || bare.contains(['/', '\0']));
                }
            }
        }
    }
}
