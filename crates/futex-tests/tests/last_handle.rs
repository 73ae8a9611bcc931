//! A waker, or the owner of a word, drops the last handle of a reactor, on any thread.
#![expect(unsafe_code, reason = "the memory of a word also holds a reactor")]

use futex_core::{Backend, Reactor, Waiter, Word};
use futex_tests::holdings::{backend_threads, until_within};
use futex_tests::load::{descriptors, reactor_on, zero};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

const BACKENDS: [Backend; 3] = [Backend::Uring, Backend::Waitv, Backend::Thread];
/// Time after which all threads have ended and all descriptors are closed.
const LIMIT: Duration = Duration::from_secs(10);

/// A waker that drops a reactor when it is called. If the flag is true, it closes the reactor first.
struct Last(Mutex<Option<Reactor>>, bool);

impl Wake for Last {
    fn wake(self: Arc<Self>) {
        let reactor = self.0.lock().expect("no panic").take();
        if let Some(reactor) = reactor.as_ref().filter(|_| self.1) {
            reactor.close();
        }
        drop(reactor);
    }
}

/// Memory of a word that also holds a reactor.
struct Memory(AtomicU32, #[expect(dead_code, reason = "it is dropped")] Reactor);

#[test]
fn a_reactor_whose_last_handle_a_waker_or_a_turn_drops_leaves_nothing() {
    for kind in BACKENDS {
        let before = descriptors();
        for round in 0..200 {
            let Some(reactor) = reactor_on(kind) else { continue };
            let waits = if kind == Backend::Uring { 300 } else { 5 };
            let mut all: Vec<(Word, Waiter)> = (0..waits).map(|_| (zero(), Waiter::new())).collect();
            let last = Arc::new(Last(Mutex::new(Some(reactor.clone())), round % 2 == 0));
            let waker = Waker::from(last);
            for (word, waiter) in &mut all {
                let polled = waiter.poll_wait(&reactor, word, 0, &mut Context::from_waker(&waker));
                assert!(polled.is_pending());
            }
            drop(waker);
            thread::scope(|scope| {
                let words: Vec<Word> = all.iter().map(|(word, _)| word.clone()).collect();
                let turning = reactor.clone();
                drop(reactor);
                scope.spawn(move || {
                    for word in &words {
                        word.store(1, Ordering::Release);
                        word.wake(1);
                    }
                });
                scope.spawn(move || {
                    for _ in 0..round % 50 {
                        turning.turn();
                    }
                    drop(turning);
                });
                if round % 3 == 0 {
                    drop(all);
                }
            });
        }
        until_within(LIMIT, || backend_threads() == 0);
        until_within(LIMIT, || descriptors() <= before);
        println!("{kind}: ok");
    }
}

/// A thread of the backend drops the memory of the word.
#[test]
fn the_memory_of_a_word_may_hold_the_last_handle_of_its_reactor() {
    for kind in BACKENDS {
        for round in 0..100 {
            let Some(reactor) = reactor_on(kind) else { continue };
            let memory = Arc::new(Memory(AtomicU32::new(0), reactor.clone()));
            let ptr = memory.0.as_ptr();
            // SAFETY: The pointer is that of an atomic in `memory`, which is the owner and keeps it valid.
            let word = unsafe { Word::from_ptr_with_owner(ptr, memory) };
            let mut waiter = Waiter::new();
            assert!(waiter.poll_wait(&reactor, &word, 0, &mut Context::from_waker(Waker::noop())).is_pending());
            if round % 2 == 0 {
                word.store(1, Ordering::Release);
                word.wake(1);
            }
            drop((reactor, word));
            if round % 3 == 0 {
                thread::scope(|scope| drop(scope.spawn(move || drop(waiter))));
            } else {
                drop(waiter);
            }
        }
        until_within(LIMIT, || backend_threads() == 0);
    }
}
