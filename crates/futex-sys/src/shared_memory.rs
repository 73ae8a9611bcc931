//! Memory that several processes map.

use crate::error::{explain, refuse};
use crate::name_lock::Holder;
use crate::object::{Identity, Object, is_sealed, memfd};
use crate::owner::Owner;
use crate::posix_name::PosixName;
use crate::publish::{publish, replace};
use crate::word::Word;
use rustix::fs::{CWD, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::thread;
use std::time::{Duration, Instant};

/// Memory that several processes map, to put futex words in.
///
/// It is a cheap handle: clones share one mapping, which is unmapped when the last clone and the last [`Word`] in it are
/// dropped.
///
/// | Made by | For |
/// |---|---|
/// | [`anonymous`](Self::anonymous) | a family of processes, or one that sends the descriptor over a Unix socket |
/// | [`create`](Self::create), [`open`](Self::open), [`open_or_create`](Self::open_or_create) | processes that agree on a name |
/// | [`NamedMemory`](crate::NamedMemory) | the process that owns the name, and removes it |
/// | [`from_fd`](Self::from_fd) | the process that a descriptor was passed to |
/// | [`receive`](Self::receive) | the process that memory was [sent](Self::send) to over a Unix socket |
/// | [`open_path`](Self::open_path) | processes that agree on a file |
///
/// # Names
///
/// POSIX names are those of `shm_open(3)`, which are the files of `/dev/shm`: 1 to 255 bytes of any value but `/` and NUL,
/// and not `.` or `..`. One leading slash is ignored.
///
/// # Full memory
///
/// The functions that make memory allocate all of its pages, so a `/dev/shm` without room (containers often have 64 MiB) is
/// an error of kind `StorageFull`, and no later access raises `SIGBUS` for lack of memory. This takes time in proportion to
/// the length (measured on Linux 6.18: 0.2 s per GiB). A failure leaves neither a name nor memory behind.
///
/// - A memfd has no limit of its own. A length beyond memory and swap of the machine is refused with `OutOfMemory`. If a
///   shorter one exceeds the limit of the memory cgroup (of the container), the kernel kills a process of the group instead.
/// - On a file system without `fallocate`, a zero byte is written into each page.
/// - If pages are to be allocated only when they are touched, make the object yourself (`memfd_create`, `ftruncate`) and
///   use [`from_fd`](Self::from_fd).
///
/// # What a peer can do
///
/// A process that maps the memory can write anything into it at any time, so treat what you read as input. If a peer
/// shrinks the object, the next access to the lost pages raises `SIGBUS`. Memory of [`anonymous`](Self::anonymous) is sealed
/// against that. For a descriptor that you were given, ask [`is_sealed`](Self::is_sealed).
///
/// # Examples
///
/// ```
/// # use futex_sys::SharedMemory;
/// use std::os::fd::AsFd;
/// use std::sync::atomic::Ordering;
///
/// let memory = SharedMemory::anonymous(4096)?;
/// let word = memory.word(64)?;
///
/// // What another process would do with the descriptor:
/// let same = SharedMemory::from_fd(memory.as_fd().try_clone_to_owned()?)?;
/// same.word(64)?.store(9, Ordering::Release);
/// assert_eq!(word.load(Ordering::Acquire), 9);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct SharedMemory {
    object: Arc<Object>,
    /// What each word of the object holds.
    owner: Arc<Owner>,
}

impl SharedMemory {
    /// New memory of `len` bytes, all zero, without a name: a memfd, sealed against shrinking and growing, and closed on
    /// `exec`. All of its pages are [allocated](Self#full-memory).
    ///
    /// # Errors
    ///
    /// `InvalidInput` for less than 4 bytes, or more than the address space has. `OutOfMemory` for more than the memory and
    /// swap of the machine. `FileTooLarge` for more than `ulimit -f` allows (`RLIMIT_FSIZE`). Others if no descriptors or no
    /// memory are left.
    pub fn anonymous(len: usize) -> io::Result<Self> {
        check_len(len)?;
        let memory = Self::make(memfd()?, len, &"a new memfd")?;
        rustix::fs::fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
            .map_err(|errno| explain(errno, "cannot seal a memfd against changes of its length"))?;
        Ok(memory)
    }

    /// New memory of `len` bytes, all zero, under a POSIX [name](Self#names), for this user alone (mode 0600, whatever the
    /// umask).
    ///
    /// The object gets its name once it has its length and all of its [pages](Self#full-memory), so no other process sees
    /// it half made. The name stays until it is [removed](Self::unlink), also after the last process that has the memory
    /// has ended. [`NamedMemory::create`](crate::NamedMemory::create) makes memory whose owner removes the name.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the name is taken. `InvalidInput` for less than 4 bytes, more than the address space has, or an
    /// unusable name. `StorageFull` if `/dev/shm` has no room. `OutOfMemory` for more than the memory and swap of the machine.
    /// `FileTooLarge` for more than `ulimit -f` allows (`RLIMIT_FSIZE`).
    pub fn create(name: impl AsRef<OsStr>, len: usize) -> io::Result<Self> {
        Self::create_with(name.as_ref(), len, |_| Ok(()))
    }

    /// [`create`](Self::create) of memory that `init` sets up before it gets its name.
    pub(crate) fn create_with(name: &OsStr, len: usize, init: impl Fn(&Self) -> io::Result<()>) -> io::Result<Self> {
        let name = PosixName::new(name)?;
        check_len(len)?;
        let taken = || {
            let sentence = format!(
                "{name} is there already: open it, or, if a process that has ended left it, replace it \
                 (`NamedMemory::replace`)"
            );
            explain(Errno::EXIST, sentence)
        };
        publish(name, |file| Self::make_with(file, len, name, &init))?.ok_or_else(taken)
    }

    /// As [`create_with`](Self::create_with), in place of the object that has the name, if there is one.
    pub(crate) fn replace_with(name: &OsStr, len: usize, init: impl Fn(&Self) -> io::Result<()>) -> io::Result<Self> {
        let name = PosixName::new(name)?;
        check_len(len)?;
        replace(name, |file| Self::make_with(file, len, name, &init))
    }

    fn make_with(
        file: OwnedFd,
        len: usize,
        name: PosixName<'_>,
        init: impl Fn(&Self) -> io::Result<()>,
    ) -> io::Result<Self> {
        let memory = Self::make(file, len, &name)?;
        init(&memory)?;
        Ok(memory)
    }

    /// The memory under a POSIX [name](Self#names): all of it, whatever its length.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none. `UnexpectedEof` for an object of 0 bytes: its creator has not given it its length yet,
    /// or has died before that (the functions of this crate give objects their names afterwards; `shm_open` in other
    /// programs does not). [`open_timeout`](Self::open_timeout) waits for both. `PermissionDenied` if it is another user's.
    /// `InvalidInput` for an unusable name, and for an object of 1 to 3 bytes or one that is not a regular file.
    pub fn open(name: impl AsRef<OsStr>) -> io::Result<Self> {
        let name = PosixName::new(&name)?;
        Self::map(name.open()?, &name)
    }

    /// [`open`](Self::open), which waits for at most `timeout` until the name is there and its object has its length.
    ///
    /// It blocks the thread, and tries again after pauses of 1 ms, doubled up to 100 ms. It tries at least once.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open): `NotFound` and `UnexpectedEof` after the timeout, all others at once.
    ///
    /// # Examples
    ///
    /// ```
    /// # use futex_sys::{NamedMemory, SharedMemory};
    /// use std::time::Duration;
    ///
    /// let name = format!("/futex-sys-doc-timeout-{}", std::process::id());
    /// let waiter = std::thread::spawn({
    ///     let name = name.clone();
    ///     move || SharedMemory::open_timeout(&name, Duration::from_secs(10))
    /// });
    /// let memory = NamedMemory::create(&name, 4096)?; // sooner or later
    /// assert_eq!(waiter.join().unwrap()?.len(), 4096);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn open_timeout(name: impl AsRef<OsStr>, timeout: Duration) -> io::Result<Self> {
        let name = name.as_ref();
        let start = Instant::now();
        let mut pause = *OPEN_PAUSES.start();
        loop {
            let error = match Self::open(name) {
                Err(error) if is_not_there_yet(&error) => error,
                result => return result,
            };
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(explain(error, format!("waited {timeout:?} for shared memory {name:?}")));
            }
            thread::sleep(pause.min(left));
            pause = (pause * 2).min(*OPEN_PAUSES.end());
        }
    }

    /// The memory under a POSIX name. If there is none, makes it with `len` zero bytes, as [`create`](Self::create) does.
    ///
    /// Any number of processes may call it at once: they all get the same object, with its full length.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if an object is there and has another length, and those of [`open`](Self::open) and
    /// [`create`](Self::create).
    pub fn open_or_create(name: impl AsRef<OsStr>, len: usize) -> io::Result<Self> {
        let name = PosixName::new(&name)?;
        check_len(len)?;
        loop {
            // Each turn fails only because another process removed or created the name in between, so it has got on.
            match name.open() {
                Ok(file) => return Self::map(file, &name)?.of_len(len, &name),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            if let Some(memory) = publish(name, |file| Self::make(file, len, &name))? {
                return Ok(memory);
            }
        }
    }

    /// Removes a POSIX name, whatever it leads to. Processes that have the memory keep it.
    ///
    /// Another process may be about to remove or to replace the name too ([`NamedMemory`](crate::NamedMemory)). Each locks
    /// the object that has the name first (`flock`), and this waits up to a second for its turn. So hold no `flock` of your
    /// own on the object. An object that can't be locked (a symbolic link, or one that this user may not open) is unlinked
    /// without the lock, as `shm_unlink(3)` does it.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none. `PermissionDenied` if this process may not remove it. `InvalidInput` for an unusable name.
    /// `ResourceBusy` if another process holds the lock of the name for a second: it may be stopped.
    pub fn unlink(name: impl AsRef<OsStr>) -> io::Result<()> {
        let name = PosixName::new(&name)?;
        match Holder::of(name)? {
            // An object that comes now has a lock that was not taken.
            Holder::Nobody => Err(name.cannot("unlink", Errno::NOENT)),
            _holder => name.unlink(),
        }
    }

    /// The memory behind a descriptor, for instance one that was inherited or received over a Unix socket.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` for an object of 0 bytes. `InvalidInput` for one of 1 to 3 bytes, and for anything but a memfd or a
    /// regular file. `PermissionDenied` if the descriptor was not opened for reading and writing.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        Self::map(fd, &"the descriptor")
    }

    /// The memory of an existing file, all of it. A file on a memory file system (`tmpfs`) costs no disk writes.
    ///
    /// # Errors
    ///
    /// Those of opening a file for reading and writing. `UnexpectedEof` for a file of 0 bytes. `InvalidInput` for one of 1 to
    /// 3 bytes, or one that is not regular.
    pub fn open_path(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        // Non-blocking, so that a pipe that was put in the file's place is refused and not waited for.
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .map_err(|errno| explain(errno, format!("cannot open {} as shared memory", path.display())))?;
        Self::map(fd, &path.display())
    }

    /// Number of bytes, at least 4.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "shared memory is never empty")]
    pub fn len(&self) -> usize {
        self.object.len
    }

    /// The futex word at `offset` bytes from the start. It keeps the mapping alive.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an offset that is not a multiple of four, or not within the memory.
    pub fn word(&self, offset: usize) -> io::Result<Word> {
        if offset % 4 != 0 {
            return Err(refuse(format!(
                "offset {offset} is not a multiple of 4: a futex word is aligned to four bytes"
            )));
        }
        Word::in_object(&self.object, &self.owner, offset / 4).ok_or_else(|| {
            refuse(format!("a word at offset {offset} ends beyond the shared memory, which has {} bytes", self.len()))
        })
    }

    /// The whole memory as words; up to three bytes at the end are left out.
    ///
    /// Use it, without `unsafe`, for the data that the futex words guard:
    /// [relaxed](std::sync::atomic::Ordering::Relaxed) loads and stores compile to plain ones.
    #[must_use]
    pub fn as_words(&self) -> &[AtomicU32] {
        self.object.mapping.words()
    }

    /// The address that the memory is mapped at in this process, aligned to a page.
    ///
    /// It is valid while this handle, a clone of it, or a [`Word`] of it lives.
    #[must_use]
    pub fn as_ptr(&self) -> *mut u8 {
        self.object.mapping.as_ptr()
    }

    /// Returns true if the object is sealed against shrinking (`F_SEAL_SHRINK`), so that no process can make it shorter and
    /// the next access to the lost pages raise `SIGBUS`.
    ///
    /// False for a memfd of huge pages (`MFD_HUGETLB`), whatever its seals: any process that has it can give pages of it back
    /// (`FALLOC_FL_PUNCH_HOLE`), and the next access raises `SIGBUS` if the system has no huge page left.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        is_sealed(self)
    }

    /// Returns true if the POSIX name leads to this memory now: it was neither removed nor replaced.
    ///
    /// A process that opened the memory by its name finds out with it whether a successor has replaced the memory.
    #[must_use]
    pub fn has_name(&self, name: impl AsRef<OsStr>) -> bool {
        PosixName::new(&name).and_then(|name| name.leads_to(self.identity())).unwrap_or(false)
    }

    pub(crate) fn identity(&self) -> Identity {
        self.object.identity()
    }

    fn make(fd: OwnedFd, len: usize, what: &dyn fmt::Display) -> io::Result<Self> {
        Object::make(fd, len, what).map(Self::of)
    }

    fn map(fd: OwnedFd, what: &dyn fmt::Display) -> io::Result<Self> {
        Object::map(fd, what).map(Self::of)
    }

    fn of(object: Object) -> Self {
        let object = Arc::new(object);
        Self { owner: Arc::new(Owner::Object(object.clone())), object }
    }

    fn of_len(self, len: usize, name: &PosixName<'_>) -> io::Result<Self> {
        if self.len() == len {
            return Ok(self);
        }
        Err(refuse(format!("{name} exists with {} bytes, not {len}: open it as it is, or unlink it first", self.len())))
    }
}

impl AsFd for SharedMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.object.as_fd()
    }
}

impl AsRawFd for SharedMemory {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// As [`SharedMemory::from_fd`].
impl TryFrom<OwnedFd> for SharedMemory {
    type Error = io::Error;

    fn try_from(fd: OwnedFd) -> io::Result<Self> {
        Self::from_fd(fd)
    }
}

impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMemory")
            .field("address", &self.as_ptr())
            .field("len", &self.len())
            .field("fd", &self.as_raw_fd())
            .finish()
    }
}

/// [`SharedMemory::create`] of an empty file, which is named `what` in messages.
///
/// # Errors
///
/// Those of [`SharedMemory::create`] about the length and the memory.
pub fn make_of_file(file: OwnedFd, len: usize, what: &dyn fmt::Display) -> io::Result<SharedMemory> {
    check_len(len)?;
    SharedMemory::make(file, len, what)
}

/// The first and the longest pause between two attempts to open memory that is not there yet.
pub const OPEN_PAUSES: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_millis(100);

/// True for what [`SharedMemory::open`] returns while the creator is not ready.
pub fn is_not_there_yet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
}

fn check_len(len: usize) -> io::Result<()> {
    if len < size_of::<AtomicU32>() {
        return Err(refuse(format!("shared memory of {len} bytes has no place for a word: ask for at least 4")));
    }
    if isize::try_from(len).is_err() {
        return Err(refuse(format!("shared memory of {len} bytes is more than can be mapped")));
    }
    Ok(())
}
