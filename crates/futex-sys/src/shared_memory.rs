//! Memory that several processes map.

use crate::Word;
use crate::error::{explain, refuse};
use crate::mapping::Mapping;
use rustix::fs::{AtFlags, FileType, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// Where POSIX names live on Linux (`shm_open(3)`).
const NAMES: &str = "/dev/shm";

/// Memory that several processes map, to put futex words in.
///
/// It is a cheap handle: clones share one mapping, which goes when the last clone and the last [`Word`] in it are gone.
///
/// | Made by | For |
/// |---|---|
/// | [`anonymous`](Self::anonymous) | a family of processes, or one that sends the descriptor over a Unix socket |
/// | [`create`](Self::create), [`open`](Self::open), [`open_or_create`](Self::open_or_create) | processes that agree on a name |
/// | [`from_fd`](Self::from_fd) | the process that a descriptor was passed to |
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
}

/// An object and its mapping.
struct Object {
    mapping: Mapping,
    fd: OwnedFd,
    len: usize,
}

impl SharedMemory {
    /// New memory of `len` bytes, all zero, without a name: a memfd, sealed against shrinking and growing, and closed on
    /// `exec`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for no bytes, or more than the address space has. Else where descriptors or memory ran out.
    pub fn anonymous(len: usize) -> io::Result<Self> {
        check_len(len)?;
        let fd = rustix::fs::memfd_create("futex-words", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
            .map_err(|errno| explain(errno, "cannot create a memfd for shared memory"))?;
        set_len(fd.as_fd(), len)?;
        rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
            .map_err(|errno| explain(errno, "cannot seal a memfd against changes of its length"))?;
        Self::map(fd, "the new memfd")
    }

    /// New memory of `len` bytes, all zero, under a POSIX name, for this user alone (mode 0600).
    ///
    /// A name is at most 255 bytes without a slash; one leading slash is left out, as `shm_open(3)` does. The object gets
    /// its name once it has its length, so no other process sees it half made.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` where the name is taken. `InvalidInput` for no bytes, too many, or an unusable name.
    pub fn create(name: &str, len: usize) -> io::Result<Self> {
        let entry = check_name(name)?;
        check_len(len)?;
        let created = publish(entry, len);
        created?.map_or_else(|| Err(taken(name)), |fd| Self::map(fd, &in_quotes(name)))
    }

    /// The memory under a POSIX name, all of it, whatever its length.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is none, `PermissionDenied` where it is another user's, `InvalidInput` for an unusable name
    /// or an empty object.
    pub fn open(name: &str) -> io::Result<Self> {
        Self::map(open_name(name)?, &in_quotes(name))
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
        let entry = check_name(name)?;
        check_len(len)?;
        loop {
            // Each turn fails only because another process removed or created the name in between, so it has got on.
            match open_name(name) {
                Ok(fd) => {
                    let memory = Self::map(fd, &in_quotes(name))?;
                    if memory.len() == len {
                        return Ok(memory);
                    }
                    return Err(refuse(format!(
                        "shared memory {name:?} exists with {} bytes, not {len}: open it as it is, or unlink it first",
                        memory.len()
                    )));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            if let Some(fd) = publish(entry, len)? {
                return Self::map(fd, &in_quotes(name));
            }
        }
    }

    /// Removes a POSIX name. Processes that have the memory keep it.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is none, `PermissionDenied`, `InvalidInput` for an unusable name.
    pub fn unlink(name: &str) -> io::Result<()> {
        let entry = check_name(name)?;
        rustix::fs::unlink(format!("{NAMES}/{entry}"))
            .map_err(|errno| explain(errno, format!("cannot unlink shared memory {name:?}")))
    }

    /// The memory behind a descriptor, for instance one that was inherited or received over a Unix socket.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty object, and for anything but a memfd or a regular file. `PermissionDenied` where the
    /// descriptor was not opened for reading and writing.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        Self::map(fd, "the descriptor")
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
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| explain(errno, format!("cannot open {} as shared memory", path.display())))?;
        Self::map(fd, &path.display().to_string())
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
        match self.as_words().get(offset / 4) {
            Some(word) => Ok(Word::in_memory(word, self)),
            None => Err(refuse(format!(
                "a word at offset {offset} ends behind the shared memory, which has {} bytes",
                self.len()
            ))),
        }
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
        rustix::fs::fcntl_get_seals(&self.object.fd).is_ok_and(|seals| seals.contains(SealFlags::SHRINK))
    }

    /// Maps all of `fd`; `what` is its name in messages.
    fn map(fd: OwnedFd, what: &str) -> io::Result<Self> {
        let stat = rustix::fs::fstat(&fd).map_err(|errno| explain(errno, format!("cannot look at {what}")))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(refuse(format!("{what} can't be shared memory: it is neither a memfd nor a regular file")));
        }
        let len = usize::try_from(stat.st_size)
            .ok()
            .filter(|&len| isize::try_from(len).is_ok())
            .ok_or_else(|| refuse(format!("{what} has {} bytes, more than can be mapped", stat.st_size)))?;
        if len == 0 {
            return Err(refuse(format!(
                "{what} is empty: whoever made it has to set its length before it can be shared memory"
            )));
        }
        let mapping = Mapping::new(fd.as_fd(), len).map_err(|errno| {
            let hint = match errno {
                Errno::ACCESS | Errno::PERM => {
                    ", which has to be open for reading and writing, and not sealed for either"
                }
                _ => "",
            };
            explain(errno, format!("cannot map {len} bytes of {what}{hint}"))
        })?;
        Ok(Self { object: Arc::new(Object { mapping, fd, len }) })
    }

    /// What a [`Word`] keeps alive.
    pub(crate) fn owner(&self) -> Arc<dyn Send + Sync> {
        self.object.clone()
    }
}

impl AsFd for SharedMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.object.fd.as_fd()
    }
}

impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMemory")
            .field("address", &self.as_ptr())
            .field("len", &self.len())
            .field("fd", &self.object.fd)
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

/// The directory entry of a POSIX name.
fn check_name(name: &str) -> io::Result<&str> {
    let entry = name.strip_prefix('/').unwrap_or(name);
    if entry.is_empty() || entry.len() > 255 || entry == "." || entry == ".." || entry.contains(['/', '\0']) {
        return Err(refuse(format!(
            "{name:?} can't name shared memory: use 1 to 255 bytes without a slash (but a leading one) or a NUL, and not . or .."
        )));
    }
    Ok(entry)
}

fn open_name(name: &str) -> io::Result<OwnedFd> {
    let entry = check_name(name)?;
    // What `shm_open(3)` sets, and non-blocking as in `open_path`.
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    rustix::fs::open(format!("{NAMES}/{entry}"), flags, Mode::empty())
        .map_err(|errno| explain(errno, format!("cannot open shared memory {name:?}")))
}

fn set_len(fd: BorrowedFd<'_>, len: usize) -> io::Result<()> {
    rustix::fs::ftruncate(fd, len as u64)
        .map_err(|errno| explain(errno, format!("cannot make shared memory {len} bytes long")))
}

/// Makes an object of `len` bytes and gives it its name, in this order; `None` where the name is taken.
///
/// The file has no name while it is made (`O_TMPFILE`), so a process that is killed here leaves nothing behind.
fn publish(entry: &str, len: usize) -> io::Result<Option<OwnedFd>> {
    let mode = Mode::RUSR | Mode::WUSR;
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::TMPFILE;
    let fd = rustix::fs::open(NAMES, flags, mode)
        .map_err(|errno| explain(errno, format!("cannot make shared memory in {NAMES}")))?;
    set_len(fd.as_fd(), len)?;
    name_file(fd.as_fd(), entry).map(|named| named.then_some(fd))
}

/// Gives a nameless file its name; `false` where the name is taken.
fn name_file(fd: BorrowedFd<'_>, entry: &str) -> io::Result<bool> {
    use std::os::fd::AsRawFd as _;
    // The way that open(2) shows for an O_TMPFILE without privileges.
    let nameless = format!("/proc/self/fd/{}", fd.as_raw_fd());
    match rustix::fs::linkat(
        rustix::fs::CWD,
        nameless,
        rustix::fs::CWD,
        format!("{NAMES}/{entry}"),
        AtFlags::SYMLINK_FOLLOW,
    ) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(errno) => Err(explain(errno, format!("cannot name shared memory {entry:?} (this needs /proc)"))),
    }
}

fn taken(name: &str) -> io::Error {
    explain(Errno::EXIST, format!("shared memory {name:?} is there already: open it, or unlink it first"))
}

fn in_quotes(name: &str) -> String {
    format!("shared memory {name:?}")
}
