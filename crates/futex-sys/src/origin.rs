//! Telling a process from a `fork` of it.
#![expect(unsafe_code, reason = "mmap and madvise")]

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use rustix::param::page_size;
use rustix::process::{Pid, getpid};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// Remembers the process that it was made in.
///
/// A ring, or a thread that waits, belongs to the process that made it: a child of `fork` has a copy of the memory that
/// tells it otherwise. [`is_here`](Origin::is_here) tells the two apart for the price of a load, by a page that the kernel
/// empties in the child (`MADV_WIPEONFORK`, Linux 4.14), or by `getpid` where there is no such page.
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
    /// The page's word is this number in the process of origin, and zero or a higher number in a fork of it.
    Page(&'static AtomicU32, u32),
    Pid(Pid),
}

impl Origin {
    /// The process that calls.
    #[must_use]
    pub fn here() -> Self {
        match mark() {
            Some(word) => Self { mark: Mark::Page(word, generation(word)) },
            None => Self { mark: Mark::Pid(getpid()) },
        }
    }

    /// Whether the calling process is the one that made this.
    #[must_use]
    #[inline]
    pub fn is_here(&self) -> bool {
        match self.mark {
            Mark::Page(word, generation) => word.load(Ordering::Relaxed) == generation,
            Mark::Pid(pid) => getpid() == pid,
        }
    }
}

/// The number of this process in its line of forks, which stands on the page. The first caller in each process sets it.
fn generation(word: &AtomicU32) -> u32 {
    // Not on the page, so a fork goes on counting where its parent was. (A process identifier would not do: a fork into
    // another namespace can have its parent's.)
    static LATEST: AtomicU32 = AtomicU32::new(0);

    // Ordering: Relaxed, a number that guards no other memory.
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

/// The word on the page that a fork finds empty; `None` if the kernel has no such pages.
///
/// It is made by the first caller, or by several who race, and never behind a lock: a fork while another thread held it would
/// leave it locked in the child.
fn mark() -> Option<&'static AtomicU32> {
    /// Null before the first call.
    static MARK: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());
    /// What `MARK` points to if there is no page.
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
                    // SAFETY: `page` gave it to this call alone, and the exchange that failed showed it to nobody.
                    unsafe { unmap(page) };
                }
                mark = theirs;
            }
        }
    }
    // SAFETY: The word is a static, or at the start of a page that was published: aligned, zero as the kernel left it, and
    // never unmapped, neither here nor in a fork.
    let mark = unsafe { &*mark };
    (!ptr::eq(mark, &raw const NO_PAGE)).then_some(mark)
}

/// A new page that the kernel empties in a fork.
fn page() -> Option<*mut AtomicU32> {
    if cfg!(miri) {
        return None; // it knows no such advice
    }
    // SAFETY: With no address given, the kernel picks one that nothing is mapped at.
    let page = unsafe {
        mmap_anonymous(ptr::null_mut(), page_size(), ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE).ok()?
    };
    // SAFETY: The page is private, anonymous and ours, as the advice asks for. Its content is zero, and stays zero in a fork.
    if unsafe { madvise(page, page_size(), Advice::LinuxWipeOnFork) }.is_err() {
        // SAFETY: It was mapped above, and nobody knows of it.
        unsafe { unmap(page.cast()) };
        return None;
    }
    Some(page.cast())
}

/// Unmaps what [`page`] mapped.
///
/// # Safety
///
/// Nothing refers to the page.
unsafe fn unmap(page: *mut AtomicU32) {
    // SAFETY: It is a page of ours, by the caller's promise without references to it.
    let unmapped = unsafe { munmap(page.cast(), page_size()) };
    debug_assert_eq!(unmapped, Ok(()));
}
