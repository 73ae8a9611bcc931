//! A reactor keeps little memory after very many waits at one time.

use futex_core::{Backend, Waiter};
use futex_tests::allocator::{Counting, live};
use futex_tests::holdings::until_within;
use futex_tests::load::{reactor_on, zero};
use std::task::{Context, Waker};
use std::time::Duration;

#[global_allocator]
static COUNTING: Counting = Counting;

/// `Waitv` and `Thread` have one queue, which is not closed when it is empty. Its slots were kept: 50 bytes for each slot of the
/// largest number of waits at one time, so 50 MiB for a million waits.
#[test]
fn a_reactor_keeps_little_memory_after_many_waits_at_one_time() {
    const MOST: usize = 512 * 1024;
    for (kind, number) in [(Backend::Uring, 50_000), (Backend::Waitv, 50_000)] {
        let Some(reactor) = reactor_on(kind) else { continue };
        let word = zero();
        let mut waits: Vec<_> = (0..number).map(|_| Waiter::new()).collect();
        let before = live();
        for wait in &mut waits {
            let _ = wait.poll_wait(&reactor, &word, 0, &mut Context::from_waker(Waker::noop()));
        }
        waits.iter_mut().for_each(Waiter::cancel);
        until_within(Duration::from_secs(10), || kind == Backend::Uring || reactor.stats().units == 0);
        let kept = live().saturating_sub(before);
        assert!(kept <= MOST, "{kind} keeps {kept} bytes for {number} waits");
    }
}
