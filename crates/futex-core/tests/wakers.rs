//! Wakers whose functions all call the reactor, so that a waker which is called, cloned or dropped under a lock deadlocks.
//!
//! (The wakers of the models are safe code, so they notice only calls and the last drop.)
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
    /// Takes each lock of the reactor. If the reactor is closed, takes the lock of the list of queues for writing too.
    fn call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let _ = self.reactor.stats();
        if self.reactor.is_closed() {
            self.reactor.close();
        }
        self.reactor.turn();
    }

    fn waker(self: &Arc<Self>) -> Waker {
        // SAFETY: The functions of the table fulfil the contract of `RawWakerVTable`: each waker owns one count of the `Arc`,
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
    // SAFETY: `data` comes from `Arc::into_raw`, and the waker that is cloned owns a count.
    let hook = unsafe {
        Arc::increment_strong_count(hook);
        Arc::from_raw(hook)
    };
    hook.call();
    raw(hook)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: `data` comes from `Arc::into_raw`, and the waker that is consumed owns a count.
    let hook = unsafe { Arc::from_raw(data.cast::<Hook>()) };
    hook.call();
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: `data` comes from `Arc::into_raw`, and the waker owns a count as long as this call lasts.
    let hook = unsafe { &*data.cast::<Hook>() };
    hook.call();
}

unsafe fn forget(data: *const ()) {
    // SAFETY: The contract of `forget` is the one of `wake`: the waker is consumed.
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
            until("the wait ends", || {
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
            assert!(hook.calls.load(Ordering::Relaxed) >= 2, "the waker was not cloned, or the clone was not dropped");
        });
    }
}
