//! A shared mapping of a whole object.
#![expect(unsafe_code, reason = "mmap, madvise and munmap")]

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// `len` bytes of an object, mapped shared until this value is dropped: readable and writable, or only to pass the addresses
/// of words to the kernel.
pub(crate) struct Mapping {
    ptr: NonNull<u8>,
    len: usize,
}

// SAFETY: The mapping belongs to the process, not to a thread. Other code gets it only as atomics and as raw pointers.
unsafe impl Send for Mapping {}
// SAFETY: As above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// `mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)`
    pub(crate) fn new(fd: BorrowedFd<'_>, len: usize) -> rustix::io::Result<Self> {
        Self::with(fd, len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED)
    }

    /// `mmap(NULL, len, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0)`
    ///
    /// Its words are for the kernel only: a store raises `SIGSEGV`, and a load allocates the page.
    pub(crate) fn read_only(fd: BorrowedFd<'_>, len: usize) -> rustix::io::Result<Self> {
        // Otherwise a mapping of huge pages takes them all out of the pool (hugetlbfs).
        Self::with(fd, len, ProtFlags::READ, MapFlags::SHARED | MapFlags::NORESERVE)
    }

    fn with(fd: BorrowedFd<'_>, len: usize, access: ProtFlags, flags: MapFlags) -> rustix::io::Result<Self> {
        // SAFETY: Without a given address, the kernel chooses one where nothing is mapped, so no memory of ours changes.
        let ptr = unsafe { mmap(std::ptr::null_mut(), len, access, flags, fd, 0)? };
        match NonNull::new(ptr.cast()) {
            Some(ptr) => Ok(Self { ptr, len }),
            None => Err(rustix::io::Errno::NOMEM),
        }
    }

    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    /// The mapping as words, without the last one to three bytes if the length is not a multiple of four. The words of
    /// [`read_only`](Self::read_only) must be neither loaded nor stored.
    pub(crate) fn words(&self) -> &[AtomicU32] {
        // SAFETY: A mapping starts at a page, so the pointer is aligned. The range stays mapped while `self` is borrowed. Any
        // bit pattern is a valid `AtomicU32`, and other processes may change an atomic behind a shared reference.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr().cast::<AtomicU32>(), self.len / 4) }
    }

    /// The mapping as words of 64 bits, without the last one to seven bytes if the length is not a multiple of eight. The words
    /// of [`read_only`](Self::read_only) must be neither loaded nor stored.
    #[inline]
    pub(crate) fn words64(&self) -> &[AtomicU64] {
        // SAFETY: As in `words`. A page is aligned to eight bytes.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr().cast::<AtomicU64>(), self.len / 8) }
    }

    /// `madvise(ptr, len, MADV_DONTFORK)` and `madvise(ptr, len, MADV_DONTDUMP)`
    ///
    /// A child of `fork` does not have the mapping. The child must not use it, and must not drop it: the range may have another
    /// content there.
    pub(crate) fn keep_from_forks(&self) -> rustix::io::Result<()> {
        for advice in [Advice::LinuxDontFork, Advice::LinuxDontDump] {
            // SAFETY: The range is ours, and the advice changes nothing in this process. In a fork, the caller keeps its promise
            // above.
            unsafe { madvise(self.ptr.as_ptr().cast(), self.len, advice)? };
        }
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `new` mapped exactly this range, and only this call unmaps it. No reference into the range is left: each
        // reference borrows the mapping, or belongs to a `Word`, which owns a share of the object.
        let unmapped = unsafe { munmap(self.ptr.as_ptr().cast(), self.len) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}
