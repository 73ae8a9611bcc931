//! Owners of words whose `Drop` panics on the thread of a backend.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "words with an owner of the test's own")]

mod common;

use common::{reactors, until, until_waiting, wake_bare, word};
use futex_core::{Backend, Outcome, Waiter, Word};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};

/// An owner that keeps the memory of a word, and panics when it is dropped.
struct Owner {
    _memory: Word,
    drops: Arc<AtomicU32>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::Release);
        panic!("the owner of a word panics on purpose");
    }
}

/// Makes another handle to `word`, with an owner that panics.
fn with_owner(word: &Word, drops: &Arc<AtomicU32>) -> Word {
    let owner = Owner { _memory: word.clone(), drops: drops.clone() };
    // SAFETY: The owner has a handle to `word`, which keeps the memory valid as long as the owner lives.
    unsafe { Word::from_ptr_with_owner(word.as_ptr(), Arc::new(owner)) }
}

/// A waker that meets the test at a barrier when it begins to run, and again before it returns.
struct Meet(Barrier);

impl Wake for Meet {
    fn wake(self: Arc<Self>) {
        self.0.wait();
        self.0.wait();
    }
}

/// Regression:
///
/// 1. A wait is woken, and its waker runs on the backend's thread, which still has a handle to the word.
/// 2. Meanwhile the task polls, and drops all other handles to the word.
/// 3. The thread drops the last handle, and with it the owner of the word, whose panic ended the thread.
#[test]
fn an_owner_that_panics_when_a_thread_of_a_backend_drops_the_last_handle_does_not_end_the_thread() {
    for reactor in reactors().filter(|reactor| reactor.backend() != Backend::Uring) {
        let (drops, plain) = (Arc::new(AtomicU32::new(0)), word());
        for count in 1..=3 {
            let owned = with_owner(&plain, &drops);
            let meet = Arc::new(Meet(Barrier::new(2)));
            let waker = Waker::from(meet.clone());
            let mut waiter = Waiter::new();
            assert!(waiter.poll_wait(&reactor, &owned, 0, &mut Context::from_waker(&waker)).is_pending());
            until_waiting(&plain, 1);
            wake_bare(&reactor, &plain);
            meet.0.wait();
            let ended = waiter.poll_wait(&reactor, &owned, 0, &mut Context::from_waker(Waker::noop()));
            assert!(matches!(ended, Poll::Ready(Ok(Outcome::Woken))), "{ended:?}");
            drop(owned);
            assert_eq!(drops.load(Ordering::Acquire), count - 1, "the thread has the last handle");
            meet.0.wait();
            until("the owner is dropped", || drops.load(Ordering::Acquire) == count);
        }
        until("the idle threads end", || reactor.stats().units == 0);
    }
}
