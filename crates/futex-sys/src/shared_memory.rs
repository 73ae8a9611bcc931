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
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::thread;
use std::time::{Duration, Instant};

/// Memory that several processes map, for futex words and the data that the words guard.
///
/// A value of this type is a cheap handle: clones share one mapping. The mapping is removed when the last clone and the last
/// [`Word`] in it are dropped.
///
/// | Made by | For |
/// |---|---|
/// | [`anonymous`](Self::anonymous) | processes that inherit the descriptor or [receive](Self::receive) it |
/// | [`create`](Self::create), [`open`](Self::open), [`open_or_create`](Self::open_or_create) | processes that agree on a name |
/// | [`NamedMemory`](crate::NamedMemory) | the process that owns the name and removes it |
/// | [`from_fd`](Self::from_fd) | a process that has a descriptor of the memory, for instance an inherited one |
/// | [`receive`](Self::receive) | a process to which memory was [sent](Self::send) over a Unix socket |
/// | [`open_path`](Self::open_path) | processes that agree on a file |
///
/// # Names
///
/// POSIX names are those of `shm_open(3)`. On Linux they are the names of files in `/dev/shm`: 1 to 255 bytes, without `/`
/// and NUL, and not `.` or `..`. One leading slash is ignored.
///
/// # Full memory
///
/// The functions that make memory allocate all of its pages. So no later access raises `SIGBUS` for lack of memory. If
/// `/dev/shm` has too little room (in containers it often has 64 MiB), these functions return an error of kind `StorageFull`.
/// The time is proportional to the length (measured on Linux 6.18: 0.2 s per GiB). After an error, neither a name nor memory is
/// left behind.
///
/// - The memory of [`anonymous`](Self::anonymous) is not limited by the room of `/dev/shm`. If the length exceeds the memory and
///   swap of the machine, the error is `OutOfMemory`. If the length exceeds only the limit of the memory cgroup (of the
///   container), the kernel kills a process of that group.
/// - On a file system without `fallocate`, a zero byte is written into each page.
/// - To allocate pages only when they are touched, make the object yourself (`memfd_create`, `ftruncate`) and use
///   [`from_fd`](Self::from_fd).
///
/// # What a peer can do
///
/// A process that maps the memory can write anything into it at any time, so validate the values that you load. If a peer
/// shrinks the object, the next access to the lost pages raises `SIGBUS`. Memory made by [`anonymous`](Self::anonymous) is
/// sealed against shrinking. For other memory, call [`is_sealed`](Self::is_sealed).
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
/// // Another process would do the same with the descriptor:
/// let same = SharedMemory::from_fd(memory.as_fd().try_clone_to_owned()?)?;
/// same.word(64)?.store(9, Ordering::Release);
/// assert_eq!(word.load(Ordering::Acquire), 9);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct SharedMemory {
    object: Arc<Object>,
    /// The owner of the object that each of its words shares.
    owner: Arc<Owner>,
}

impl SharedMemory {
    /// Makes memory of `len` bytes, all zero, without a name. The memory is a memfd, sealed against shrinking and growing, and
    /// closed on `exec`. All of its pages are [allocated](Self#full-memory).
    ///
    /// # Errors
    ///
    /// `InvalidInput` for less than 4 bytes or more than [`isize::MAX`]. `OutOfMemory` for more than the memory and swap of the
    /// machine. `FileTooLarge` for more than `ulimit -f` allows (`RLIMIT_FSIZE`). Other kinds if the process has no descriptors
    /// or no memory left.
    pub fn anonymous(len: usize) -> io::Result<Self> {
        check_len(len)?;
        let memory = Self::make(memfd()?, len, &"a new memfd")?;
        rustix::fs::fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
            .map_err(|errno| explain(errno, "cannot seal a memfd against changes of its length"))?;
        Ok(memory)
    }

    /// Makes memory of `len` bytes, all zero, under a POSIX [name](Self#names). Only this user may open the memory (mode 0600,
    /// regardless of the umask).
    ///
    /// The object gets its name last, after its length and all of its [pages](Self#full-memory). So no other process opens an
    /// incomplete object. The name stays until it is [removed](Self::unlink), even after the last process that maps the
    /// memory has ended. To remove the name by a drop, use [`NamedMemory::create`](crate::NamedMemory::create).
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the name is taken. `InvalidInput` for less than 4 bytes or more than [`isize::MAX`], and for an
    /// invalid name. `StorageFull` if `/dev/shm` has no room. `OutOfMemory` for more than the memory and swap of the machine.
    /// `FileTooLarge` for more than `ulimit -f` allows (`RLIMIT_FSIZE`).
    pub fn create(name: impl AsRef<OsStr>, len: usize) -> io::Result<Self> {
        Self::create_with(name.as_ref(), len, |_| Ok(()))
    }

    /// Like [`create`](Self::create), but calls `init` to set up the memory before the object gets its name.
    pub(crate) fn create_with(name: &OsStr, len: usize, init: impl Fn(&Self) -> io::Result<()>) -> io::Result<Self> {
        let name = PosixName::new(name)?;
        check_len(len)?;
        let taken = || {
            let sentence = format!(
                "{name} already exists: open it, or, if a process that has ended left it, replace it \
                 (`NamedMemory::replace`)"
            );
            explain(Errno::EXIST, sentence)
        };
        publish(name, |file| Self::make_with(file, len, name, &init))?.ok_or_else(taken)
    }

    /// Like [`create_with`](Self::create_with), but if the name is taken, the new object takes it over from the old object.
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

    /// Opens the memory under a POSIX [name](Self#names), and maps its whole length.
    ///
    /// # Errors
    ///
    /// - `NotFound` if the name does not exist.
    /// - `UnexpectedEof` for an object of 0 bytes: its creator has not set the length yet, or died before that. Only other
    ///   programs make such objects (with `shm_open`). `SharedMemory` and `NamedMemory` set the length before the name.
    /// - `PermissionDenied` if this process may not read and write the object, usually because it belongs to another user.
    /// - `InvalidInput` for an invalid name, and for an object that has 1 to 3 bytes or is not a regular file.
    ///
    /// [`open_timeout`](Self::open_timeout) waits while the error is `NotFound` or `UnexpectedEof`.
    pub fn open(name: impl AsRef<OsStr>) -> io::Result<Self> {
        let name = PosixName::new(&name)?;
        Self::map(name.open()?, &name)
    }

    /// Like [`open`](Self::open), but waits up to `timeout` until the name exists and its object is no longer empty (0 bytes).
    ///
    /// The function blocks the thread. It tries at least once. The first pause between two tries is 1 ms, and each further pause
    /// is twice as long, up to 100 ms.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open). `NotFound` and `UnexpectedEof` are returned after the timeout, all others at once.
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

    /// [Opens](Self::open) the memory under a POSIX name, or [creates](Self::create) it with `len` bytes if the name is free.
    ///
    /// If several processes call this function at once, all of them get the same object, with its full length.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the object exists with another length. Also those of [`open`](Self::open) and
    /// [`create`](Self::create).
    pub fn open_or_create(name: impl AsRef<OsStr>, len: usize) -> io::Result<Self> {
        let name = PosixName::new(&name)?;
        check_len(len)?;
        loop {
            // A round fails only if another process has created or removed the name meanwhile, so that process has progressed.
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

    /// Removes a POSIX name, no matter which object has the name now. Processes that map the object can still use it.
    ///
    /// First the function locks the object that has the name (`flock`), because another process may be about to remove or
    /// replace the name too ([`NamedMemory`](crate::NamedMemory#several-processes-that-change-one-name)). The function waits up
    /// to one second for the lock. So do not hold an `flock` of your own on the object.
    ///
    /// If the object can't be locked (it is not a regular file, or this user may not open it), the function removes the name
    /// without the lock, like `shm_unlink(3)` does.
    ///
    /// # Errors
    ///
    /// `NotFound` if the name does not exist. `PermissionDenied` if this process may not remove the name. `InvalidInput` for an
    /// invalid name. `ResourceBusy` if another process holds the lock for more than one second (that process may be stopped).
    pub fn unlink(name: impl AsRef<OsStr>) -> io::Result<()> {
        let name = PosixName::new(&name)?;
        match Holder::of(name)? {
            // Another process may publish an object now. This call has not locked that object, so it leaves the name alone.
            Holder::Nobody => Err(name.cannot("unlink", Errno::NOENT)),
            _holder => name.unlink(),
        }
    }

    /// Maps the memory of a descriptor, for instance an inherited one.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` for an object of 0 bytes. `InvalidInput` for an object of 1 to 3 bytes, and for an object that is not a
    /// memfd or a regular file. `PermissionDenied` if the descriptor was not opened for reading and writing.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        Self::map(fd, &"the descriptor")
    }

    /// Maps all of an existing file. A file on a memory file system (`tmpfs`) costs no disk writes.
    ///
    /// # Errors
    ///
    /// The errors of opening a file for reading and writing. `UnexpectedEof` for a file of 0 bytes. `InvalidInput` for a file of
    /// 1 to 3 bytes, and for a file that is not regular.
    pub fn open_path(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        // Non-blocking, so that opening a pipe at this path does not wait for its other end.
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .map_err(|errno| explain(errno, format!("cannot open {} as shared memory", path.display())))?;
        Self::map(fd, &path.display())
    }

    /// Returns the number of bytes, which is at least 4.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "shared memory is never empty")]
    pub fn len(&self) -> usize {
        self.object.len
    }

    /// Returns the futex word at `offset` bytes from the start. The word keeps the mapping alive.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `offset` is not a multiple of four, or is not within the memory.
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

    /// Returns the whole memory as words, without the last one to three bytes if the length is not a multiple of four.
    ///
    /// With these words a program can load and store its data without `unsafe`. If a futex word guards the data,
    /// [relaxed](std::sync::atomic::Ordering::Relaxed) loads and stores suffice. They compile to plain loads and stores.
    #[must_use]
    pub fn as_words(&self) -> &[AtomicU32] {
        self.object.mapping.words()
    }

    /// Returns the start of the mapping in this process. It is aligned to a page.
    ///
    /// The pointer is valid while this handle, a clone of it, or a [`Word`] in the memory lives.
    #[must_use]
    pub fn as_ptr(&self) -> *mut u8 {
        self.object.mapping.as_ptr()
    }

    /// Returns true if the object is sealed against shrinking (`F_SEAL_SHRINK`). Then no process can make it shorter, and no
    /// access raises `SIGBUS` because of lost pages.
    ///
    /// Returns false for a memfd of huge pages (`MFD_HUGETLB`), even if it is sealed. Each process that has the memfd can free
    /// pages of the memfd (`FALLOC_FL_PUNCH_HOLE`). The next access to such a page raises `SIGBUS` if the system has no huge
    /// page left.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        is_sealed(self)
    }

    /// Returns true if the POSIX name leads to this memory now. Returns false if the name was removed or replaced, is invalid,
    /// or can't be checked.
    ///
    /// A process that opened the memory by its name can use this function to detect that a successor has replaced the memory.
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

/// Maps the memory of a descriptor with [`SharedMemory::from_fd`].
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

/// Like [`SharedMemory::create`], but makes the memory of an empty file. Messages name the file `what`.
///
/// # Errors
///
/// Those of [`SharedMemory::create`] about the length and the memory.
pub fn make_of_file(file: OwnedFd, len: usize, what: &dyn fmt::Display) -> io::Result<SharedMemory> {
    check_len(len)?;
    SharedMemory::make(file, len, what)
}

/// Sets the length of an empty file and allocates all of its pages, without mapping it. Messages name the file `what`.
///
/// # Errors
///
/// Those of [`SharedMemory::create`] about the length and the memory.
pub fn reserve_file(file: impl AsFd, len: usize, what: &dyn fmt::Display) -> io::Result<()> {
    check_len(len)?;
    Object::reserve(file.as_fd(), len, what)
}

/// Notes that other code has closed the descriptor of the memory (`close_range`). The drop of the memory does not close the number
/// then, which may be that of another file.
pub fn lose_descriptor(memory: &SharedMemory) {
    memory.object.lose_descriptor();
}

/// The first and the longest pause between two attempts to open memory that does not exist yet.
pub const OPEN_PAUSES: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_millis(100);

/// Returns true for the errors that [`SharedMemory::open`] returns until the creator is ready.
pub fn is_not_there_yet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
}

fn check_len(len: usize) -> io::Result<()> {
    if len < size_of::<AtomicU32>() {
        return Err(refuse(format!("shared memory of {len} bytes is too small for a word: ask for at least 4")));
    }
    if isize::try_from(len).is_err() {
        return Err(refuse(format!("shared memory of {len} bytes is more than can be mapped")));
    }
    Ok(())
}

/// The memory as words of 64 bits, without the last one to seven bytes if the length is not a multiple of eight.
///
/// The low half of such a word may be a futex word too. The kernel compares it, and a wait of this workspace loads it (32 bits)
/// to decide whether to sleep. That mixes accesses of different size, which the memory model of Rust does not define when they
/// race. The supported processors define it, and the loaded value decides nothing but whether to sleep.
#[inline]
pub fn words64(memory: &SharedMemory) -> &[AtomicU64] {
    memory.object.mapping.words64()
}

/// Keeps the mapping out of children of `fork` and out of core dumps. A child must not use the memory any more, and must not drop
/// its last handle.
///
/// # Errors
///
/// Those of `madvise(2)`.
pub fn keep_from_forks(memory: &SharedMemory) -> io::Result<()> {
    let kept = memory.object.mapping.keep_from_forks();
    kept.map_err(|errno| explain(errno, "cannot keep shared memory out of forks"))
}
