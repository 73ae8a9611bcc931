//! The behaviour of the reactor on each backend.
#![cfg(not(loom))]

mod common;

use common::{Flag, reactors, until, until_waiting, waiters, wake_bare, word};
use futex_core::{Backend, Outcome, Reactor, SharedMemory, Waiter, Word};
use std::io::ErrorKind;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

fn poll(reactor: &Reactor, word: &Word, waiter: &mut Waiter) -> Poll<std::io::Result<Outcome>> {
    waiter.poll_wait(reactor, word, 0, &mut Context::from_waker(Waker::noop()))
}

fn armed(reactor: &Reactor, word: &Word) -> Waiter {
    let mut waiter = Waiter::new();
    assert!(poll(reactor, word, &mut waiter).is_pending());
    waiter
}

/// Turns until a wait has ended.
fn end(reactor: &Reactor, word: &Word, waiter: &mut Waiter) -> std::io::Result<Outcome> {
    let mut ended = None;
    until("the wait ends", || {
        reactor.turn();
        if let Poll::Ready(outcome) = poll(reactor, word, waiter) {
            ended = Some(outcome);
        }
        ended.is_some()
    });
    ended.expect("the wait has ended")
}

#[test]
fn turns_of_several_threads_wake_each_task_once() {
    for reactor in reactors() {
        let words: Vec<Word> = (0..50).map(|_| word()).collect();
        let mut waits = Vec::new();
        for word in &words {
            let (flag, waker) = Flag::new();
            let mut waiter = Waiter::new();
            assert!(waiter.poll_wait(&reactor, word, 0, &mut Context::from_waker(&waker)).is_pending());
            waits.push((flag, waiter));
        }
        words.iter().for_each(|word| until_waiting(word, 1));
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        reactor.turn();
                        thread::yield_now();
                    }
                });
            }
            for word in &words {
                word.store(1, Ordering::Release);
                word.wake(1);
            }
            until("all tasks are woken", || waits.iter().all(|(flag, _)| flag.is_set()));
            stop.store(true, Ordering::Relaxed);
        });
        for ((_, waiter), word) in waits.iter_mut().zip(&words) {
            assert!(matches!(poll(&reactor, word, waiter), Poll::Ready(Ok(_))));
        }
        let stats = reactor.stats();
        assert_eq!((stats.armed_now, stats.armed, stats.woken + stats.mismatched), (0, 50, 50), "{stats:?}");
    }
}

#[test]
fn closing_leaves_no_waiter_in_the_kernel() {
    for reactor in reactors() {
        let word = word();
        let mut waits: Vec<Waiter> = (0..20).map(|_| armed(&reactor, &word)).collect();
        until_waiting(&word, 20);
        reactor.close();
        assert!(reactor.is_closed());
        // `Thread` leaves its threads parked for a while.
        let left = if reactor.backend() == Backend::Thread { 20 } else { 0 };
        assert!(word.wake(u32::MAX) <= left, "{reactor:?}");
        until_waiting(&word, 0);
        for waiter in &mut waits {
            let error = end(&reactor, &word, waiter).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            assert_eq!(
                error.to_string(),
                "the futex reactor was closed, or its runtime has shut down: wait with another reactor"
            );
            // A wait that begins after closing gets the same error.
            assert_eq!(end(&reactor, &word, waiter).unwrap_err().kind(), ErrorKind::BrokenPipe);
        }
        let stats = reactor.stats();
        assert_eq!((stats.armed_now, stats.units), (0, 0), "{stats:?}");
        // If the word differs, the result does not depend on the kernel.
        word.store(1, Ordering::Release);
        assert_eq!(end(&reactor, &word, &mut Waiter::new()).unwrap(), Outcome::Mismatch);
    }
}

#[test]
fn a_waiter_is_used_again() {
    for reactor in reactors() {
        let word = word();
        let mut waiter = Waiter::new();
        for _ in 0..20 {
            assert!(poll(&reactor, &word, &mut waiter).is_pending());
            assert!(waiter.is_armed());
            until_waiting(&word, 1);
            wake_bare(&reactor, &word);
            assert_eq!(end(&reactor, &word, &mut waiter).unwrap(), Outcome::Woken);
            assert!(!waiter.is_armed());
            word.store(1, Ordering::Release);
            assert_eq!(end(&reactor, &word, &mut waiter).unwrap(), Outcome::Mismatch);
            word.store(0, Ordering::Release);
            assert!(poll(&reactor, &word, &mut waiter).is_pending());
            waiter.cancel();
            assert!(!waiter.is_armed());
            if reactor.backend() == Backend::Thread {
                assert_eq!(waiters(&word).max(1), 1, "a second thread is parked");
            } else {
                until_waiting(&word, 0);
            }
        }
        word.wake(u32::MAX);
    }
}

#[test]
fn the_statistics_add_up() {
    for reactor in reactors() {
        let (word, other) = (word(), word());
        let mut woken = armed(&reactor, &word);
        until_waiting(&word, 1);
        wake_bare(&reactor, &word);
        assert_eq!(end(&reactor, &word, &mut woken).unwrap(), Outcome::Woken);

        let staying = armed(&reactor, &other);
        let leaving = armed(&reactor, &word);
        until_waiting(&word, 1);
        drop(leaving);
        reactor.turn();
        let stats = reactor.stats();
        assert_eq!((stats.armed_now, stats.armed, stats.woken), (1, 3, 1), "{stats:?}");
        assert_eq!((stats.cancelled, stats.mismatched, stats.handed_on), (1, 0, 0), "{stats:?}");
        assert!(stats.units >= 1, "{stats:?}");
        drop(staying);
        reactor.turn();
        assert_eq!(reactor.stats().armed_now, 0);
        word.wake(u32::MAX);
        other.wake(u32::MAX);
    }
}

#[test]
fn each_of_five_thousand_waits_is_woken_by_its_own_word() {
    for reactor in reactors() {
        let number = match reactor.backend() {
            Backend::Thread => 100, // one thread per wait
            _ => 5000,
        };
        let words: Vec<Word> = (0..number).map(|_| word()).collect();
        let mut waits: Vec<Waiter> = words.iter().map(|word| armed(&reactor, word)).collect();
        let stats = reactor.stats();
        match reactor.backend() {
            Backend::Uring => assert_eq!(stats.units, 53), // 96 waits per ring
            Backend::Waitv => assert_eq!(stats.units, 40), // 127 waits per thread
            _ => assert_eq!(stats.units, 100),
        }
        assert_eq!(stats.armed_now, number);
        for (index, word) in words.iter().enumerate() {
            word.store(index as u32 + 1, Ordering::Release);
            word.wake(1);
        }
        for (waiter, word) in waits.iter_mut().zip(&words) {
            end(&reactor, word, waiter).unwrap();
        }
        assert_eq!(reactor.stats().armed_now, 0);
    }
}

/// If two waits on one word share a thread, a wake of one takes the other out of the kernel's queue and puts it back at the end.
#[test]
fn waits_on_one_word_are_kept_apart_on_sixteen_threads_of_waitv() {
    let Some(reactor) = common::reactor(Backend::Waitv) else { return };
    let memory = SharedMemory::anonymous(4096).unwrap();
    let again = SharedMemory::from_fd(memory.as_fd().try_clone_to_owned().unwrap()).unwrap();
    let words = [&memory, &again].map(|memory| memory.word(0).unwrap());
    let units = || reactor.stats().units;
    // Both mappings have the same word.
    let mut waits: Vec<Waiter> = Vec::new();
    for number in 1..=16 {
        waits.push(armed(&reactor, &words[number % 2]));
        assert_eq!(units(), number);
    }
    // The threads have room for more waits on this word and on others.
    waits.extend((0..16).map(|_| armed(&reactor, &words[0])));
    let others: Vec<(Word, Waiter)> =
        (0..16 * 125).map(|_| word()).map(|word| (word.clone(), armed(&reactor, &word))).collect();
    assert_eq!(units(), 16);
    until_waiting(&words[0], 32);
    others.iter().for_each(|(word, _)| until_waiting(word, 1));
    // The next wait needs another thread.
    let _more = armed(&reactor, &words[0]);
    assert_eq!(units(), 17);
}

#[test]
fn five_thousand_waits_that_are_dropped_leave_nothing() {
    for reactor in reactors().filter(|reactor| reactor.backend() != Backend::Thread) {
        let word = word();
        let waits: Vec<Waiter> = (0..5000).map(|_| armed(&reactor, &word)).collect();
        drop(waits);
        reactor.turn();
        assert_eq!(reactor.stats().armed_now, 0);
        until_waiting(&word, 0);
    }
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("this waker panics on purpose");
    }
}

/// Regression: two panics in one batch of wakers ended the process, and one panic kept the turn from visiting further rings.
#[test]
fn wakers_that_panic_do_not_keep_a_turn_from_other_rings_or_tasks() {
    let Some(reactor) = common::reactor(Backend::Uring) else { return };
    let words: Vec<Word> = (0..2_000).map(|_| word()).collect(); // 21 rings
    let panics = Waker::from(Arc::new(Panics));
    let (flags, wakers): (Vec<_>, Vec<_>) = (0..words.len()).map(|_| Flag::new()).unzip();
    let mut waits = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let mut waiter = Waiter::new();
        let waker = if index % 3 == 0 { &panics } else { &wakers[index] };
        assert!(waiter.poll_wait(&reactor, word, 0, &mut Context::from_waker(waker)).is_pending());
        waits.push(waiter);
    }
    words.iter().for_each(|word| assert_eq!(word.wake(1), 1));
    until("each task was woken", || {
        reactor.turn();
        flags.iter().enumerate().all(|(index, flag)| index % 3 == 0 || flag.is_set())
    });
    for (word, waiter) in words.iter().zip(&mut waits) {
        assert!(poll(&reactor, word, waiter).is_ready());
    }
}

/// Regression:
///
/// 1. The wait of a task whose waker panics is woken, and nobody turns.
/// 2. Another wait is armed, and the arming takes the completion of the first wait.
/// 3. The panic left the second wait in the kernel without an owner, and this wait swallowed a wake.
#[test]
fn a_waker_that_panics_in_the_poll_that_arms_another_wait_does_not_harm_that_wait() {
    for reactor in reactors() {
        let (first, second) = (word(), word());
        let panics = Waker::from(Arc::new(Panics));
        let mut other = Waiter::new();
        assert!(other.poll_wait(&reactor, &first, 0, &mut Context::from_waker(&panics)).is_pending());
        until_waiting(&first, 1);
        wake_bare(&reactor, &first);
        let mut wait = armed(&reactor, &second);
        until_waiting(&second, 1);
        wake_bare(&reactor, &second);
        assert_eq!(end(&reactor, &second, &mut wait).unwrap(), Outcome::Woken);
    }
}

#[test]
fn closing_ends_the_waits_of_every_ring_though_wakers_panic() {
    for reactor in reactors().filter(|reactor| reactor.backend() != Backend::Thread) {
        let word = word();
        let panics = Waker::from(Arc::new(Panics));
        let mut waits = Vec::new();
        for _ in 0..500 {
            let mut waiter = Waiter::new();
            assert!(waiter.poll_wait(&reactor, &word, 0, &mut Context::from_waker(&panics)).is_pending());
            waits.push(waiter);
        }
        reactor.close();
        assert_eq!(word.wake(u32::MAX), 0);
        for waiter in &mut waits {
            let Poll::Ready(ended) = poll(&reactor, &word, waiter) else { panic!("a wait has not ended") };
            assert_eq!(ended.unwrap_err().kind(), ErrorKind::BrokenPipe);
        }
    }
}

#[test]
fn a_backend_survives_a_waker_that_panics() {
    for reactor in reactors() {
        let word = word();
        let mut waiter = Waiter::new();
        let waker = Waker::from(Arc::new(Panics));
        assert!(waiter.poll_wait(&reactor, &word, 0, &mut Context::from_waker(&waker)).is_pending());
        until_waiting(&word, 1);
        wake_bare(&reactor, &word);
        until("the wait ends", || {
            reactor.turn();
            poll(&reactor, &word, &mut waiter).is_ready()
        });
        let mut next = armed(&reactor, &word);
        until_waiting(&word, 1);
        wake_bare(&reactor, &word);
        assert_eq!(end(&reactor, &word, &mut next).unwrap(), Outcome::Woken);
    }
}

#[test]
fn a_waker_may_close_the_reactor() {
    struct Closes(Reactor, AtomicBool);
    impl Wake for Closes {
        fn wake(self: Arc<Self>) {
            self.0.close();
            self.1.store(true, Ordering::Release);
        }
    }
    for reactor in reactors() {
        let words = [word(), word()];
        // Two waits are on one word. `Waitv` keeps them apart, so closing has two threads to end.
        let mut others = words.each_ref().map(|word| armed(&reactor, word));
        let closes = Arc::new(Closes(reactor.clone(), AtomicBool::new(false)));
        let waker = Waker::from(closes.clone());
        let mut waiter = Waiter::new();
        assert!(waiter.poll_wait(&reactor, &words[0], 0, &mut Context::from_waker(&waker)).is_pending());
        until_waiting(&words[0], 2);
        until("the reactor is closed", || {
            words[0].wake(2); // again, if a thread that parks anew missed it
            reactor.turn();
            closes.1.load(Ordering::Acquire)
        });
        assert!(poll(&reactor, &words[0], &mut waiter).is_ready());
        for (other, word) in others.iter_mut().zip(&words) {
            assert!(poll(&reactor, word, other).is_ready(), "{reactor:?}");
        }
        let _ = words.map(|word| word.wake(u32::MAX));
    }
}

#[test]
fn the_last_handle_to_a_reactor_may_be_dropped_while_a_wait_is_armed() {
    for reactor in reactors() {
        let backend = reactor.backend();
        let word = word();
        let waiter = armed(&reactor, &word);
        until_waiting(&word, 1);
        drop(reactor);
        if backend != Backend::Thread {
            assert_eq!(waiters(&word), 0);
        }
        drop(waiter);
        word.wake(u32::MAX);
    }
}

#[test]
fn a_word_is_kept_until_its_wait_is_over() {
    for reactor in reactors().filter(|reactor| reactor.backend() != Backend::Thread) {
        let memory = Arc::new(AtomicU32::new(0));
        let witness = Arc::downgrade(&memory);
        let word = Word::from(memory);
        let waiter = armed(&reactor, &word);
        drop(word);
        assert_eq!(witness.strong_count().min(1), 1);
        drop(waiter);
        until("the word's memory is free", || {
            reactor.turn();
            witness.strong_count() == 0
        });
    }
}

/// A thread of `Waitv` waits on many words. If the page of one word is gone, the kernel refuses the whole list.
#[test]
fn a_word_whose_page_is_gone_fails_its_own_wait_only() {
    let Some(reactor) = common::reactor(Backend::Waitv) else { return };
    let path = std::env::temp_dir().join(format!("futex-core-truncated-{}", std::process::id()));
    let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file.set_len(4096).unwrap();
    let gone = SharedMemory::from_fd(file.try_clone().unwrap().into()).unwrap().word(0).unwrap();
    let healthy = [word(), word(), word()];

    let mut before = armed(&reactor, &healthy[0]);
    let mut failing = armed(&reactor, &gone);
    let mut changed = armed(&reactor, &healthy[1]);
    until_waiting(&healthy[1], 1);
    file.set_len(0).unwrap();
    healthy[1].store(1, Ordering::Release);
    // The thread parks anew for this wait.
    let mut after = armed(&reactor, &healthy[2]);

    let error = end(&reactor, &gone, &mut failing).unwrap_err();
    assert!(error.to_string().contains("cannot wait on a futex word"), "{error}");
    assert_eq!(end(&reactor, &healthy[1], &mut changed).unwrap(), Outcome::Mismatch);
    // The other waits go on.
    for word in [&healthy[0], &healthy[2]] {
        until_waiting(word, 1);
    }
    // (A wake may also end the wait in front, so each wait is polled until it has ended.)
    for (word, waiter) in [(&healthy[0], &mut before), (&healthy[2], &mut after)] {
        until("a wake ends the wait", || {
            word.wake(1); // again, if the thread parks anew meanwhile
            reactor.turn();
            match poll(&reactor, word, waiter) {
                Poll::Pending => false,
                Poll::Ready(ended) => ended.unwrap() == Outcome::Woken,
            }
        });
    }
}
