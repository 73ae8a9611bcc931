//! The last handle to a reactor is dropped by a waker, or by the owner of a word, on whatever thread that runs.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "memory of a word that holds more")]

mod common;

use common::{BACKENDS, reactor, until, word};
use futex_core::{BackendKind, Reactor, Waiter, Word};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;

/// Drops or closes a reactor when it is called.
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

/// Memory of a word that holds a reactor.
struct Memory(AtomicU32, #[expect(dead_code, reason = "it is dropped")] Reactor);

fn threads() -> usize {
    let names = std::fs::read_dir("/proc/self/task").expect("/proc");
    names
        .filter(|name| {
            std::fs::read_to_string(name.as_ref().expect("a thread").path().join("comm"))
                .is_ok_and(|name| name.starts_with("futex-wait"))
        })
        .count()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc").count()
}

#[test]
fn whoever_drops_the_last_handle_of_a_reactor_nothing_is_left() {
    let rounds = std::env::var("STORM_ROUNDS").ok().map_or(200, |rounds| rounds.parse().expect("a number"));
    for kind in BACKENDS {
        let before = descriptors();
        for round in 0..rounds {
            let Some(reactor) = reactor(kind) else { continue };
            let waits = if kind == BackendKind::Uring { 300 } else { 5 };
            let mut all: Vec<(Word, Waiter)> = (0..waits).map(|_| (word(), Waiter::new())).collect();
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
        until("the threads end", || threads() == 0);
        until("the descriptors are closed", || descriptors() <= before);
        println!("{kind}: ok");
    }
}

/// The memory of a word is dropped by a thread of the backend.
#[test]
fn the_memory_of_a_word_may_hold_the_last_handle_of_its_reactor() {
    for kind in BACKENDS {
        for round in 0..100 {
            let Some(reactor) = reactor(kind) else { continue };
            let memory = Arc::new(Memory(AtomicU32::new(0), reactor.clone()));
            let ptr = memory.0.as_ptr();
            // SAFETY: The owner keeps the memory.
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
        until("the threads end", || threads() == 0);
    }
}
