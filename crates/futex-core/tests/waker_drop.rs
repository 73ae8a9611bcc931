//! Wakers whose `Drop` panics: the owner still gets its outcome, or the wake is handed on.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "a waker with a table of functions of its own")]

mod common;

use common::{reactors, until, until_waiting, wake_bare, word};
use futex_core::{Outcome, Reactor, Waiter, Word};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

/// The data of a waker that ends the wait while it is being cloned, so that the clone is not needed. The clone panics when it is
/// dropped.
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
    wake_bare(&hook.reactor, &hook.word);
    until("the wait has ended", || {
        hook.reactor.turn();
        hook.reactor.stats().woken > before
    });
    RawWaker::new(data, &CLONE)
}

/// Regression:
///
/// 1. A wait is armed. Its owner polls with another waker, which is cloned.
/// 2. The wait ends meanwhile, so the clone is not needed. Its `Drop` panics.
/// 3. The owner did not learn that its slot was free. When it was dropped, it cancelled another wait, which had the slot by then.
#[test]
fn an_owner_gets_its_outcome_although_the_drop_of_a_waker_panics() {
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
        assert_eq!(reactor.stats().armed_now, 1, "the other wait is not armed");
        wake_bare(&reactor, &second);
        assert!(matches!(ended, Ok(Poll::Ready(Ok(Outcome::Woken)))), "the wake was not seen");
    }
}

static PANICS: AtomicBool = AtomicBool::new(false);
static TABLE: RawWakerVTable = RawWakerVTable::new(
    |data| RawWaker::new(data, &TABLE),
    |_| {},
    |_| {},
    |_| assert!(!PANICS.load(Ordering::Relaxed), "the waker's drop"),
);

/// Regression:
///
/// 1. A wait is armed, and a wake ends it before the arming call returns.
/// 2. So the clone of the waker is not needed. Its `Drop` panics.
/// 3. The owner did not learn of the wake, and nobody handed it on.
#[test]
fn a_wake_during_arming_is_not_lost_although_the_drop_of_a_waker_panics() {
    // On the other backends the poll returns before a thread parks.
    let Some(_) = common::reactor(futex_core::Backend::Uring) else { return };
    let reactor = Reactor::builder()
        .backend(futex_core::Backend::Uring)
        .interrupting(true)
        .build()
        .expect("the backend was available before");
    let (word, over) = (word(), AtomicBool::new(false));
    // SAFETY: The functions of the table own nothing.
    let waker = unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &TABLE)) };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                word.wake(1);
            }
        });
        let (mut panicked, mut over_at_once) = (None, 0);
        let start = std::time::Instant::now();
        while panicked.is_none() && over_at_once < 10 && start.elapsed() < common::PATIENCE {
            let (mut waiter, before) = (Waiter::new(), reactor.stats());
            let mut poll = || waiter.poll_wait(&reactor, &word, 0, &mut Context::from_waker(&waker));
            PANICS.store(true, Ordering::Relaxed);
            let mut polled = catch_unwind(AssertUnwindSafe(&mut poll));
            PANICS.store(false, Ordering::Relaxed);
            over_at_once += u32::from(matches!(polled, Ok(Poll::Ready(Ok(Outcome::Woken)))));
            while let Ok(Poll::Pending) = polled {
                reactor.turn();
                polled = Ok(poll());
            }
            drop(waiter);
            if polled.is_err() {
                let stats = reactor.stats();
                panicked = Some((stats.woken - before.woken, stats.handed_on - before.handed_on));
            }
        }
        over.store(true, Ordering::Relaxed);
        match panicked {
            None => println!("{over_at_once} wakes came while a wait was armed, and were seen"),
            Some((woken, handed_on)) => {
                assert_eq!(woken, handed_on, "the poll panicked, and the wake was not handed on");
            }
        }
    });
}
