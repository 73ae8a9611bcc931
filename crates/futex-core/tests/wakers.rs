//! Wakers whose every function calls the reactor: it calls, clones and drops none under a lock.
//!
//! The models have wakers that are safe code, which notice the last drop only.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "a waker with a table of functions of its own")]

mod common;

use common::{PATIENCE, reactors, until, until_waiting, wake_bare, word};
use futex_core::{Backend, Reactor, Waiter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::task::{Context, RawWaker, RawWakerVTable, Waker};
use std::thread;

struct Hook {
    reactor: Reactor,
    calls: AtomicU32,
}

impl Hook {
    /// Takes each lock of the reactor, that of the list of queues as well where it is closed already.
    fn call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let _ = self.reactor.stats();
        if self.reactor.is_closed() {
            self.reactor.close();
        }
        self.reactor.turn();
    }

    fn waker(self: &Arc<Self>) -> Waker {
        // SAFETY: The functions of the table keep the contract of `RawWakerVTable`: each waker owns one count of the `Arc`,
        // and `Hook` is `Send` and `Sync`.
        unsafe { Waker::from_raw(raw(self.clone())) }
    }
}

fn raw(hook: Arc<Hook>) -> RawWaker {
    static TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, forget);
    RawWaker::new(Arc::into_raw(hook).cast(), &TABLE)
}

unsafe fn clone(data: *const ()) -> RawWaker {
    let hook = data.cast::<Hook>();
    // SAFETY: `data` is of `Arc::into_raw`, and the waker that is cloned owns a count.
    let hook = unsafe {
        Arc::increment_strong_count(hook);
        Arc::from_raw(hook)
    };
    hook.call();
    raw(hook)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: `data` is of `Arc::into_raw`, and the waker that is consumed owns the count.
    let hook = unsafe { Arc::from_raw(data.cast::<Hook>()) };
    hook.call();
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: `data` is of `Arc::into_raw`, and the waker owns a count.
    let hook = unsafe { &*data.cast::<Hook>() };
    hook.call();
}

unsafe fn forget(data: *const ()) {
    // SAFETY: As for `wake`.
    unsafe { wake(data) }
}

/// Runs `body` and fails if it hangs.
fn without_a_deadlock(body: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let thread = thread::spawn(move || {
        body();
        let _ = done.send(());
    });
    if let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(PATIENCE) {
        panic!("a waker was called, cloned or dropped under a lock");
    }
    thread.join().expect("the test does not panic");
}

#[test]
fn wakers_may_call_the_reactor_when_they_are_cloned_called_or_dropped() {
    for reactor in reactors() {
        without_a_deadlock(move || {
            let word = word();
            let hook = Arc::new(Hook { reactor: reactor.clone(), calls: AtomicU32::new(0) });
            let (first, second) = (hook.waker(), hook.waker());
            let other = Arc::new(Hook { reactor: reactor.clone(), calls: AtomicU32::new(0) });
            let third = other.waker();
            let poll = |waiter: &mut Waiter, waker: &Waker| {
                waiter.poll_wait(&reactor, &word, 0, &mut Context::from_waker(waker))
            };

            // Armed, replaced, and woken.
            let mut waiter = Waiter::new();
            for waker in [&first, &second, &third, &first] {
                assert!(poll(&mut waiter, waker).is_pending());
            }
            until_waiting(&word, 1);
            wake_bare(&reactor, &word);
            until("it is woken", || {
                reactor.turn();
                poll(&mut waiter, &first).is_ready()
            });

            // Dropped.
            assert!(poll(&mut waiter, &first).is_pending());
            waiter.cancel();

            // Closed, and polled after that.
            assert!(poll(&mut waiter, &third).is_pending());
            reactor.close();
            for _ in 0..2 {
                assert!(matches!(poll(&mut waiter, &first), std::task::Poll::Ready(Err(_))));
            }
            if reactor.backend() == Backend::Thread {
                word.wake(u32::MAX);
            }
            assert!(hook.calls.load(Ordering::Relaxed) > 4 && other.calls.load(Ordering::Relaxed) > 2);
        });
    }
}

#[test]
fn an_arming_on_a_closed_reactor_drops_its_waker_without_a_lock() {
    for reactor in reactors() {
        without_a_deadlock(move || {
            reactor.close();
            let hook = Arc::new(Hook { reactor: reactor.clone(), calls: AtomicU32::new(0) });
            let waker = hook.waker();
            let poll = Waiter::new().poll_wait(&reactor, &word(), 0, &mut Context::from_waker(&waker));
            assert!(matches!(poll, std::task::Poll::Ready(Err(_))));
            assert!(hook.calls.load(Ordering::Relaxed) >= 2, "it was cloned, and the clone dropped");
        });
    }
}
