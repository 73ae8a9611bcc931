//! Shared memory that is only looked into.

use crate::error::{explain, refuse};
use crate::futex::{self, Scope};
use crate::mapping::Mapping;
use crate::object::{HUGETLBFS_MAGIC, mappable};
use rustix::fs::{SeekFrom, fstat, fstatfs, seek};
use rustix::io::{Errno, pread};
use std::fmt;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// A view of shared memory for tools that inspect it: it reads values and counts waiters, and changes nothing.
///
/// A descriptor that is open for reading is enough. No waiter is woken or loses its place in the queue, and no page is
/// allocated. The memory is read through the descriptor and never through the mapping. Therefore no access raises `SIGBUS` if
/// another process shortens the object meanwhile: the result is an error.
///
/// # Pages
///
/// A wait brings the page of its word into memory. Therefore the words of a page that is not in memory have no waiters, and
/// need not be inspected. There is one exception: if another process frees the page while a waiter waits
/// (`FALLOC_FL_PUNCH_HOLE`), that waiter has no page, and is not found.
///
/// | File system | Pages that [`next_pages`](Self::next_pages) returns |
/// |---|---|
/// | tmpfs: memfds, POSIX names | exactly the pages that are allocated, including those that are swapped out |
/// | hugetlbfs (`MFD_HUGETLB`) | all pages, if all of them are allocated. Otherwise only the pages that have a byte that is not 0, because the kernel does not report which other pages are allocated; [`knows_pages`](Self::knows_pages) then returns false |
/// | any other | all pages of the object, because a page that was never written may be in memory, and may have waiters. A count brings the page into the page cache, which takes no space of the file system |
///
/// # Examples
///
/// ```
/// # use futex_sys::{MemoryView, SharedMemory};
/// use std::os::fd::AsFd;
/// use std::sync::atomic::Ordering;
///
/// let memory = SharedMemory::anonymous(4096)?;
/// memory.word(64)?.store(7, Ordering::Release);
///
/// let view = MemoryView::from_fd(memory.as_fd().try_clone_to_owned()?)?;
/// let mut value = [0; 4];
/// assert_eq!(view.read(64, &mut value)?, 4);
/// assert_eq!(u32::from_ne_bytes(value), 7);
/// assert_eq!(view.waiters(64)?, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct MemoryView {
    mapping: Mapping,
    len: usize,
    fd: OwnedFd,
    pages: Pages,
}

/// How pages are found.
#[derive(Clone, Copy)]
enum Pages {
    /// `SEEK_DATA` finds exactly those that there are.
    Sought,
    /// Of this many bytes each, and only their number is known.
    Huge(usize),
    /// There may be any.
    Any,
}

impl MemoryView {
    /// The memory behind a descriptor, all of it. It need not be open for writing.
    ///
    /// The view moves the file offset, which a duplicate of the descriptor shares.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` for an object of 0 bytes. `InvalidInput` for one of 1 to 3 bytes, and for anything but a memfd or a
    /// regular file. `PermissionDenied` if the descriptor was not opened for reading.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        /// `linux/magic.h`
        const TMPFS_MAGIC: u32 = 0x0102_1994;

        let what = "the object";
        let stat = mappable(&fd, &what)?;
        let len = stat.st_size as usize;
        let mapping = Mapping::read_only(fd.as_fd(), len)
            .map_err(|errno| explain(errno, format!("cannot map {len} bytes of {what} for reading")))?;
        let pages = match fstatfs(&fd).map(|system| system.f_type as u32) {
            Ok(TMPFS_MAGIC) => Pages::Sought,
            Ok(HUGETLBFS_MAGIC) => Pages::Huge(stat.st_blksize as usize),
            _ => Pages::Any,
        };
        Ok(Self { mapping, len, fd, pages })
    }

    /// Number of bytes when the view was made, at least 4.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "shared memory is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The address that the memory is mapped at in this process, to find it in `/proc/self/maps`.
    ///
    /// It is a number and not a pointer: an access allocates pages, and raises `SIGBUS` after the object was shortened.
    #[must_use]
    pub fn address(&self) -> usize {
        self.mapping.as_ptr().addr()
    }

    /// Returns false if there may be pages that [`next_pages`](Self::next_pages) leaves out. Only objects of huge pages have
    /// such.
    ///
    /// # Errors
    ///
    /// Those of `fstat(2)`.
    pub fn knows_pages(&self) -> io::Result<bool> {
        Ok(!matches!(self.pages, Pages::Huge(_)) || self.huge_pages()? != HugePages::Some)
    }

    /// Reads bytes from `offset` on, as `pread(2)`. Returns how many: fewer than `bytes` takes at the end of the object, or of
    /// what another process left of it.
    ///
    /// The bytes of a word that changes meanwhile are those of before or after the change, if `offset` is a multiple of 4 and
    /// the processor copies four aligned bytes at once, as all do that Linux supports.
    ///
    /// # Errors
    ///
    /// Those of `pread(2)`.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            match pread(&self.fd, &mut *bytes, offset as u64) {
                Err(Errno::INTR) => {}
                result => return result.map_err(|errno| self.explain(errno, "read", offset)),
            }
        }
    }

    /// The first range at or after `from` that has bytes to read. Bytes outside such ranges are 0. `None` if there is none.
    ///
    /// # Errors
    ///
    /// Those of `lseek(2)`.
    pub fn next_data(&self, from: usize) -> io::Result<Option<Range<usize>>> {
        let seek = |to| seek(&self.fd, to).map(|offset| usize::try_from(offset).unwrap_or(self.len).min(self.len));
        let start = match seek(SeekFrom::Data(from as u64)) {
            // Beyond the last data, or the end.
            Err(Errno::NXIO) => return Ok(None),
            // The file system has no such notion.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => from.min(self.len),
            result => result.map_err(|errno| self.explain(errno, "find the data", from))?,
        };
        let end = match seek(SeekFrom::Hole(start as u64)) {
            Err(Errno::NXIO) => return Ok(None),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => self.len,
            result => result.map_err(|errno| self.explain(errno, "find a hole", start))?,
        };
        // They are equal if another process made a hole between the two calls, or at the end.
        if start < end { Ok(Some(start..end)) } else { self.next_data_after(start) }
    }

    fn next_data_after(&self, hole: usize) -> io::Result<Option<Range<usize>>> {
        match (hole | (rustix::param::page_size() - 1)).checked_add(1) {
            Some(next) if next < self.len => self.next_data(next),
            _ => Ok(None),
        }
    }

    /// The first part of `range` that has [pages](Self#pages), in which words may have waiters. `None` if there is none.
    ///
    /// For an object of huge pages it may read all of `range`, and the pages that `range` begins and ends in. A caller with
    /// little time asks for one piece of a large object after the other.
    ///
    /// # Errors
    ///
    /// Those of `lseek(2)` and `pread(2)`.
    pub fn next_pages(&self, range: Range<usize>) -> io::Result<Option<Range<usize>>> {
        let range = range.start..range.end.min(self.len);
        if range.is_empty() {
            return Ok(None);
        }
        match self.pages {
            Pages::Sought => {
                let data = self.next_data(range.start)?.filter(|data| data.start < range.end);
                Ok(data.map(|data| data.start..data.end.min(range.end)))
            }
            Pages::Any => Ok(Some(range)),
            Pages::Huge(size) => match self.huge_pages()? {
                HugePages::None => Ok(None),
                HugePages::All => Ok(Some(range)),
                HugePages::Some => {
                    let mut start = range.start;
                    while start < range.end {
                        let page = start - start % size;
                        let end = page.saturating_add(size).min(self.len);
                        if self.has_data(page..end)? {
                            return Ok(Some(start..end.min(range.end)));
                        }
                        start = end;
                    }
                    Ok(None)
                }
            },
        }
    }

    /// Counts the waiters of the word at `offset`, without waking one: blocked threads, waits of io_uring and of
    /// `futex_waitv`, of all processes and with any mask, as [`Word::waiters`](crate::Word::waiters) does. A word whose page is
    /// not there has none, and its page is not allocated.
    ///
    /// If another process gives the page back (`FALLOC_FL_PUNCH_HOLE`) between the search for the page and the count, the count
    /// allocates it again.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an offset that is not a multiple of four, or not within the memory. The kernel's `EFAULT` if the page
    /// is gone (the object was shortened), `EINVAL` if threads wait for the word as for a lock with priority inheritance, and
    /// `EPERM` or `ENOSYS` if a sandbox forbids the call.
    pub fn waiters(&self, offset: usize) -> io::Result<u32> {
        let word = match self.mapping.words().get(offset / 4) {
            Some(word) if offset % 4 == 0 => word,
            _ => {
                let len = self.len;
                return Err(refuse(format!("offset {offset} is not that of a word in an object of {len} bytes")));
            }
        };
        if !self.has_page(offset)? {
            return Ok(0);
        }
        futex::requeue(word, word, Scope::Shared, 0, u32::MAX)
            .map_err(|error| self.explain(error, "count the waiters", offset))
    }

    fn has_page(&self, offset: usize) -> io::Result<bool> {
        match self.pages {
            Pages::Any => Ok(true),
            Pages::Sought => match seek(&self.fd, SeekFrom::Data(offset as u64)) {
                Ok(data) => Ok(data == offset as u64),
                Err(Errno::NXIO) if self.stat()?.st_size as u64 <= offset as u64 => {
                    Err(self.explain(Errno::FAULT, "find the page", offset))
                }
                Err(Errno::NXIO) => Ok(false),
                Err(errno) => Err(self.explain(errno, "find the page", offset)),
            },
            Pages::Huge(size) => match self.huge_pages()? {
                HugePages::None => Ok(false),
                HugePages::All => Ok(true),
                HugePages::Some => {
                    let page = offset - offset % size;
                    self.has_data(page..page.saturating_add(size).min(self.len))
                }
            },
        }
    }

    fn huge_pages(&self) -> io::Result<HugePages> {
        // `st_blocks` is in units of 512 bytes, `stat(2)`.
        let stat = self.stat()?;
        Ok(match stat.st_blocks as u64 {
            0 => HugePages::None,
            blocks if blocks.saturating_mul(512) >= stat.st_size as u64 => HugePages::All,
            _ => HugePages::Some,
        })
    }

    /// Returns true if a byte of the range is not 0.
    fn has_data(&self, range: Range<usize>) -> io::Result<bool> {
        let mut buffer = [0; 16 * 1024];
        let mut offset = range.start;
        while offset < range.end {
            let wanted = buffer.len().min(range.end - offset);
            let read = self.read(offset, &mut buffer[..wanted])?;
            if buffer[..read].iter().any(|&byte| byte != 0) {
                return Ok(true);
            }
            if read == 0 {
                break;
            }
            offset += read;
        }
        Ok(false)
    }

    fn stat(&self) -> io::Result<rustix::fs::Stat> {
        fstat(&self.fd).map_err(|errno| explain(errno, "cannot get the metadata of the memory"))
    }

    #[cold]
    fn explain(&self, error: impl Into<io::Error>, act: &str, offset: usize) -> io::Error {
        let error = error.into();
        let now = self.stat().map_or(0, |stat| stat.st_size as u64);
        let hint = if now < self.len as u64 {
            format!(", because the object was shortened from {} bytes to {now}", self.len)
        } else {
            String::new()
        };
        explain(error, format!("cannot {act} at offset {offset}{hint}"))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum HugePages {
    None,
    Some,
    All,
}

impl AsFd for MemoryView {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for MemoryView {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl fmt::Debug for MemoryView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryView").field("len", &self.len).field("fd", &self.as_raw_fd()).finish()
    }
}

#[cfg(test)]
mod tests;
