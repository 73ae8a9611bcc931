//! A shared object and its mapping.

use crate::error::{explain, fail, refuse, with_kind};
use crate::mapping::Mapping;
use crate::reserve::reserve;
use rustix::fs::{FileType, MemfdFlags, SealFlags, Stat};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

/// A memfd or a regular file, all of which is mapped.
pub(crate) struct Object {
    pub(crate) mapping: Mapping,
    /// Bytes.
    pub(crate) len: usize,
    fd: OwnedFd,
    /// Device and inode, as they were when the object was mapped. [`Word::same_word`](crate::Word::same_word) says how far
    /// they can be trusted.
    identity: Identity,
}

/// Device and inode. No other object has them while this one is open or mapped.
pub(crate) type Identity = (u64, u64);

impl Object {
    /// Gives an empty file its length and all its pages, and maps it; `what` is its name in messages.
    pub(crate) fn make(fd: OwnedFd, len: usize, what: &dyn fmt::Display) -> io::Result<Self> {
        // Beyond the limit the kernel sends SIGXFSZ, which ends the process, and memfds count as files.
        if let Some(limit) = getrlimit(Resource::Fsize).current.filter(|&limit| limit < len as u64) {
            let sentence = format!(
                "cannot make {what} {len} bytes long: files of this process may have {limit} bytes (see `ulimit -f`)"
            );
            return Err(explain(Errno::FBIG, sentence));
        }
        reserve(fd.as_fd(), len, what)?;
        Self::map(fd, what)
    }

    /// Maps all of `fd`; `what` is its name in messages.
    pub(crate) fn map(fd: OwnedFd, what: &dyn fmt::Display) -> io::Result<Self> {
        let stat = mappable(&fd, what)?;
        let len = stat.st_size as usize;
        let mapping = Mapping::new(fd.as_fd(), len).map_err(|errno| {
            let hint = match errno {
                Errno::ACCESS | Errno::PERM => {
                    ", which has to be open for reading and writing, and not sealed for either"
                }
                Errno::AGAIN => ", which count against the limit of locked memory (see `ulimit -l`)",
                _ => "",
            };
            let error = explain(errno, format!("cannot map {len} bytes of {what}{hint}"));
            // What `mlockall` locks can't be mapped beyond the limit. As `WouldBlock` that would be taken for a socket that
            // has no message yet.
            if errno == Errno::AGAIN { with_kind(io::ErrorKind::OutOfMemory, error) } else { error }
        })?;
        Ok(Self { mapping, len, fd, identity: identity(&stat) })
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// The place of a word of this mapping.
    pub(crate) fn place(&self, word: NonNull<AtomicU32>) -> Place {
        Place { object: self.identity, offset: word.addr().get() - self.mapping.as_ptr().addr() }
    }
}

/// Where a word lies in a shared object, wherever the object is mapped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    object: Identity,
    /// Bytes from the start of the object.
    offset: usize,
}

impl AsFd for Object {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The metadata of an object that can be mapped and has a place for a word; `what` is its name in messages.
pub(crate) fn mappable(fd: impl AsFd, what: &dyn fmt::Display) -> io::Result<Stat> {
    let stat = rustix::fs::fstat(fd).map_err(|errno| explain(errno, format!("cannot get the metadata of {what}")))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(refuse(format!("{what} can't be shared memory: it is neither a memfd nor a regular file")));
    }
    match stat.st_size {
        0 => Err(fail(
            io::ErrorKind::UnexpectedEof,
            format!(
                "{what} has no bytes yet: its creator has not given it its length, or has died before that. Wait, or \
                 remove it"
            ),
        )),
        len @ 1..4 => {
            Err(refuse(format!("{what} can't be shared memory: its {len} bytes have no place for a word of 4")))
        }
        len if isize::try_from(len).is_ok() => Ok(stat),
        len => Err(refuse(format!("{what} has {len} bytes, more than can be mapped"))),
    }
}

pub(crate) fn identity(stat: &Stat) -> Identity {
    (stat.st_dev, stat.st_ino)
}

/// `linux/magic.h`
pub(crate) const HUGETLBFS_MAGIC: u32 = 0x9584_58f6;

/// True if no process can take pages of the object away.
pub(crate) fn is_sealed(fd: impl AsFd) -> bool {
    // No seal but that for writing forbids to punch a hole. The next access to the hole gets a new page, but of huge pages there
    // may be none left, which raises SIGBUS.
    let is_shrinkable = || !rustix::fs::fcntl_get_seals(&fd).is_ok_and(|seals| seals.contains(SealFlags::SHRINK));
    let has_huge_pages = || rustix::fs::fstatfs(&fd).map_or(true, |stat| stat.f_type as u32 == HUGETLBFS_MAGIC);
    !is_shrinkable() && !has_huge_pages()
}

/// A new empty memfd that takes seals and is not executable.
pub(crate) fn memfd() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Systems with vm.memfd_noexec=2 insist on NOEXEC_SEAL, and Linux before 6.3 does not know it.
    rustix::fs::memfd_create("futex-words", flags | MemfdFlags::NOEXEC_SEAL)
        .or_else(|errno| match errno {
            Errno::INVAL => rustix::fs::memfd_create("futex-words", flags),
            _ => Err(errno),
        })
        .map_err(|errno| explain(errno, "cannot create a memfd for shared memory"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{fcntl_add_seals, memfd_create};

    #[test]
    fn a_memfd_of_huge_pages_is_not_taken_for_sealed() {
        // A peer sent one that was sealed, punched a hole into it, and took the page for another object. The next access to the
        // hole ended the receiver by SIGBUS, although `receive` had found the memory sealed. (Here it is not mapped, because
        // systems seldom have huge pages.)
        let sealed = |flags| {
            let fd = memfd_create("futex-words", flags | MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
            fcntl_add_seals(&fd, SealFlags::SHRINK)?;
            rustix::io::Result::Ok(fd)
        };
        assert!(is_sealed(sealed(MemfdFlags::empty()).unwrap()));
        match sealed(MemfdFlags::HUGETLB) {
            Ok(huge) => assert!(!is_sealed(huge)),
            Err(error) => eprintln!("SKIPPED: this kernel has no memfds of huge pages ({error})"),
        }
    }
}
