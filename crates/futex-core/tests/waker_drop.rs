//! A waker whose `Drop` panics keeps a verdict from nobody.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "a waker with a table of functions of its own")]

mod common;

use common::{reactors, until, until_waiting, word};
use futex_core::{Outcome, Reactor, Waiter, Word};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

/// Ends the wait while it is being cloned, so that the clone is not needed any more; and the clone panics when dropped.
struct Hook {
    reactor: Reactor,
    word: Word,
}

static ORIGINAL: RawWakerVTable = RawWakerVTable::new(clone, |_| {}, |_| {}, |_| {});
static CLONE: RawWakerVTable = RawWakerVTable::new(clone, |_| {}, |_| {}, |_| panic!("the waker's drop"));

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: The test keeps the hook alive for as long as it has wakers of it.
    let hook = unsafe { &*data.cast::<Hook>() };
    let before = hook.reactor.stats().woken;
    hook.word.wake(1);
    until("the wait has ended", || {
        hook.reactor.turn();
        hook.reactor.stats().woken > before
    });
    RawWaker::new(data, &CLONE)
}

/// 1. A wait is armed. Its owner polls with another waker, which is cloned.
/// 2. The wait ends meanwhile, so the clone is not needed. Its `Drop` panics.
/// 3. The owner did not learn that its slot was free: dropping the wait took out the wait that had the slot by then.
#[test]
fn a_waker_whose_drop_panics_keeps_no_verdict_from_its_owner() {
    for reactor in reactors() {
        let (first, second) = (word(), word());
        let hook = Arc::new(Hook { reactor: reactor.clone(), word: first.clone() });
        // SAFETY: The functions of the tables own nothing.
        let waker = unsafe { Waker::from_raw(RawWaker::new(Arc::as_ptr(&hook).cast(), &ORIGINAL)) };
        let poll = |waiter: &mut Waiter, word: &Word, waker: &Waker| {
            let poll = || waiter.poll_wait(&reactor, word, 0, &mut Context::from_waker(waker));
            catch_unwind(AssertUnwindSafe(poll))
        };

        let mut waiter = Waiter::new();
        assert!(poll(&mut waiter, &first, Waker::noop()).expect("no panic").is_pending());
        until_waiting(&first, 1);
        let ended = poll(&mut waiter, &first, &waker);

        let mut other = Waiter::new();
        assert!(poll(&mut other, &second, Waker::noop()).expect("no panic").is_pending());
        until_waiting(&second, 1);
        waiter.cancel();
        assert_eq!((reactor.stats().armed_now, second.wake(1)), (1, 1), "the other wait is there");
        assert!(matches!(ended, Ok(Poll::Ready(Ok(Outcome::Woken)))), "the wake is seen");
    }
}
