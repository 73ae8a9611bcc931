//! How many a wake wakes, and which.

use futex_tests::peer::Peer;
use futex_tests::{arm, is_pending, on_each_runtime_in_order, until_waiters, waiters, within};
use futex_tokio::{AsyncFutex, SharedMemory, WaitAsync};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const PEER: &str = env!("CARGO_BIN_EXE_peer");

fn futex() -> AsyncFutex {
    AsyncFutex::new(Arc::new(AtomicU32::new(0))).expect("a futex")
}

fn mask(bits: u32) -> NonZeroU32 {
    NonZeroU32::new(bits).expect("a mask has a bit")
}

/// Arms another wait, which is the last in the kernel's queue when this returns.
async fn line_up<'a>(futex: &'a AsyncFutex, wait: WaitAsync<'a>) -> WaitAsync<'a> {
    let before = waiters(futex.word());
    let mut wait = wait;
    arm(&mut wait).await;
    until_waiters(futex.word(), before + 1);
    wait
}

async fn all_pending(waits: &mut [WaitAsync<'_>]) -> bool {
    for wait in waits {
        if !is_pending(wait).await {
            return false;
        }
    }
    true
}

#[test]
fn a_wake_of_n_among_m_wakes_the_first_n_and_no_other() {
    on_each_runtime_in_order(async || {
        for (n, m) in [(1, 1), (1, 2), (4, 10), (10, 10), (10, 4)] {
            let futex = futex();
            let mut waits = Vec::new();
            for _ in 0..m {
                waits.push(line_up(&futex, futex.wait_async(0)).await);
            }
            let woken = n.min(m);
            assert_eq!(futex.wake(n), woken);
            for wait in waits.drain(..woken as usize) {
                within(wait).await.expect("a wake");
            }
            assert_eq!(waiters(futex.word()), m - woken);
            assert!(all_pending(&mut waits).await);
            assert_eq!(futex.wake_all(), m - woken);
            for wait in waits {
                within(wait).await.expect("a wake");
            }
        }
    });
}

#[test]
fn one_wake_after_the_other_goes_along_the_queue_across_two_processes() {
    on_each_runtime_in_order(async || {
        let memory = SharedMemory::anonymous(4096).expect("memory");
        let futex = AsyncFutex::new(memory.word(0).expect("a word")).expect("a futex");
        let mut peer = Peer::start(PEER, &memory);
        peer.tell("runtime current-thread");

        let first = line_up(&futex, futex.wait_async(0)).await;
        peer.tell("arm second 0 0");
        until_waiters(futex.word(), 2);
        let mut third = line_up(&futex, futex.wait_async(0)).await;
        peer.tell("block fourth 0 0");
        until_waiters(futex.word(), 4);
        let mut fifth = line_up(&futex, futex.wait_async(0)).await;
        peer.tell("arm sixth 0 0");
        until_waiters(futex.word(), 6);

        // Each time one has gone, the others are still queued, so it was nobody else.
        assert!(futex.wake_one());
        within(first).await.expect("a wake");
        assert_eq!(waiters(futex.word()), 5);
        assert_eq!(peer.ask("wake 0 1"), "1");
        assert_eq!(peer.report().await, "second ok");
        assert!(is_pending(&mut third).await);
        assert_eq!(peer.ask("wake 0 1"), "1");
        within(third).await.expect("a wake");
        assert_eq!(peer.report_now(), None);
        assert!(futex.wake_one());
        assert_eq!(peer.report().await, "fourth Woken");
        assert!(is_pending(&mut fifth).await);
        assert_eq!(waiters(futex.word()), 2);
        assert_eq!(futex.wake(2), 2);
        within(fifth).await.expect("a wake");
        assert_eq!(peer.report().await, "sixth ok");
        assert!(!futex.wake_one());
    });
}

#[test]
fn a_wake_with_nobody_there_returns_0() {
    on_each_runtime_in_order(async || {
        let futex = futex();
        assert_eq!((futex.wake(1), futex.wake(7), futex.wake_all(), futex.wake_one()), (0, 0, 0, false));
        // It is not kept for whoever comes.
        let mut wait = line_up(&futex, futex.wait_async(0)).await;
        assert!(is_pending(&mut wait).await);
    });
}

#[test]
fn a_wake_of_0_wakes_nobody() {
    on_each_runtime_in_order(async || {
        let futex = futex();
        let mut wait = line_up(&futex, futex.wait_async(0)).await;
        assert_eq!((futex.wake(0), futex.wake_masked(0, NonZeroU32::MAX)), (0, 0));
        assert_eq!(waiters(futex.word()), 1);
        assert!(is_pending(&mut wait).await);
        assert_eq!(futex.wake(1), 1);
        within(wait).await.expect("a wake");
    });
}

#[test]
fn a_wake_of_the_highest_number_wakes_all_in_all_processes() {
    const EACH: usize = 40; // more than a backend spreads over its threads
    on_each_runtime_in_order(async || {
        let memory = SharedMemory::anonymous(4096).expect("memory");
        let futex = AsyncFutex::new(memory.word(0).expect("a word")).expect("a futex");
        let mut peer = Peer::start(PEER, &memory);
        peer.tell("runtime multi-thread");
        let mut waits = Vec::new();
        for index in 0..EACH {
            let mut wait = futex.wait_async(0);
            arm(&mut wait).await;
            waits.push(wait);
            peer.tell(format_args!("arm {index} 0 0"));
        }
        peer.tell("block thread 0 0");
        until_waiters(futex.word(), 2 * EACH as u32 + 1);

        futex.word().store(1, Ordering::Release);
        assert_eq!(futex.wake(u32::MAX), 2 * EACH as u32 + 1);
        for wait in waits {
            within(wait).await.expect("a wake");
        }
        let mut ended = 0;
        for _ in 0..=EACH {
            ended += usize::from(peer.report().await.ends_with(" ok"));
        }
        assert_eq!(ended, EACH); // and the thread, which says `Woken`
    });
}

#[test]
fn a_wake_with_a_mask_wakes_those_that_share_a_bit_with_it() {
    on_each_runtime_in_order(async || {
        let futex = futex();
        let [left, right, both] = [0b01, 0b10, 0b11].map(mask);
        let mut first = line_up(&futex, futex.wait_async_masked(0, left)).await;
        let second = line_up(&futex, futex.wait_async_masked(0, right)).await;
        let third = line_up(&futex, futex.wait_async_masked(0, both)).await;
        let fourth = line_up(&futex, futex.wait_async(0)).await;

        assert_eq!(futex.wake_masked(1, right), 1);
        within(second).await.expect("a wake");
        // The one without a mask is woken by any.
        assert_eq!(futex.wake_masked(9, right), 2);
        within(third).await.expect("a wake");
        within(fourth).await.expect("a wake");
        assert_eq!(futex.wake_masked(9, mask(0b100)), 0);
        assert!(is_pending(&mut first).await);
        assert_eq!(waiters(futex.word()), 1);
        // A wake without a mask wakes all.
        assert_eq!(futex.wake(9), 1);
        within(first).await.expect("a wake");
    });
}

#[test]
fn a_wake_with_a_mask_goes_by_who_does_not_match() {
    on_each_runtime_in_order(async || {
        let futex = futex();
        let mut waits = Vec::new();
        for bit in [1, 2, 1, 2, 1, 2, 1, 2] {
            waits.push(line_up(&futex, futex.wait_async_masked(0, mask(bit))).await);
        }
        let mut odd = waits;
        let mut even: Vec<_> = (0..4).map(|index| odd.remove(index)).collect();
        assert_eq!(futex.wake_masked(3, mask(2)), 3);
        for wait in odd.drain(..3) {
            within(wait).await.expect("a wake");
        }
        assert!(all_pending(&mut even).await && all_pending(&mut odd).await);
        assert_eq!(waiters(futex.word()), 5);
    });
}
