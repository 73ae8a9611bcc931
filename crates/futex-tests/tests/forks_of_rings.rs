//! A child of `fork` that drops its parent's reactor keeps none of its descriptors.
#![expect(unsafe_code, reason = "fork, waitpid and _exit")]

use futex_core::{Backend, Waiter, Word};
use futex_tests::holdings::rings;
use futex_tests::load::{reactor_on, zero};
use libc::{_exit, fork, waitpid};
use std::task::{Context, Waker};

/// The shards and the pool of an engine have references to each other, and only the process that made the engine removed them. So
/// a child that dropped its parent's reactor kept all rings, which are up to a quarter of the descriptors that it may have.
#[test]
fn a_fork_that_drops_its_parents_reactor_closes_its_descriptors_of_the_rings() {
    let Some(reactor) = reactor_on(Backend::Uring) else { return };
    let mut waits: Vec<(Word, Waiter)> = (0..1000).map(|_| (zero(), Waiter::new())).collect();
    for (word, waiter) in &mut waits {
        assert!(waiter.poll_wait(&reactor, word, 0, &mut Context::from_waker(Waker::noop())).is_pending());
    }
    let before = rings().len();
    assert!(before >= 10);
    // SAFETY: The child must not need a lock that another thread holds. It uses none, and ends by `_exit`.
    match unsafe { fork() } {
        -1 => panic!("{}", std::io::Error::last_os_error()),
        0 => {
            drop(waits);
            drop(reactor);
            // SAFETY: `_exit` is safe to call. It ends only the child.
            unsafe { _exit(rings().len() as i32) }
        }
        child => {
            let mut status = 0;
            // SAFETY: `status` is valid for the write.
            assert_eq!(unsafe { waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status >> 8, 0, "number of rings that the child has kept, of {before}");
            assert_eq!(word_wakes(&waits), waits.len(), "a wait of the parent has ended");
        }
    }
}

fn word_wakes(waits: &[(Word, Waiter)]) -> usize {
    waits.iter().filter(|(word, _)| word.wake(1) == 1).count()
}
