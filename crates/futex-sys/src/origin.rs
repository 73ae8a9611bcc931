//! Detection of a `fork`.
#![expect(unsafe_code, reason = "mmap and madvise")]

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use rustix::param::page_size;
use rustix::process::{Pid, getpid};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// The process in which this value was made.
///
/// A ring, or a waiting thread, belongs to the process that made it. A child of `fork` has a copy of the ring's or thread's
/// memory, but must not use it. [`is_here`](Origin::is_here) distinguishes the child from its parent at the cost of a load of
/// a page that the kernel clears in the child (`MADV_WIPEONFORK`, Linux 4.14). Without such a page it calls `getpid`.
///
/// # Examples
///
/// ```
/// let origin = futex_sys::__private::Origin::here();
/// assert!(origin.is_here());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    mark: Mark,
}

#[derive(Clone, Copy, Debug)]
enum Mark {
    /// A word of the page that the kernel clears, and the value of the word in the process of origin. In a fork the word is
    /// zero or has a higher value.
    Page(&'static AtomicU32, u32),
    /// The pid of the process of origin.
    Pid(Pid),
}

impl Origin {
    /// The calling process.
    #[must_use]
    pub fn here() -> Self {
        match mark() {
            Some(word) => Self { mark: Mark::Page(word, generation(word)) },
            None => Self { mark: Mark::Pid(getpid()) },
        }
    }

    /// Returns true if the calling process made this value.
    #[must_use]
    #[inline]
    pub fn is_here(&self) -> bool {
        match self.mark {
            Mark::Page(word, generation) => word.load(Ordering::Relaxed) == generation,
            Mark::Pid(pid) => getpid() == pid,
        }
    }
}

/// The generation of this process in its line of forks, which is stored on the page. The first caller in each process sets it.
fn generation(word: &AtomicU32) -> u32 {
    // Not on the page, so a fork continues to count from its parent's number. (A pid is not enough: a fork into another pid
    // namespace can have the pid of its parent.)
    static LATEST: AtomicU32 = AtomicU32::new(0);

    // Ordering: Relaxed, because the number guards no other memory.
    match word.load(Ordering::Relaxed) {
        0 => {
            let next = LATEST.fetch_add(1, Ordering::Relaxed) + 1;
            match word.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => next,
                Err(theirs) => theirs, // another thread was first
            }
        }
        generation => generation,
    }
}

/// The word on the page that the kernel clears in a fork. `None` if the kernel has no such pages.
///
/// The first caller makes the page. Several callers may race, without a lock: if a thread held a lock during a fork, the lock
/// would stay locked in the child.
fn mark() -> Option<&'static AtomicU32> {
    /// Null before the first call.
    static MARK: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());
    /// The target of `MARK` if there is no page.
    static NO_PAGE: AtomicU32 = AtomicU32::new(0);

    // Ordering: Acquire pairs with the Release of the exchange below.
    let mut mark = MARK.load(Ordering::Acquire);
    if mark.is_null() {
        let page = page();
        let made = page.unwrap_or((&raw const NO_PAGE).cast_mut());
        match MARK.compare_exchange(ptr::null_mut(), made, Ordering::Release, Ordering::Acquire) {
            Ok(_) => mark = made,
            Err(theirs) => {
                // Another thread was first.
                if let Some(page) = page {
                    // SAFETY: `page` returned the page to this call only. The exchange failed, so the page was not published.
                    unsafe { unmap(page) };
                }
                mark = theirs;
            }
        }
    }
    // SAFETY: The word is a static, or it is at the start of a published page: aligned, zeroed by the kernel, and never
    // unmapped, in this process or in a fork.
    let mark = unsafe { &*mark };
    (!ptr::eq(mark, &raw const NO_PAGE)).then_some(mark)
}

/// Maps a page that the kernel clears in a fork.
fn page() -> Option<*mut AtomicU32> {
    if cfg!(miri) {
        return None; // Miri does not support this advice
    }
    // SAFETY: Without a given address, the kernel chooses one where nothing is mapped.
    let page = unsafe {
        mmap_anonymous(ptr::null_mut(), page_size(), ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE).ok()?
    };
    // SAFETY: The page is private, anonymous and ours, as the advice requires. Its content is zero, and zero again in a fork.
    if unsafe { madvise(page, page_size(), Advice::LinuxWipeOnFork) }.is_err() {
        // SAFETY: The page was mapped above, and no other code has its address.
        unsafe { unmap(page.cast()) };
        return None;
    }
    Some(page.cast())
}

/// Unmaps a page that [`page`] mapped.
///
/// # Safety
///
/// Nothing refers to the page.
unsafe fn unmap(page: *mut AtomicU32) {
    // SAFETY: The page is ours, and the caller promises that no references to it exist.
    let unmapped = unsafe { munmap(page.cast(), page_size()) };
    debug_assert_eq!(unmapped, Ok(()));
}
