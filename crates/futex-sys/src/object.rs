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
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// A memfd or a regular file, with a mapping of its whole length.
pub(crate) struct Object {
    pub(crate) mapping: Mapping,
    /// Length in bytes.
    pub(crate) len: usize,
    fd: Descriptor,
    /// Device and inode at the time of the mapping.
    identity: Identity,
}

/// Device and inode. In rare cases two objects have the same ones: see [`Word::same_word`](crate::Word::same_word).
pub(crate) type Identity = (u64, u64);

impl Object {
    /// Sets the length of an empty file, allocates all of its pages, and maps it. `what` is the name of the file in messages.
    pub(crate) fn make(fd: OwnedFd, len: usize, what: &dyn fmt::Display) -> io::Result<Self> {
        Self::reserve(fd.as_fd(), len, what)?;
        Self::map(fd, what)
    }

    /// Sets the length of an empty file and allocates all of its pages.
    pub(crate) fn reserve(fd: BorrowedFd<'_>, len: usize, what: &dyn fmt::Display) -> io::Result<()> {
        // Beyond the limit the kernel sends SIGXFSZ, which ends the process. The limit applies to memfds too.
        if let Some(limit) = getrlimit(Resource::Fsize).current.filter(|&limit| limit < len as u64) {
            let sentence = format!(
                "cannot make {what} {len} bytes long: files of this process may have {limit} bytes (see `ulimit -f`)"
            );
            return Err(explain(Errno::FBIG, sentence));
        }
        reserve(fd, len, what)
    }

    /// Maps all of `fd`. `what` is the name of the object in messages.
    pub(crate) fn map(fd: OwnedFd, what: &dyn fmt::Display) -> io::Result<Self> {
        let stat = mappable(&fd, what)?;
        let len = stat.st_size as usize;
        let mapping = Mapping::new(fd.as_fd(), len).map_err(|errno| {
            let hint = match errno {
                Errno::ACCESS | Errno::PERM => {
                    ", which has to be open for reading and writing, and not sealed against writing"
                }
                Errno::AGAIN => ", which count towards the limit of locked memory (see `ulimit -l`)",
                _ => "",
            };
            let error = explain(errno, format!("cannot map {len} bytes of {what}{hint}"));
            // After `mlockall`, mappings beyond the limit fail with EAGAIN. The kind of that error is `WouldBlock`, which a
            // caller of `receive` would mistake for a socket without a message.
            if errno == Errno::AGAIN { with_kind(io::ErrorKind::OutOfMemory, error) } else { error }
        })?;
        let fd = Descriptor { fd: Some(fd), is_lost: AtomicBool::new(false) };
        Ok(Self { mapping, len, fd, identity: identity(&stat) })
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// Notes that other code has closed the descriptor, so that a drop does not close its number, which may be that of another
    /// file now.
    pub(crate) fn lose_descriptor(&self) {
        self.fd.is_lost.store(true, Ordering::Relaxed);
    }

    /// The place of a word of this mapping.
    pub(crate) fn place(&self, word: NonNull<AtomicU32>) -> Place {
        Place { object: self.identity, offset: word.addr().get() - self.mapping.as_ptr().addr() }
    }
}

/// The place of a word in a shared object. It is the same in every mapping of the object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    object: Identity,
    /// Offset in bytes from the start of the object.
    offset: usize,
}

impl AsFd for Object {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.fd.as_ref().expect("a descriptor is there until it is dropped").as_fd()
    }
}

/// A descriptor that other code may have closed (`close_range`).
struct Descriptor {
    /// `None` only during the drop.
    fd: Option<OwnedFd>,
    is_lost: AtomicBool,
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if *self.is_lost.get_mut() {
            std::mem::forget(self.fd.take());
        }
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
                "{what} has no bytes yet: its creator has not set its length, or died before it did. Wait, or remove it"
            ),
        )),
        len @ 1..4 => Err(refuse(format!("{what} can't be shared memory: it has {len} bytes, and a word needs 4"))),
        len if isize::try_from(len).is_ok() => Ok(stat),
        len => Err(refuse(format!("{what} has {len} bytes, more than can be mapped"))),
    }
}

pub(crate) fn identity(stat: &Stat) -> Identity {
    (stat.st_dev, stat.st_ino)
}

/// `linux/magic.h`
pub(crate) const HUGETLBFS_MAGIC: u32 = 0x9584_58f6;

/// Returns true if no process can remove pages of the object.
pub(crate) fn is_sealed(fd: impl AsFd) -> bool {
    // Only a seal against writing forbids punching holes. The next access to a hole allocates a new page. A huge page may not be
    // available, and then the access raises SIGBUS.
    let is_shrinkable = || !rustix::fs::fcntl_get_seals(&fd).is_ok_and(|seals| seals.contains(SealFlags::SHRINK));
    let has_huge_pages = || rustix::fs::fstatfs(&fd).map_or(true, |stat| stat.f_type as u32 == HUGETLBFS_MAGIC);
    !is_shrinkable() && !has_huge_pages()
}

/// A new empty memfd that takes seals and is not executable.
pub(crate) fn memfd() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Systems with vm.memfd_noexec=2 require NOEXEC_SEAL. Linux before 6.3 refuses the flag.
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
    fn a_memfd_of_huge_pages_does_not_count_as_sealed() {
        // A peer sent a sealed memfd of huge pages, punched a hole into it, and used the page for another object. The receiver's
        // next access to the hole raised SIGBUS, although `receive` had accepted the memory as sealed. (This test does not map
        // the memfd, because few systems have huge pages reserved.)
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
