//! Telling a process from a `fork` of it.
#![expect(unsafe_code, reason = "mmap and madvise")]

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
use rustix::process::{Pid, getpid};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Remembers the process that it was made in.
///
/// A ring, or a thread that waits, belongs to the process that made it: a child of `fork` has a copy of the memory that
/// tells it otherwise. [`is_here`](Origin::is_here) tells the two apart for the price of a load, by a page that the kernel
/// empties in the child (`MADV_WIPEONFORK`, Linux 4.14), or by `getpid` where there is no such page.
///
/// # Examples
///
/// ```
/// let origin = futex_sys::Origin::here();
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

/// The word on the page that a fork finds empty; `None` where the kernel has no such pages.
fn mark() -> Option<&'static AtomicU32> {
    static MARK: OnceLock<Option<&'static AtomicU32>> = OnceLock::new();
    *MARK.get_or_init(|| {
        if cfg!(miri) {
            return None; // it knows no such advice
        }
        let len = rustix::param::page_size();
        // SAFETY: With no address given, the kernel picks one that nothing is mapped at.
        let page =
            unsafe { mmap_anonymous(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) }
                .ok()?;
        // SAFETY: The page is private, anonymous and ours, as the advice asks for. Its content is zero, and stays zero in
        // a fork; both are a valid `AtomicU32`.
        unsafe { madvise(page, len, Advice::LinuxWipeOnFork) }.ok()?;
        // SAFETY: The page is aligned, zeroed, and never unmapped.
        Some(unsafe { &*page.cast::<AtomicU32>() })
    })
}
