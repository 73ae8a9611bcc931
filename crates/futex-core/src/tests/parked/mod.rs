//! The backends that park threads, each driven directly: no turn comes but those that a test makes. And what these tests share;
//! nothing of it waits for longer than [`PATIENCE`].

mod mappings;
mod masks;
mod shared_thread;
mod user_code;

use crate::backends::Turn;
use crate::queue::{Ending, Queue};
use futex_sys::futex::{Scope, requeue};
use futex_sys::{SharedMemory, Word};
use std::num::NonZeroU32;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::thread::yield_now;
use std::time::{Duration, Instant};

/// After this long something that must happen has not happened.
const PATIENCE: Duration = Duration::from_secs(20);

/// A turn that does nothing: the test takes the completions itself.
pub(crate) fn no_turn() -> Turn {
    Arc::new(|| ())
}

pub(crate) fn mask(bits: u32) -> NonZeroU32 {
    NonZeroU32::new(bits).expect("a mask has a bit")
}

/// A word of value 0.
pub(crate) fn word() -> Word {
    Word::from(Arc::new(AtomicU32::new(0)))
}

/// One word of value 0, in two mappings.
pub(crate) fn mapped_twice() -> [Word; 2] {
    let memory = SharedMemory::anonymous(4096).expect("memory");
    let again = SharedMemory::from_fd(memory.as_fd().try_clone_to_owned().expect("dup")).expect("memory");
    [&memory, &again].map(|memory| memory.word(0).expect("a word"))
}

/// Waits until something is so, and yields the processor in between.
#[track_caller]
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < PATIENCE, "not in {PATIENCE:?}: {what}");
        yield_now();
    }
}

/// [`Word::waiters`] of a word that is mapped.
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

/// The slot of the wait that ends next, which is woken.
#[track_caller]
pub(crate) fn next_woken(backend: &mut impl Queue<Word>) -> u32 {
    let mut completion = None;
    until("a wait ends", || {
        completion = backend.reap();
        completion.is_some()
    });
    let completion = completion.expect("it has ended");
    assert!(matches!(completion.ending, Ending::Woken), "{completion:?}");
    completion.slot.expect("it is of a wait")
}

/// The waiters of a word, which are those of another word as long as this lives. A wake finds none of them, as if their threads
/// were still on their way.
pub(crate) struct Away<'a> {
    word: &'a Word,
    elsewhere: Word,
}

impl<'a> Away<'a> {
    /// Takes `count` waiters away, once the kernel has that number.
    #[track_caller]
    pub(crate) fn take(word: &'a Word, count: u32) -> Self {
        until_waiting(word, count);
        let away = Self { word, elsewhere: self::word() };
        assert_eq!(requeue(word, &away.elsewhere, Scope::Shared, 0, u32::MAX).expect("both are mapped"), count);
        away
    }
}

impl Drop for Away<'_> {
    /// Brings those back that have not left the kernel.
    fn drop(&mut self) {
        requeue(&self.elsewhere, self.word, Scope::Shared, 0, u32::MAX).expect("both are mapped");
    }
}
