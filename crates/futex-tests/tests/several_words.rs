//! `wait_any`: one task waits on several words.

use futex_tests::load::backend;
use futex_tests::peer::Peer;
use futex_tests::{arm, check_count, is_pending, on_each_runtime, until, until_waiters, waiters, wake_bare, within};
use futex_tokio::{AsyncFutex, Backend, Reactor, SharedMemory, wait_any};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const PEER: &str = env!("CARGO_BIN_EXE_peer");

fn futexes<const N: usize>(memory: &SharedMemory) -> [AsyncFutex; N] {
    std::array::from_fn(|index| AsyncFutex::new(memory.word(64 * index).expect("a word")).expect("a futex"))
}

#[test]
fn wait_any_returns_the_index_of_the_woken_futex() {
    on_each_runtime(async || {
        let memory = SharedMemory::anonymous(4096).expect("memory");
        let mut peer = Peer::start(PEER, &memory);
        let [a, b, c] = futexes(&memory);
        for (index, futex) in [&a, &b, &c].into_iter().enumerate() {
            let list = [(&a, 0), (&b, 0), (&c, 0)];
            let mut any = pin!(wait_any(list));
            arm(&mut any).await;
            // `Waitv` parks again for each word, so this waits for the first words twice.
            for futex in [&a, &b, &c, &b, &a] {
                until_waiters(futex.word(), 1);
            }
            peer.tell(format_args!("store {} 1", 64 * index));
            check_count(peer.ask(format_args!("wake {} 1", 64 * index)).parse().expect("a number"), 1);
            // On `Waitv`, waits in front of the changed word may end too, so the result may have a lower index.
            let (ready, value) = within(any).await.expect("a wake");
            assert_eq!(value, u32::from(ready == index));
            match futex.reactor().backend() {
                Backend::Waitv => assert!(ready <= index),
                _ => assert_eq!(ready, index),
            }
            futex.word().store(0, Ordering::Release);
        }
    });
}

#[test]
fn wait_any_returns_the_first_word_that_differs_and_arms_nothing() {
    on_each_runtime(async || {
        let memory = SharedMemory::anonymous(4096).expect("memory");
        let [a, b, c] = futexes(&memory);
        b.word().store(1, Ordering::Release);
        c.word().store(1, Ordering::Release);
        assert_eq!(wait_any([(&a, 0), (&b, 0), (&c, 0)]).await.expect("ready"), (1, 1));
        assert_eq!(wait_any([(&a, 7), (&b, 0)]).await.expect("ready"), (0, 0));
        assert_eq!(a.reactor().stats().armed_now, 0);
    });
}

#[test]
fn wait_any_hands_on_the_wakes_of_its_other_waits() {
    on_each_runtime(async || {
        for _ in 0..10 {
            let memory = SharedMemory::anonymous(4096).expect("memory");
            let mut peer = Peer::start(PEER, &memory);
            let [a, b] = futexes(&memory);
            let list = [(&a, 0), (&b, 0)];
            let mut any = pin!(wait_any(list));
            arm(&mut any).await;
            // `Waitv` parks again for the second word, so this waits for the first word twice.
            for futex in [&a, &b, &a] {
                until_waiters(futex.word(), 1);
            }
            let block = |peer: &mut Peer, count| {
                peer.tell("block 0 0 0");
                peer.tell("block 1 64 0");
                until_waiters(a.word(), count);
                until_waiters(b.word(), count);
            };
            if backend() == Backend::Thread {
                // A thread that parks again goes behind the peer's threads, which would then receive the wake. So the peer waits
                // later.
                wake_bare(a.word(), 1);
                wake_bare(b.word(), 1);
                block(&mut peer, 1);
            } else {
                // The peer is behind `any` in both queues.
                block(&mut peer, 2);
                assert_eq!((a.wake(1), b.wake(1)), (1, 1));
            }
            let (ready, _) = within(any).await.expect("a wake");
            // `any` had consumed the wake of the other word too, and hands it on to the peer.
            assert_eq!(peer.report().await, format!("{} Woken", 1 - ready));
            let left = if ready == 0 { &a } else { &b };
            if left.reactor().backend() != Backend::Waitv {
                assert_eq!(waiters(left.word()), 1);
            }
        }
    });
}

#[test]
fn wait_any_may_have_one_word_twice() {
    on_each_runtime(async || {
        let futex = AsyncFutex::new(Arc::new(AtomicU32::new(0))).expect("a futex");
        let list = [(&futex, 0), (&futex, 0)];
        let mut any = pin!(wait_any(list));
        arm(&mut any).await;
        until_waiters(futex.word(), 2);
        let mut behind = futex.wait_async(0);
        arm(&mut behind).await;
        until_waiters(futex.word(), 3);
        wake_bare(futex.word(), 2);
        within(any).await.expect("a wake");
        // The second wake was handed on.
        within(behind).await.expect("a wake");
    });
}

#[test]
fn the_futexes_of_wait_any_may_have_different_reactors() {
    on_each_runtime(async || {
        let memory = SharedMemory::anonymous(4096).expect("memory");
        let [a, b] = futexes(&memory);
        let reactor = Reactor::builder().backend(Backend::Thread).build().expect("a reactor");
        let b = AsyncFutex::with_reactor(&reactor, b.word());
        let list = [(&a, 0), (&b, 0)];
        let mut any = pin!(wait_any(list));
        arm(&mut any).await;
        until_waiters(b.word(), 1);
        // The wait's thread may be about to park again.
        until(|| b.wake_one());
        assert_eq!(within(any).await.expect("a wake").0, 1);
        assert_eq!(a.reactor().stats().armed_now, 0);
    });
}

#[test]
fn dropping_wait_any_cancels_all_its_waits() {
    on_each_runtime(async || {
        let memory = SharedMemory::anonymous(4096).expect("memory");
        let futexes: [AsyncFutex; 8] = futexes(&memory);
        let list: Vec<_> = futexes.iter().map(|futex| (futex, 0)).collect();
        {
            let mut any = Box::pin(wait_any(list));
            arm(&mut any).await;
            for futex in &futexes {
                until_waiters(futex.word(), 1);
            }
            assert!(is_pending(&mut any).await);
            assert_eq!(futexes[0].reactor().stats().armed_now, 8);
        }
        futex_tests::eventually(|| futexes[0].reactor().stats().armed_now == 0).await;
    });
}
