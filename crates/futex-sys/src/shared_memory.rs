//! Memory that several processes map.

use crate::error::{explain, refuse};
use crate::object::{Object, memfd};
use crate::owner::Owner;
use crate::posix_name::PosixName;
use crate::word::Word;
use rustix::fs::{CWD, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// Memory that several processes map, to put futex words in.
///
/// It is a cheap handle: clones share one mapping, which goes when the last clone and the last [`Word`] in it are gone.
///
/// | Made by | For |
/// |---|---|
/// | [`anonymous`](Self::anonymous) | a family of processes, or one that sends the descriptor over a Unix socket |
/// | [`create`](Self::create), [`open`](Self::open), [`open_or_create`](Self::open_or_create) | processes that agree on a name |
/// | [`from_fd`](Self::from_fd) | the process that a descriptor was passed to |
/// | [`receive`](Self::receive) | the process that memory was [sent](Self::send) to over a Unix socket |
/// | [`open_path`](Self::open_path) | processes that agree on a file |
///
/// # What a peer can do
///
/// Whoever maps the memory can write anything into it at any time, so treat what you read as input. A peer that shrinks
/// the object makes the next access to the lost pages raise `SIGBUS`; memory from [`anonymous`](Self::anonymous) is
/// sealed against that, and [`is_sealed`](Self::is_sealed) tells for a descriptor that you were given.
///
/// # Examples
///
/// ```
/// use futex_sys::SharedMemory;
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
    /// `exec`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for no bytes, or more than the address space has. `FileTooLarge` for more than `ulimit -f` allows
    /// (`RLIMIT_FSIZE`). Others if descriptors or memory ran out.
    pub fn anonymous(len: usize) -> io::Result<Self> {
        check_len(len)?;
        let memory = Self::make(memfd()?, len, &"a new memfd")?;
        rustix::fs::fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
            .map_err(|errno| explain(errno, "cannot seal a memfd against changes of its length"))?;
        Ok(memory)
    }

    /// New memory of `len` bytes, all zero, under a POSIX name, for this user alone (mode 0600, whatever the
    /// umask).
    ///
    /// A name is at most 255 bytes without a slash; one leading slash is left out, as `shm_open(3)` does. The object gets
    /// its name once it has its length, so no other process sees it half made. It takes its memory page by page as they are
    /// touched: where `/dev/shm` is full by then (containers often have 64 MiB), that access raises `SIGBUS`.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the name is taken. `InvalidInput` for no bytes, too many, or an unusable name. `FileTooLarge` for
    /// more than `ulimit -f` allows (`RLIMIT_FSIZE`).
    pub fn create(name: &str, len: usize) -> io::Result<Self> {
        let name = PosixName::new(name)?;
        check_len(len)?;
        let taken = || explain(Errno::EXIST, format!("{name} is there already: open it, or unlink it first"));
        name.publish(|file| Self::make(file, len, &name))?.ok_or_else(taken)
    }

    /// The memory under a POSIX name, all of it, whatever its length.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is none, `PermissionDenied` where it is another user's, `InvalidInput` for an unusable name
    /// or an empty object.
    pub fn open(name: &str) -> io::Result<Self> {
        let name = PosixName::new(name)?;
        Self::map(name.open()?, &name)
    }

    /// The memory under a POSIX name, made of `len` zero bytes where there is none.
    ///
    /// Any number of processes may call it at once: they all get the same object, with its full length.
    ///
    /// # Errors
    ///
    /// `InvalidInput` where an object is there and has another length, and those of [`open`](Self::open) and
    /// [`create`](Self::create).
    pub fn open_or_create(name: &str, len: usize) -> io::Result<Self> {
        let name = PosixName::new(name)?;
        check_len(len)?;
        loop {
            // Each turn fails only because another process removed or created the name in between, so it has got on.
            match name.open() {
                Ok(file) => return Self::map(file, &name)?.of_len(len, &name),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            if let Some(memory) = name.publish(|file| Self::make(file, len, &name))? {
                return Ok(memory);
            }
        }
    }

    /// Removes a POSIX name. Processes that have the memory keep it.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is none, `PermissionDenied`, `InvalidInput` for an unusable name.
    pub fn unlink(name: &str) -> io::Result<()> {
        PosixName::new(name)?.unlink()
    }

    /// The memory behind a descriptor, for instance one that was inherited or received over a Unix socket.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty object, and for anything but a memfd or a regular file. `PermissionDenied` where the
    /// descriptor was not opened for reading and writing.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        Self::map(fd, &"the descriptor")
    }

    /// The memory of an existing file, all of it. A file on a memory file system (`tmpfs`) costs no disk writes.
    ///
    /// # Errors
    ///
    /// Those of opening a file for reading and writing, and `InvalidInput` for an empty one or one that is not regular.
    pub fn open_path(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        // Non-blocking, so that a pipe that was put in the file's place is refused and not waited for.
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .map_err(|errno| explain(errno, format!("cannot open {} as shared memory", path.display())))?;
        Self::map(fd, &path.display())
    }

    /// How many bytes there are. Never zero.
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
    /// This is how to get at the data that the futex words guard without any `unsafe`: with
    /// [relaxed](std::sync::atomic::Ordering::Relaxed) accesses, which compile to plain ones.
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

    /// Whether no process can shrink the object, so that no access to it can raise `SIGBUS` for that.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        rustix::fs::fcntl_get_seals(self).is_ok_and(|seals| seals.contains(SealFlags::SHRINK))
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

impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMemory")
            .field("address", &self.as_ptr())
            .field("len", &self.len())
            .field("fd", &self.as_fd())
            .finish()
    }
}

fn check_len(len: usize) -> io::Result<()> {
    if len == 0 {
        return Err(refuse("shared memory of 0 bytes has no place for a word: ask for at least 4"));
    }
    if isize::try_from(len).is_err() {
        return Err(refuse(format!("shared memory of {len} bytes is more than can be mapped")));
    }
    Ok(())
}
