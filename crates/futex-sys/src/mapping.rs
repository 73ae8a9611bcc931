//! A shared mapping of a whole object.
#![expect(unsafe_code, reason = "mmap and munmap")]

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

/// `len` bytes of an object, mapped shared until dropped: readable and writable, or to pass the addresses of words to the
/// kernel.
pub(crate) struct Mapping {
    ptr: NonNull<u8>,
    len: usize,
}

// SAFETY: The mapping belongs to the process, not to a thread, and is only handed out as atomics and as raw pointers.
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
        // SAFETY: With no address given, the kernel picks one that nothing is mapped at, so no memory of ours changes.
        let ptr = unsafe { mmap(std::ptr::null_mut(), len, access, flags, fd, 0)? };
        match NonNull::new(ptr.cast()) {
            Some(ptr) => Ok(Self { ptr, len }),
            None => Err(rustix::io::Errno::NOMEM),
        }
    }

    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    /// The mapping as words; up to three bytes at the end are left out. Those of [`read_only`](Self::read_only) are neither
    /// loaded nor stored.
    pub(crate) fn words(&self) -> &[AtomicU32] {
        // SAFETY: A mapping starts at a page, so the pointer is aligned. It stays mapped while `self` is borrowed. Any
        // bit pattern is an `AtomicU32`, and atomics may change under a shared reference, whoever changes them.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr().cast::<AtomicU32>(), self.len / 4) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `new` mapped exactly this range, nothing unmaps it but this, and no reference into it is left: each one
        // borrows the mapping, or is held by a `Word` that counts as an owner.
        let unmapped = unsafe { munmap(self.ptr.as_ptr().cast(), self.len) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}
