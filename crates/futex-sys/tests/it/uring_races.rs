//! Wakes, changes and cancels that race from other threads.

use crate::support::{arm, complete, ring, word};
use futex_sys::Word;
use futex_sys::futex::MATCH_ANY;
use futex_sys::uring::Ending;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;

/// A thread that calls `act` once per round, at the same time as the other side of the barrier.
struct Rival {
    start: Arc<Barrier>,
    results: mpsc::Receiver<u32>,
}

impl Rival {
    fn new(rounds: u32, act: impl Fn(u32) -> u32 + Send + 'static) -> Self {
        let start = Arc::new(Barrier::new(2));
        let (sender, results) = mpsc::channel();
        let barrier = start.clone();
        thread::spawn(move || {
            for round in 0..rounds {
                barrier.wait();
                spin(round / 40 % 40);
                // Without a receiver, the test has failed.
                if sender.send(act(round)).is_err() {
                    return;
                }
            }
        });
        Self { start, results }
    }
}

/// A short delay. It varies, so that each side is the first one in some rounds.
fn spin(n: u32) {
    for _ in 0..n * 4 {
        std::hint::spin_loop();
    }
}

#[test]
fn exactly_one_of_wake_and_cancel_wins() {
    const ROUNDS: u32 = 8_000;
    let Some(mut ring) = ring() else { return };
    let word = word();
    let waker = Rival::new(ROUNDS, {
        let word = word.clone();
        move |_| word.wake(1)
    });
    for round in 0..ROUNDS {
        let id = arm(&mut ring, 0, &word);
        waker.start.wait();
        spin(round % 40);
        let ending = ring.cancel(id).unwrap().ending;
        match (waker.results.recv().unwrap(), &ending) {
            (1, Ending::Woken) | (0, Ending::Cancelled) => {}
            (count, _) => panic!("the waker counted {count}, and the wait ended {ending:?}"),
        }
    }
}

#[test]
fn the_waker_counts_each_wait_that_it_wakes() {
    const ROUNDS: u32 = 1_000;
    const WAITS: u32 = 8;
    let Some(mut ring) = ring() else { return };
    let word = word();
    let waker = Rival::new(ROUNDS, {
        let word = word.clone();
        move |round| word.wake(round % (WAITS + 1))
    });
    for round in 0..ROUNDS {
        let ids: Vec<_> = (0..WAITS).map(|tag| arm(&mut ring, tag, &word)).collect();
        waker.start.wait();
        spin(round % 40);
        let completions: Vec<_> =
            (0..WAITS).map(|nth| ring.cancel(ids[((nth * 5 + round) % WAITS) as usize]).unwrap()).collect();
        let woken = completions.iter().filter(|completion| matches!(completion.ending, Ending::Woken)).count();
        let cancelled = completions.iter().filter(|completion| matches!(completion.ending, Ending::Cancelled)).count();
        assert_eq!(woken, waker.results.recv().unwrap() as usize);
        assert_eq!(woken + cancelled, WAITS as usize);
    }
}

#[test]
fn a_wake_between_the_check_and_the_submit_is_kept() {
    const ROUNDS: u32 = 8_000;
    let Some(mut ring) = ring() else { return };
    let word = word();
    let waker = Rival::new(ROUNDS, {
        let word = word.clone();
        move |round| {
            word.store(round + 1, Ordering::Release);
            word.wake(1)
        }
    });
    for round in 0..ROUNDS {
        ring.arm(0, word.clone(), round, MATCH_ANY).unwrap();
        waker.start.wait();
        spin(round % 40);
        ring.submit().unwrap();
        let ending = complete(&mut ring).ending;
        match (waker.results.recv().unwrap(), &ending) {
            (1, Ending::Woken) | (0, Ending::Mismatch) => {}
            (count, _) => panic!("the waker counted {count}, and the wait ended {ending:?}"),
        }
    }
}

#[test]
fn a_wait_can_be_cancelled_by_another_thread_than_the_one_that_submitted_it() {
    let Some(ring) = ring() else { return };
    let ring = Arc::new(Mutex::new(ring));
    let word = word();
    let (send, receive) = mpsc::channel();
    let (done, until_done) = mpsc::channel::<()>();
    let submitter = thread::spawn({
        let (ring, word) = (ring.clone(), word.clone());
        move || {
            send.send(arm(&mut ring.lock().unwrap(), 0, &word)).unwrap();
            let _ = until_done.recv(); // sleeps in the kernel
        }
    });
    let id = receive.recv().unwrap();
    let mut ring = ring.lock().unwrap();
    assert!(matches!(ring.cancel(id).unwrap().ending, Ending::Cancelled));
    assert_eq!(word.wake(1), 0);
    drop(done);
    submitter.join().unwrap();
}

#[test]
fn a_wait_whose_submitting_thread_exits_survives_or_ends_cancelled() {
    let Some(mut ring) = ring() else { return };
    for _ in 0..100 {
        let word = word();
        ring = submit_and_exit(ring, &word);
        let count = word.wake(1);
        let ending = complete(&mut ring).ending;
        match (count, &ending) {
            (1, Ending::Woken) | (0, Ending::Cancelled) => {}
            (count, _) => panic!("the waker counted {count}, and the wait ended {ending:?}"),
        }
    }
}

#[test]
fn a_wake_that_was_counted_is_kept_when_the_submitting_thread_exits() {
    let Some(mut ring) = ring() else { return };
    for _ in 0..300 {
        let word = word();
        let (thread, of_waker) = (word.clone(), word.clone());
        let waker = thread::spawn(move || of_waker.wake(1));
        let id;
        (ring, id) = thread::spawn(move || {
            let id = arm(&mut ring, 0, &thread);
            (ring, id)
        })
        .join()
        .unwrap();
        let count = waker.join().unwrap();
        // (If the kernel has ended the wait because its thread exited, the completion is available.)
        let posted = ring.next_completion();
        let ending =
            posted.unwrap_or_else(|| if count == 0 { ring.cancel(id).unwrap() } else { complete(&mut ring) }).ending;
        match (count, &ending) {
            (1, Ending::Woken) | (0, Ending::Cancelled) => {}
            (count, _) => panic!("the waker counted {count}, and the wait ended {ending:?}"),
        }
    }
}

fn submit_and_exit(mut ring: futex_sys::uring::FutexRing, word: &Word) -> futex_sys::uring::FutexRing {
    let word = word.clone();
    let submitter = thread::spawn(move || {
        arm(&mut ring, 0, &word);
        ring
    });
    submitter.join().expect("the submitting thread")
}
