//! Owners of words whose `Drop` panics. If the reactor has the last handle to a word, the reactor drops the owner. The panic must
//! not affect other waits or the caller.
#![expect(unsafe_code, reason = "words whose owner the test supplies")]

use futex_core::{Outcome, Reactor, Waiter, Word};
use futex_sys::SharedMemory;
use futex_tests::load::backend;
use futex_tests::{in_its_own_process, until, until_waiters, waiters, wake_bare};
use futex_tokio::Backend;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

/// An owner that keeps the memory of a word, and panics when it is dropped.
struct Owner {
    _memory: SharedMemory,
    drops: Arc<AtomicU32>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::Relaxed);
        panic!("the owner of a word panics when it is dropped");
    }
}

/// Returns a handle to a word of `memory` whose owner panics. The owners of handles from [`SharedMemory::word`] do not panic.
fn owned(memory: &SharedMemory, offset: usize, drops: &Arc<AtomicU32>) -> Word {
    let owner = Owner { _memory: memory.clone(), drops: drops.clone() };
    let address = memory.word(offset).expect("a word").as_ptr();
    // SAFETY: The address is that of a word of `memory`, which the owner keeps mapped.
    unsafe { Word::from_ptr_with_owner(address, Arc::new(owner)) }
}

/// Arms a wait on a word and drops the handle. The wait then has the last handle with this owner.
fn arm_and_leave_the_word(reactor: &Reactor, word: Word) -> Waiter {
    let mut waiter = Waiter::new();
    assert!(poll(&mut waiter, reactor, &word).is_pending(), "a wait is over already");
    waiter
}

fn poll(waiter: &mut Waiter, reactor: &Reactor, word: &Word) -> Poll<io::Result<Outcome>> {
    waiter.poll_wait(reactor, word, 0, &mut Context::from_waker(Waker::noop()))
}

/// A reactor, which the test turns, and a word of the value 0. A wait on the word has the only handle whose owner panics.
struct Scene {
    reactor: Reactor,
    /// Handle whose owner does not panic.
    word: Word,
    waiter: Waiter,
    drops: Arc<AtomicU32>,
}

impl Scene {
    fn new() -> Self {
        let reactor = Reactor::builder().backend(backend()).build().expect("a reactor");
        let memory = SharedMemory::anonymous(4096).expect("memory");
        let drops = Arc::new(AtomicU32::new(0));
        let waiter = arm_and_leave_the_word(&reactor, owned(&memory, 0, &drops));
        let word = memory.word(0).expect("a word");
        until_waiters(&word, 1);
        Self { reactor, word, waiter, drops }
    }

    /// Arms another wait behind the first one.
    fn line_up(&self) -> Waiter {
        let waiter = arm_and_leave_the_word(&self.reactor, self.word.clone());
        until_waiters(&self.word, 2);
        waiter
    }

    /// Wakes one waiter. When this returns, the reactor knows of the wake, and the owner of the wait has not polled yet.
    fn wake_one(&self) {
        wake_bare(&self.word, 1);
        until(|| {
            self.reactor.turn();
            self.reactor.stats().woken == 1
        });
    }

    /// Waits until the owner was dropped, exactly once. A thread of a backend may keep another handle for a short time.
    fn owner_is_dropped(&self) {
        until(|| {
            self.reactor.turn();
            self.drops.load(Ordering::Relaxed) == 1
        });
    }
}

#[test]
fn a_poll_returns_the_wake_although_the_owner_of_the_word_panics() {
    let mut scene = Scene::new();
    scene.wake_one();
    let (waiter, reactor, word) = (&mut scene.waiter, &scene.reactor, &scene.word);
    match catch_unwind(AssertUnwindSafe(|| poll(waiter, reactor, word))) {
        Ok(Poll::Ready(Ok(outcome))) => assert_eq!(outcome, Outcome::Woken),
        Ok(other) => panic!("{other:?}"),
        Err(_) => panic!("the panic of a word's owner left the poll, and the wake is lost"),
    }
    scene.owner_is_dropped();
}

#[test]
fn a_wake_is_handed_on_although_the_owner_of_the_word_panics() {
    let mut scene = Scene::new();
    let mut behind = scene.line_up();
    scene.wake_one();
    let dropped = catch_unwind(AssertUnwindSafe(|| scene.waiter.cancel()));
    until(|| {
        scene.reactor.turn();
        poll(&mut behind, &scene.reactor, &scene.word).is_ready()
    });
    scene.owner_is_dropped();
    dropped.expect("the panic of a word's owner left the drop of a wait");
}

#[test]
fn a_dropped_wait_leaves_nothing_although_the_owner_of_the_word_panics() {
    let mut scene = Scene::new();
    let dropped = catch_unwind(AssertUnwindSafe(|| scene.waiter.cancel()));
    if scene.reactor.backend() == Backend::Thread {
        scene.word.wake(1); // ends the thread that is still parked
    }
    scene.owner_is_dropped();
    until_waiters(&scene.word, 0);
    dropped.expect("the panic of a word's owner left the drop of a wait");
}

/// There are 150 waits, which are more than one queue takes. Each is on a word whose owner panics.
#[test]
fn closing_ends_the_waits_of_all_queues_although_all_owners_of_words_panic() {
    in_its_own_process("closing_ends_the_waits_of_all_queues_although_all_owners_of_words_panic", || {
        const WAITS: usize = 150;
        let reactor = Reactor::builder().backend(backend()).build().expect("a reactor");
        let memory = SharedMemory::anonymous(4 * WAITS).expect("memory");
        let drops = Arc::new(AtomicU32::new(0));
        let words: Vec<_> = (0..WAITS).map(|index| memory.word(4 * index).expect("a word")).collect();
        let owned = (0..WAITS).map(|index| owned(&memory, 4 * index, &drops));
        let waits: Vec<_> = owned.map(|word| arm_and_leave_the_word(&reactor, word)).collect();
        words.iter().for_each(|word| until_waiters(word, 1));

        let closed = catch_unwind(AssertUnwindSafe(|| reactor.close()));
        for (mut waiter, word) in waits.into_iter().zip(&words) {
            let poll = catch_unwind(AssertUnwindSafe(|| poll(&mut waiter, &reactor, word)));
            assert!(matches!(poll, Ok(Poll::Ready(Err(error))) if error.kind() == io::ErrorKind::BrokenPipe));
            if reactor.backend() == Backend::Thread {
                word.wake(1); // ends the thread that is still parked
            } else {
                assert_eq!(waiters(word), 0, "a waiter was left in the kernel");
            }
        }
        until(|| drops.load(Ordering::Relaxed) == WAITS as u32);
        closed.expect("the panic of a word's owner left `close`");
    });
}
