//! Each wait counts in exactly one figure of the statistics, and in the right one, on each backend.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "a waker that runs code when it is cloned")]

mod common;

use common::{Flag, reactors, stats, until, until_waiting, word};
use futex_core::{Backend, Outcome, Reactor, SharedMemory, Stats, Target, WaitAny, Waiter, Word};
use std::fs::File;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

/// Returns the figures of the equation, in its order.
fn figures(reactor: &Reactor) -> [u64; 7] {
    let Stats { armed, armed_now, woken, mismatched, cancelled, failed, closed, .. } = stats(reactor);
    [armed, armed_now as u64, woken, mismatched, cancelled, failed, closed]
}

fn poll(reactor: &Reactor, word: &Word, waiter: &mut Waiter, waker: &Waker) -> Poll<io::Result<Outcome>> {
    waiter.poll_wait(reactor, word, 0, &mut Context::from_waker(waker))
}

fn armed(reactor: &Reactor, word: &Word) -> Waiter {
    let mut waiter = Waiter::new();
    assert!(poll(reactor, word, &mut waiter, Waker::noop()).is_pending());
    until_waiting(word, 1);
    waiter
}

/// Wakes a wait. Repeats the wake if the thread is parking anew.
fn wake(word: &Word) {
    until("the kernel counts a wake", || word.wake_one());
}

/// Turns until no wait is armed.
fn until_over(reactor: &Reactor) {
    until("no wait is armed", || {
        reactor.turn();
        stats(reactor).armed_now == 0
    });
}

/// Polls until a wait ends.
fn end(reactor: &Reactor, word: &Word, waiter: &mut Waiter) -> io::Result<Outcome> {
    let mut ended = None;
    until("the wait ends", || {
        reactor.turn();
        match poll(reactor, word, waiter, Waker::noop()) {
            Poll::Pending => false,
            Poll::Ready(outcome) => {
                ended = Some(outcome);
                true
            }
        }
    });
    ended.expect("the wait has ended")
}

/// A waker that calls a function when it is cloned: after the first poll has loaded the word, and before the wait is armed.
struct OnClone<'a>(&'a dyn Fn());

impl OnClone<'_> {
    /// Calls `body` with the waker.
    fn with<T>(&self, body: impl FnOnce(&Waker) -> T) -> T {
        unsafe fn clone(data: *const ()) -> RawWaker {
            // SAFETY: `data` comes from the waker below, which outlives this call. Clones have another table and a null pointer.
            let this = unsafe { &*data.cast::<OnClone<'_>>() };
            this.0();
            RawWaker::new(std::ptr::null(), Waker::noop().vtable())
        }
        unsafe fn nothing(_: *const ()) {}
        static TABLE: RawWakerVTable = RawWakerVTable::new(clone, nothing, nothing, nothing);
        // SAFETY: The functions fulfil the contract of `RawWakerVTable`: only `clone` uses `data`, which is valid as long as this
        // waker, because the waker is dropped before `self`'s borrow ends. `body` runs on this thread and gets only a reference.
        body(&unsafe { Waker::from_raw(RawWaker::new(std::ptr::from_ref(self).cast(), &TABLE)) })
    }
}

/// Makes a word in a file that can be truncated.
#[expect(clippy::unwrap_used, reason = "a test fails by a panic")]
fn word_of_a_file() -> (Word, File) {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("futex-core-figures-{}-{number}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file.set_len(4096).unwrap();
    (SharedMemory::from_fd(file.try_clone().unwrap().into()).unwrap().word(0).unwrap(), file)
}

#[test]
fn a_wait_counts_as_woken_once_and_before_its_owner_polls() {
    for reactor in reactors() {
        let word = word();
        let mut waiter = armed(&reactor, &word);
        assert_eq!(figures(&reactor), [1, 1, 0, 0, 0, 0, 0]);
        wake(&word);
        until_over(&reactor);
        assert_eq!(figures(&reactor), [1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(end(&reactor, &word, &mut waiter).unwrap(), Outcome::Woken);
        drop(waiter);
        assert_eq!(figures(&reactor), [1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(reactor.stats().handed_on, 0);
    }
}

#[test]
fn a_woken_wait_whose_owner_leaves_counts_as_woken_and_as_handed_on() {
    for reactor in reactors() {
        let word = word();
        let waiter = armed(&reactor, &word);
        wake(&word);
        until_over(&reactor);
        drop(waiter);
        assert_eq!(figures(&reactor), [1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(reactor.stats().handed_on, 1);
    }
}

/// Nobody turns the reactor before the owner leaves. A ring reports that the wait was woken. A thread that is returning with the
/// wake has not reported it yet; the wait counts as cancelled, and the thread hands the wake on.
#[test]
fn a_wait_whose_owner_leaves_during_its_wake_counts_in_one_figure() {
    for reactor in reactors() {
        let word = word();
        let waiter = armed(&reactor, &word);
        wake(&word);
        drop(waiter);
        let [armed, armed_now, woken, mismatched, cancelled, failed, closed] = figures(&reactor);
        assert_eq!([armed, armed_now, mismatched, failed, closed], [1, 0, 0, 0, 0]);
        assert_eq!(woken + cancelled, 1);
        assert!(woken == 1 || reactor.backend() != Backend::Uring);
        until("the wake is handed on", || {
            reactor.turn();
            reactor.stats().handed_on == 1
        });
        assert_eq!(figures(&reactor)[0], 1);
    }
}

#[test]
fn a_wait_whose_word_differs_at_the_first_poll_counts_in_no_figure() {
    for reactor in reactors() {
        let word = word();
        word.store(1, Ordering::Release);
        assert!(matches!(poll(&reactor, &word, &mut Waiter::new(), Waker::noop()), Poll::Ready(Ok(Outcome::Mismatch))));
        assert_eq!(figures(&reactor), [0; 7]);
    }
}

#[test]
fn a_wait_whose_word_changes_before_the_kernel_compares_counts_as_mismatched() {
    for reactor in reactors() {
        let word = word();
        let change = || word.store(1, Ordering::Release);
        let mut waiter = Waiter::new();
        let polled = OnClone(&change).with(|waker| poll(&reactor, &word, &mut waiter, waker));
        if let Poll::Ready(outcome) = polled {
            assert_eq!(outcome.unwrap(), Outcome::Mismatch);
        } else {
            until_over(&reactor);
            assert_eq!(figures(&reactor), [1, 0, 0, 1, 0, 0, 0]);
            assert_eq!(end(&reactor, &word, &mut waiter).unwrap(), Outcome::Mismatch);
        }
        assert_eq!(figures(&reactor), [1, 0, 0, 1, 0, 0, 0]);
    }
}

#[test]
fn a_wait_whose_page_is_gone_counts_as_failed_even_if_its_owner_does_not_poll() {
    for reactor in reactors() {
        for is_seen in [true, false] {
            let (word, file) = word_of_a_file();
            let truncate = || file.set_len(0).unwrap();
            let mut waiter = Waiter::new();
            let before = figures(&reactor);
            let polled = OnClone(&truncate).with(|waker| poll(&reactor, &word, &mut waiter, waker));
            until_over(&reactor);
            let mut expected = before;
            expected[0] += 1;
            expected[5] += 1;
            assert_eq!(figures(&reactor), expected);
            if is_seen {
                let error = match polled {
                    Poll::Ready(outcome) => outcome.unwrap_err(),
                    Poll::Pending => end(&reactor, &word, &mut waiter).unwrap_err(),
                };
                assert!(error.to_string().starts_with("cannot wait on a futex word: "), "{error}");
                assert!(error.to_string().ends_with("Bad address (os error 14)"), "{error}");
            }
            drop(waiter);
            assert_eq!(figures(&reactor), expected);
        }
    }
}

#[test]
fn a_wait_whose_owner_leaves_first_counts_as_cancelled() {
    for reactor in reactors() {
        let word = word();
        let mut waiter = armed(&reactor, &word);
        waiter.cancel();
        assert_eq!(figures(&reactor), [1, 0, 0, 0, 1, 0, 0]);
        waiter.cancel();
        drop(waiter);
        reactor.turn();
        reactor.close();
        assert_eq!(figures(&reactor), [1, 0, 0, 0, 1, 0, 0]);
        word.wake_all(); // frees the thread that was left behind
    }
}

#[test]
fn a_wait_counts_as_closed_if_its_reactor_is_closed_before_it_ends() {
    for reactor in reactors() {
        let [waiting, over, left] = [word(), word(), word()];
        let mut over_waiter = armed(&reactor, &over);
        wake(&over);
        until_over(&reactor);
        let (mut waiter, left_waiter) = (armed(&reactor, &waiting), armed(&reactor, &left));
        reactor.close();
        assert_eq!(figures(&reactor), [3, 0, 1, 0, 0, 0, 2]);
        assert_eq!(end(&reactor, &over, &mut over_waiter).unwrap(), Outcome::Woken);
        assert_eq!(end(&reactor, &waiting, &mut waiter).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        drop(left_waiter);
        // A wait that begins now is not armed.
        assert!(matches!(poll(&reactor, &waiting, &mut Waiter::new(), Waker::noop()), Poll::Ready(Err(_))));
        assert_eq!(figures(&reactor), [3, 0, 1, 0, 0, 0, 2]);
        assert_eq!(reactor.stats().handed_on, 0);
    }
}

#[test]
fn each_wait_of_a_wait_any_has_a_figure_of_its_own() {
    for reactor in reactors() {
        let words = [word(), word(), word()];
        let (flag, waker) = Flag::new();
        let mut any = WaitAny::new(words.iter().map(|word| Target::new(&reactor, word, 0)));
        assert!(Pin::new(&mut any).poll(&mut Context::from_waker(&waker)).is_pending());
        words.iter().for_each(|word| until_waiting(word, 1));
        assert_eq!(figures(&reactor), [3, 3, 0, 0, 0, 0, 0]);
        wake(&words[1]);
        until("the task is woken", || {
            reactor.turn();
            flag.is_set()
        });
        assert!(Pin::new(&mut any).poll(&mut Context::from_waker(&waker)).is_ready());
        let [armed, armed_now, woken, mismatched, cancelled, failed, closed] = figures(&reactor);
        assert_eq!([armed, armed_now, mismatched, failed, closed], [3, 0, 0, 0, 0]);
        // `Waitv` may also have ended the waits in front of it as woken.
        assert!(woken == 1 && cancelled == 2 || reactor.backend() == Backend::Waitv && woken <= 3);
        words.iter().for_each(|word| _ = word.wake_all());
    }
}

#[test]
fn the_waits_of_an_open_reactor_are_cancelled_if_another_reactor_of_the_wait_any_is_closed() {
    let all: Vec<_> = reactors().collect();
    for open in &all {
        let closed = common::reactor(open.backend()).expect("the backend was available before");
        closed.close();
        let words = [word(), word()];
        let mut any = WaitAny::new([Target::new(open, &words[0], 0), Target::new(&closed, &words[1], 0)]);
        let polled = Pin::new(&mut any).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(&polled, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe), "{polled:?}");
        assert_eq!(figures(&closed), [0; 7]);
        // The order in which the reactors are used is not defined.
        let [armed, armed_now, woken, mismatched, cancelled, failed, closed] = figures(open);
        assert_eq!([armed_now, woken, mismatched, failed, closed], [0; 5]);
        assert!(armed == cancelled && armed <= 1);
        words.iter().for_each(|word| _ = word.wake_all());
    }
}
