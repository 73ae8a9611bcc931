//! Tests that drive the backends with parked threads directly, and their helpers. Completions are taken only by the tests
//! themselves. No helper waits for longer than [`PATIENCE`].

mod mappings;
mod masks;
mod shared_thread;
mod user_code;

use crate::backends::Turn;
use crate::backends::waitv::Waitv;
use crate::queue::{Ending, Queue};
use futex_sys::futex::{Scope, requeue};
use futex_sys::{SharedMemory, Word};
use std::num::NonZeroU32;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::thread::yield_now;
use std::time::{Duration, Instant};

/// Time after which a test fails if something has not happened.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns a turn that does nothing, because the test takes the completions itself.
pub(crate) fn no_turn() -> Turn {
    Arc::new(|| ())
}

/// Returns true if the kernel has `futex_waitv`, which is of Linux 5.16. Otherwise it is printed that a test is skipped.
pub(crate) fn has_waitv() -> bool {
    let probe = Waitv::probe();
    if let Err(error) = &probe {
        assert!(std::env::var_os("FUTEX_TESTS_FORBID_SKIPS").is_none(), "skips are forbidden: {error}");
        eprintln!("SKIPPED: {error}");
    }
    probe.is_ok()
}

/// Makes the backend `Waitv`, or returns `None` if the kernel [lacks it](has_waitv).
pub(crate) fn waitv() -> Option<Waitv> {
    has_waitv().then(|| Waitv::new(no_turn()))
}

pub(crate) fn mask(bits: u32) -> NonZeroU32 {
    NonZeroU32::new(bits).expect("a mask has a bit")
}

/// Makes a word of value 0.
pub(crate) fn word() -> Word {
    Word::from(Arc::new(AtomicU32::new(0)))
}

/// Makes a word of value 0, and returns it in two mappings.
pub(crate) fn mapped_twice() -> [Word; 2] {
    let memory = SharedMemory::anonymous(4096).expect("memory");
    let again = SharedMemory::from_fd(memory.as_fd().try_clone_to_owned().expect("dup")).expect("memory");
    [&memory, &again].map(|memory| memory.word(0).expect("a word"))
}

/// Waits, yielding the processor, until `so` returns true.
#[track_caller]
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < PATIENCE, "not in {PATIENCE:?}: {what}");
        yield_now();
    }
}

/// Returns the number of waiters that the kernel has for `word`.
pub(crate) fn waiters(word: &Word) -> u32 {
    word.waiters().expect("the word is mapped")
}

#[track_caller]
pub(crate) fn until_waiting(word: &Word, count: u32) {
    until(&format!("{count} waiters in the kernel"), || waiters(word) == count);
}

/// Arms a wait while `word` is 0.
pub(crate) fn arm(backend: &mut impl Queue<Word>, slot: u32, word: &Word, mask: NonZeroU32) {
    assert_eq!(backend.arm(slot, word.clone(), 0, mask).expect("a thread for the wait"), slot);
    assert!(backend.submit().expect("a thread is called"));
}

/// Waits until the next wait ends, asserts that it was woken, and returns its slot.
#[track_caller]
pub(crate) fn next_woken(backend: &mut impl Queue<Word>) -> u32 {
    let mut completion = None;
    until("a wait ends", || {
        completion = backend.reap();
        completion.is_some()
    });
    let completion = completion.expect("a wait has ended");
    assert!(matches!(completion.ending, Ending::Woken), "{completion:?}");
    completion.slot.expect("the completion has a slot")
}

/// A guard that has moved the waiters of a word to another word. As long as it lives, no wake of the first word finds them, as if
/// their threads were not parked yet.
pub(crate) struct Away<'a> {
    word: &'a Word,
    elsewhere: Word,
}

impl<'a> Away<'a> {
    /// Moves `count` waiters away as soon as the kernel has that number.
    #[track_caller]
    pub(crate) fn take(word: &'a Word, count: u32) -> Self {
        until_waiting(word, count);
        let away = Self { word, elsewhere: self::word() };
        assert_eq!(requeue(word, &away.elsewhere, Scope::Shared, 0, u32::MAX).expect("both words are mapped"), count);
        away
    }
}

impl Drop for Away<'_> {
    /// Moves back the waiters that are still in the kernel.
    fn drop(&mut self) {
        requeue(&self.elsewhere, self.word, Scope::Shared, 0, u32::MAX).expect("both words are mapped");
    }
}
