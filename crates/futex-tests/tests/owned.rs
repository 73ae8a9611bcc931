//! Waits that own their futex: in collections, moved while they are armed, and with the last handle of their reactor.

use futex_tests::load::backend;
use futex_tests::{arm, block_on, eventually, is_pending, on_each_runtime, until, until_waiters, within};
use futex_tokio::{AsyncFutex, Reactor, SharedMemory, Stats, WaitAsyncOwned};
use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::mpsc::channel;
use tokio::sync::oneshot;

/// Returns a reactor that no other test uses.
fn alone() -> Reactor {
    Reactor::builder().backend(backend()).build().expect("a reactor")
}

/// Returns a futex that has its own reactor, and the word of the futex.
fn futex() -> (AsyncFutex, Arc<AtomicU32>) {
    let word = Arc::new(AtomicU32::new(0));
    (AsyncFutex::with_reactor(&alone(), word.clone()), word)
}

/// Wakes a wait. Tries again while the wait's thread is about to park.
fn wake(futex: &AsyncFutex) {
    until(|| futex.wake_one());
}

#[track_caller]
fn add_up(stats: &Stats) {
    let &Stats { armed, armed_now, woken, mismatched, cancelled, failed, closed, .. } = stats;
    assert_eq!(armed, armed_now as u64 + woken + mismatched + cancelled + failed + closed, "{stats:?}");
}

#[test]
fn waits_in_a_list_that_grows_and_shrinks_are_woken_by_their_own_words() {
    on_each_runtime(async || {
        let memory = SharedMemory::anonymous(4096).expect("memory");
        let reactor = alone();
        let futexes: Vec<_> =
            (0..20).map(|index| AsyncFutex::with_reactor(&reactor, memory.word(64 * index).expect("a word"))).collect();
        let mut waits = Vec::new();
        for (index, futex) in futexes.iter().enumerate() {
            let mut wait = futex.wait_async_owned(0);
            arm(&mut wait).await;
            waits.push((index, wait)); // sometimes moves the armed waits before it
        }
        futexes.iter().for_each(|futex| until_waiters(futex.word(), 1));
        drop(futexes);
        waits.reverse();
        // Every second wait is dropped.
        waits.retain(|(index, _)| index % 2 == 0);
        assert_eq!((reactor.stats().cancelled, reactor.stats().armed_now), (10, 10));
        for (index, wait) in waits {
            let word = memory.word(64 * index).expect("a word");
            word.store(1, Ordering::Release);
            word.wake_one();
            within(wait).await.expect("a wake");
        }
        let stats = reactor.stats();
        add_up(&stats);
        assert_eq!((stats.armed, stats.cancelled, stats.armed_now), (20, 10, 0), "{stats:?}");
        (0..64).for_each(|index| _ = memory.word(64 * index).expect("a word").wake_all()); // ends threads that are still parked
    });
}

#[test]
fn an_armed_wait_moves_from_task_to_task_and_wakes_the_last_task() {
    on_each_runtime(async || {
        let (futex, word) = futex();
        let mut wait = futex.wait_async_owned(0);
        arm(&mut wait).await;
        until_waiters(futex.word(), 1);
        for _ in 0..3 {
            [wait] = tokio::spawn(async move {
                assert!(is_pending(&mut wait).await);
                [wait]
            })
            .await
            .expect("a task");
        }
        assert_eq!(futex.reactor().stats().armed, 1, "the wait was armed again");
        let (send, mut receive) = channel(1);
        let (tell, told) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut wait: WaitAsyncOwned = receive.recv().await.expect("a wait");
            assert!(is_pending(&mut wait).await);
            tell.send(()).expect("the test waits for the message");
            wait.await
        });
        send.send(wait).await.expect("the task lives");
        within(told).await.expect("the task lives");
        word.store(1, Ordering::Release);
        futex.wake_one();
        within(task).await.expect("a task").expect("a wake");
    });
}

#[test]
fn into_owned_keeps_an_armed_wait_and_its_mask() {
    on_each_runtime(async || {
        let (futex, _word) = futex();
        let [one, other] = [0b01, 0b10].map(|bits| NonZeroU32::new(bits).expect("a mask"));
        let mut first = futex.wait_async_masked(0, one);
        arm(&mut first).await;
        let mut second = futex.wait_async_masked(0, other);
        arm(&mut second).await;
        until_waiters(futex.word(), 2);
        let (mut first, mut second) = (first.into_owned(), second.into_owned());
        assert_eq!((futex.reactor().stats().armed, futex.reactor().stats().armed_now), (2, 2));
        until(|| futex.wake_masked(1, other) == 1);
        within(&mut second).await.expect("a wake");
        assert!(is_pending(&mut first).await);
        until(|| futex.wake_masked(1, one) == 1);
        within(&mut first).await.expect("a wake");
        // A poll after the result begins a new wait.
        arm(&mut first).await;
        assert_eq!(futex.reactor().stats().armed, 3);
        drop(first);
        futex.wake_all(); // ends a thread that is still parked
    });
}

#[test]
fn into_owned_keeps_a_wake_that_the_wait_has_consumed() {
    on_each_runtime(async || {
        let (futex, _word) = futex();
        let mut wait = futex.wait_async(0);
        arm(&mut wait).await;
        until_waiters(futex.word(), 1);
        wake(&futex);
        eventually(|| futex.reactor().stats().woken == 1).await;
        let wait = wait.into_owned();
        assert_eq!(futex.reactor().stats().handed_on, 0);
        within(wait).await.expect("a wake");
    });
}

#[test]
fn a_wait_whose_futex_was_dropped_ends_after_a_wake_on_the_word() {
    on_each_runtime(async || {
        let word = Arc::new(AtomicU32::new(0));
        let reactor = alone();
        let mut wait = AsyncFutex::with_reactor(&reactor, word.clone()).wait_async_owned(0);
        drop(reactor);
        arm(&mut wait).await;
        let handle = futex_tokio::Word::from(word.clone());
        until_waiters(&handle, 1);
        until(|| handle.wake_one());
        within(wait).await.expect("a wake");
        let weak = Arc::downgrade(&word);
        drop((word, handle));
        eventually(|| weak.strong_count() == 0).await; // a thread of the backend may have a handle for a moment
    });
}

/// The wait has the last handle of its reactor. When it is dropped, the wait ends before the reactor is dropped.
#[test]
fn an_armed_wait_that_is_the_last_handle_of_its_reactor_leaves_nothing() {
    on_each_runtime(async || {
        for wake in [false, true] {
            let word = futex_tokio::Word::from(Arc::new(AtomicU32::new(0)));
            let mut wait = AsyncFutex::with_reactor(&alone(), &word).wait_async_owned(0);
            arm(&mut wait).await;
            until_waiters(&word, 1);
            let mut behind = AsyncFutex::with_reactor(&alone(), &word).wait_async_owned(0);
            arm(&mut behind).await;
            until_waiters(&word, 2);
            if wake {
                until(|| word.wake_one());
            }
            // The wait is dropped on a thread without a runtime.
            std::thread::spawn(move || drop(wait)).join().expect("no panic");
            if !wake {
                until(|| word.wake_one());
            }
            // The wake has found either wait. If it has found the first, it was handed on.
            within(behind).await.expect("a wake");
            word.wake_all(); // ends a thread that is still parked
        }
    });
}

#[test]
fn an_owned_wait_outlives_its_runtime_and_ends_with_an_error() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (mut armed, begun) = runtime.block_on(async {
        let futex = AsyncFutex::new(Arc::new(AtomicU32::new(0))).expect("a futex");
        let mut armed = futex.wait_async_owned(0);
        arm(&mut armed).await;
        (armed, futex.wait_async_owned(0))
    });
    drop(runtime);
    assert_eq!(block_on(&mut armed).expect_err("the runtime is gone").kind(), ErrorKind::BrokenPipe);
    assert_eq!(block_on(armed).expect_err("the runtime is gone").kind(), ErrorKind::BrokenPipe);
    assert_eq!(block_on(begun).expect_err("the runtime is gone").kind(), ErrorKind::BrokenPipe);
}

/// A struct that holds a wait beside its futex is freed. (It would not be freed if the memory of the word held the wait.)
#[test]
fn a_dropped_struct_with_a_futex_and_its_wait_leaves_nothing() {
    struct Slot {
        filled: Option<WaitAsyncOwned>,
        futex: AsyncFutex,
    }

    on_each_runtime(async || {
        let (futex, word) = futex();
        let weak: Weak<AtomicU32> = Arc::downgrade(&word);
        drop(word);
        let mut slot = Slot { filled: Some(futex.wait_async_owned(0)), futex };
        arm(slot.filled.as_mut().expect("a wait")).await;
        until_waiters(slot.futex.word(), 1);
        let reactor = slot.futex.reactor().clone();
        drop(slot);
        add_up(&reactor.stats());
        assert_eq!((reactor.stats().cancelled, reactor.stats().armed_now), (1, 0));
        drop(reactor);
        // A thread that is still parked has a handle to the word until its park ends.
        eventually(|| weak.strong_count() == 0).await;
    });
}

#[test]
fn owned_waits_can_be_sent_shared_and_stored() {
    fn is<T: Send + Sync + Unpin + 'static>() {}
    is::<WaitAsyncOwned>();
    on_each_runtime(async || {
        let (futex, _word) = futex();
        let wait = futex.wait_async_owned(7);
        let shown = format!("{wait:?}");
        assert!(shown.starts_with("WaitAsyncOwned { word: Word(0x") && shown.contains("expected: 7"), "{shown}");
        wait.await.expect("the word differs");
        assert_eq!(futex.reactor().stats().armed, 0);
    });
}
