//! Wakes from signal handlers: no lock, no allocation, and `errno` keeps its value.
//!
//! These tests are a separate program, because their allocator counts calls, and raises a signal on request.
#![cfg(target_os = "linux")]
#![expect(unsafe_code, reason = "std has no signals, and the trait of allocators is unsafe")]

use futex_sys::futex::{self, MATCH_ANY, Scope, WaitOutcome, WaitvEntry, waitv};
use futex_sys::{SharedMemory, Word};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::io;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

thread_local! {
    /// Number of calls of the allocator by this thread. (The test harness has other threads.)
    static CALLS: Cell<usize> = const { Cell::new(0) };
    /// True if a signal is to interrupt the next allocation of this thread.
    static INTERRUPT: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: The system's allocator does all of the work. Counting allocates nothing: the counters are initialized at compile time
// and have no destructor. The handler of the signal does not unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        if INTERRUPT.replace(false) {
            // SAFETY: `raise` has no obligations. The handler has run on this thread when `raise` returns.
            unsafe { libc::raise(libc::SIGUSR1) };
        }
        // SAFETY: The caller fulfils the obligations of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: The caller fulfils the obligations of `dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

/// Returns the number of calls of the allocator within `body`.
fn calls(body: impl FnOnce()) -> usize {
    let before = CALLS.get();
    body();
    CALLS.get() - before
}

/// A word beyond the end of its file, for which the kernel returns `EFAULT`.
fn stranded() -> Word {
    let file = tempfile::NamedTempFile::new().expect("a file");
    file.as_file().set_len(1 << 20).expect("a file");
    let word = SharedMemory::open_path(&file).expect("a file").word(1 << 19).expect("a word");
    file.as_file().set_len(4).expect("a file");
    word
}

fn word() -> Word {
    Word::from(Arc::new(AtomicU32::new(0)))
}

/// Calls the allocator and returns true if the calls were counted. Without this check, a count of zero would prove nothing.
fn counts() -> bool {
    calls(|| drop(black_box(Box::new(1_u8)))) == 2
}

#[test]
fn a_wake_on_a_page_that_is_gone_allocates_nothing() {
    // Regression: the wake formatted a sentence for the kernel's error, and dropped it again.
    let word = stranded();
    assert!(counts());
    let made = calls(|| {
        assert_eq!(word.wake(1), 0);
        assert_eq!(word.wake_masked(u32::MAX, NonZeroU32::MIN), 0);
    });
    assert_eq!(made, 0, "calls of the allocator");
}

#[test]
fn an_error_of_a_raw_call_is_the_kernels_number_and_allocates_nothing() {
    fn gives_efault<T>(result: io::Result<T>) -> bool {
        result.is_err_and(|error| error.raw_os_error() == Some(libc::EFAULT))
    }

    let (gone, here) = (stranded(), word());
    // `futex_waitv` is missing before Linux 5.16 and in some sandboxes. There it fails with another error number.
    let has_waitv = waitv(&[WaitvEntry::new(&here, Scope::Shared, 1)], None).is_ok();
    assert!(counts());
    let made = calls(|| {
        assert!(gives_efault(futex::wait(&gone, Scope::Shared, 0, MATCH_ANY, None)));
        assert!(gives_efault(futex::wake(&gone, Scope::Shared, 1)));
        assert!(gives_efault(futex::wake_masked(&gone, Scope::Shared, 1, NonZeroU32::MIN)));
        assert!(gives_efault(futex::requeue(&gone, &here, Scope::Shared, 1, 1)));
        assert!(gives_efault(futex::cmp_requeue(&here, 0, &gone, Scope::Shared, 1, 1)));
        if has_waitv {
            assert!(gives_efault(waitv(&[WaitvEntry::new(&gone, Scope::Shared, 0)], None)));
        }
    });
    assert_eq!(made, 0, "calls of the allocator");
}

/// The words that the handler wakes: one with a waiter, and one whose page is gone.
static WORDS: OnceLock<[Word; 2]> = OnceLock::new();
/// True after the handler has run.
static HANDLED: AtomicBool = AtomicBool::new(false);
/// Number of waiters that the handler woke, per word.
static WOKEN: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(0)];
/// Number of calls of the allocator by the handler.
static CALLS_OF_HANDLER: AtomicU32 = AtomicU32::new(0);
/// `errno` at the end of the handler.
static ERRNO: AtomicI32 = AtomicI32::new(0);

/// A value of `errno` that no call sets.
const ERRNO_BEFORE: i32 = 4242;

extern "C" fn wake(_signal: libc::c_int) {
    // SAFETY: The location belongs to this thread, and is always valid.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: As above.
    let interrupted = unsafe { errno.replace(ERRNO_BEFORE) };
    let before = CALLS.get();
    if let Some(words) = WORDS.get() {
        for (word, woken) in words.iter().zip(&WOKEN) {
            woken.store(word.wake(1), Ordering::Relaxed);
        }
    }
    CALLS_OF_HANDLER.store(u32::try_from(CALLS.get() - before).unwrap_or(u32::MAX), Ordering::Relaxed);
    // SAFETY: As above.
    ERRNO.store(unsafe { errno.replace(interrupted) }, Ordering::Relaxed);
    HANDLED.store(true, Ordering::Relaxed);
}

#[test]
fn a_signal_handler_that_interrupts_the_allocator_wakes_a_waiter() {
    // A handler that allocates while it interrupts the allocator of the same thread hangs, or corrupts the allocator's data.
    let words = WORDS.get_or_init(|| [word(), stranded()]);
    let waiter = thread::spawn(|| words[0].wait(0, None).expect("wait"));
    let start = Instant::now();
    while futex::requeue(&words[0], &words[0], Scope::Shared, 0, u32::MAX).expect("requeue") == 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "the waiter is not there yet");
        thread::yield_now();
    }
    // SAFETY: All zeroes is a valid `sigaction` with an empty mask and no flags.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = wake as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: The action is valid. The handler loads and stores atomics and cells that have no destructor, and wakes.
    assert_eq!(unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) }, 0);

    INTERRUPT.set(true);
    drop(black_box(Box::new(1_u8)));

    assert!(HANDLED.load(Ordering::Relaxed), "no signal was handled");
    assert_eq!([0, 1].map(|index: usize| WOKEN[index].load(Ordering::Relaxed)), [1, 0]);
    assert_eq!(waiter.join().unwrap(), WaitOutcome::Woken);
    assert_eq!(CALLS_OF_HANDLER.load(Ordering::Relaxed), 0, "calls of the allocator");
    // The processors for which rustix makes raw system calls.
    if cfg!(any(
        target_arch = "x86",
        target_arch = "x86_64",
        target_arch = "arm",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )) {
        assert_eq!(ERRNO.load(Ordering::Relaxed), ERRNO_BEFORE, "a wake that failed set errno");
    }
}
