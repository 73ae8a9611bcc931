//! Words that a process has mapped twice. For the kernel, both addresses of such a word are one futex, so the library must treat
//! them as one word.
//!
//! The story: `Waitv` and `Thread` compared words by their addresses. A wake that was handed on, and for which the kernel had no
//! waiter, went to a wait whose thread was about to park. But it missed a wait on the other mapping. With the memory mapped
//! twice, `Waitv` lost 1,791 of 3,000 wakes that the kernel had counted for a wait which was then dropped.

use futex_tests::load::{Boxed, Rng, arms, backend, boxed, runtime};
use futex_tests::{until_waiters, wake_bare, within};
use futex_tokio::{AsyncFutex, Backend, Reactor, SharedMemory, Word};
use std::os::fd::AsFd as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

/// Number of wakes that a test makes, each on its own word.
const WAKES: usize = 3_000;

/// Returns two mappings of memory that has a word for each wake.
fn mapped_twice() -> [SharedMemory; 2] {
    let memory = SharedMemory::anonymous(4 * WAKES).expect("memory");
    let again = SharedMemory::from_fd(memory.as_fd().try_clone_to_owned().expect("dup")).expect("memory");
    assert_ne!(memory.as_ptr(), again.as_ptr());
    [memory, again]
}

/// Returns the word at an offset, and a futex on this word through each mapping.
fn at(offset: usize, memory: &[SharedMemory; 2], reactors: [&Reactor; 2]) -> (Word, [AsyncFutex; 2]) {
    let words = memory.each_ref().map(|memory| memory.word(offset).expect("a word"));
    let futexes = [0, 1].map(|index| AsyncFutex::with_reactor(reactors[index], &words[index]));
    let [word, _] = words;
    (word, futexes)
}

fn reactor() -> Reactor {
    Reactor::builder().backend(backend()).build().expect("a reactor")
}

fn armed(futex: &AsyncFutex) -> Boxed {
    let mut wait = boxed(futex);
    assert!(arms(&mut wait), "a wait is over already");
    wait
}

/// Arms a wait through each mapping, wakes one waiter, and drops one of the waits. The remaining wait must see the wake.
async fn one_wake_reaches_the_wait_that_is_left(reactors: [&Reactor; 2]) {
    let memory = mapped_twice();
    let mut rng = Rng::new(1);
    for round in 0..WAKES {
        let (word, futexes) = at(4 * round, &memory, reactors);
        // The wait in front, the wait that is dropped, and the mapping of the wake are random.
        let (first, dropped, woken) = (rng.below(2), rng.below(2), rng.below(2));
        let mut waits = [None, None];
        waits[first] = Some(armed(&futexes[first]));
        until_waiters(&word, 1);
        waits[1 - first] = Some(armed(&futexes[1 - first]));
        until_waiters(&word, 2);

        wake_bare(futexes[woken].word(), 1);
        drop(waits[dropped].take());
        let left = waits[1 - dropped].take().expect("the wait was not dropped");
        within(left).await.expect("the wait receives the wake that was counted");
        word.wake(u32::MAX); // ends a thread that `Thread` has left parked
    }
}

#[test]
fn a_wake_of_a_dropped_wait_reaches_the_wait_on_the_other_mapping() {
    runtime().block_on(async {
        let reactor = reactor();
        one_wake_reaches_the_wait_that_is_left([&reactor, &reactor]).await;
    });
}

#[test]
fn a_wake_of_a_dropped_wait_reaches_another_reactors_wait_on_the_other_mapping() {
    runtime().block_on(async {
        let reactors = [reactor(), reactor()];
        one_wake_reaches_the_wait_that_is_left([&reactors[0], &reactors[1]]).await;
    });
}

/// A waker that drops its own wait on the thread that calls the waker.
#[derive(Default)]
struct Leaves(Mutex<Option<Boxed>>);

impl Wake for Leaves {
    fn wake(self: Arc<Self>) {
        let wait = self.0.lock().expect("no panic").take();
        drop(wait);
    }
}

/// On `Waitv`, the thread of both waits calls the waker. So the kernel has neither of them when the wake is handed on. All wakes
/// that were counted for the dropped wait were lost, which is about half of them.
#[test]
fn a_wake_that_a_waker_hands_on_reaches_the_wait_on_the_other_mapping() {
    runtime().block_on(async {
        let reactor = reactor();
        let memory = mapped_twice();
        let mut rng = Rng::new(1);
        for round in 0..WAKES {
            let (word, futexes) = at(4 * round, &memory, [&reactor, &reactor]);
            let (leaves, mapping) = (Arc::new(Leaves::default()), rng.below(2));
            let mut wait = boxed(&futexes[mapping]);
            let mut last = boxed(&futexes[1 - mapping]);
            // The wait in front is random.
            for is_last in if rng.below(2) == 0 { [false, true] } else { [true, false] } {
                if is_last {
                    assert!(arms(&mut last));
                } else {
                    let waker = Waker::from(leaves.clone());
                    assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                }
            }
            *leaves.0.lock().expect("no panic") = Some(wait);
            until_waiters(&word, 2);
            wake_bare(&word, 1);
            within(last).await.expect("the wait receives the wake that was counted");
            leaves.wake_by_ref(); // drops the wait if the wake was for the other one
            word.wake(u32::MAX); // ends a thread that `Thread` has left parked
        }
    });
}

/// 1. A wait is dropped, and the kernel may still have it.
/// 2. Another wait is armed through the other mapping, and the kernel may not have it yet.
/// 3. A wake is counted.
#[test]
fn a_counted_wake_reaches_the_wait_on_the_other_mapping_that_replaces_a_dropped_wait() {
    runtime().block_on(async {
        let reactor = reactor();
        let memory = mapped_twice();
        let mut counted = 0;
        for round in 0..WAKES {
            let (word, futexes) = at(4 * round, &memory, [&reactor, &reactor]);
            let first = armed(&futexes[round % 2]);
            until_waiters(&word, 1);
            drop(first);
            let second = armed(&futexes[1 - round % 2]);
            if word.wake(1) == 1 {
                counted += 1;
                within(second).await.expect("the wait receives the wake that was counted");
            } else {
                assert_ne!(reactor.backend(), Backend::Uring, "a wake missed a wait that is armed");
            }
            word.wake(u32::MAX); // ends a thread that `Thread` has left parked
        }
        assert!(counted > 0);
    });
}

#[test]
fn a_change_through_either_mapping_ends_the_waits_on_both() {
    runtime().block_on(async {
        let reactor = reactor();
        let memory = mapped_twice();
        for round in 0..500 {
            let (_, futexes) = at(4 * round, &memory, [&reactor, &reactor]);
            let waits =
                futexes.clone().map(|futex| tokio::spawn(async move { futex.wait_until(|value| value == 1).await }));
            let word = futexes[round % 2].word();
            word.store(1, Ordering::Release);
            word.wake(u32::MAX);
            for wait in waits {
                within(wait).await.expect("no panic").expect("a wait");
            }
        }
    });
}
