//! Which thread of `Waitv` gets a wait. A wake of a wait takes the others of its thread out of the kernel's queue for a moment,
//! so waits on one word are kept apart while there are few threads. Waits on different words share threads.
#![cfg(not(loom))]

mod common;

use common::{reactor, word};
use futex_core::{BackendKind, Reactor, Waiter, Word};
use futex_sys::SharedMemory;
use std::os::fd::AsFd as _;
use std::task::{Context, Waker};

/// Number of threads that are started to keep waits on one word apart.
const SPREAD: usize = 16;

fn armed(reactor: &Reactor, word: &Word) -> Waiter {
    let mut waiter = Waiter::new();
    assert!(waiter.poll_wait(reactor, word, 0, &mut Context::from_waker(Waker::noop())).is_pending());
    waiter
}

#[test]
fn waits_on_one_word_have_threads_of_their_own_while_there_are_few() {
    let Some(reactor) = reactor(BackendKind::Waitv) else { return };
    let (word, other) = (word(), word());
    let mut waiters = Vec::new();
    for count in 1..=3 * SPREAD {
        waiters.push(armed(&reactor, &word));
        assert_eq!(reactor.stats().units, count.min(SPREAD));
        // One on another word goes to a thread that is there, as long as one has none.
        if count <= SPREAD {
            waiters.push(armed(&reactor, &other));
            assert_eq!(reactor.stats().units, count);
        }
    }
}

#[test]
fn a_wait_on_the_other_mapping_of_a_word_goes_to_a_thread_of_its_own_if_there_are_few() {
    let Some(reactor) = reactor(BackendKind::Waitv) else { return };
    let memory = SharedMemory::anonymous(4096).expect("memory");
    let again = SharedMemory::from_fd(memory.as_fd().try_clone_to_owned().expect("dup")).expect("memory");
    let words = [&memory, &again].map(|memory| memory.word(0).expect("a word"));
    let _waiters = words.each_ref().map(|word| armed(&reactor, word));
    assert_eq!(reactor.stats().units, 2);
}
