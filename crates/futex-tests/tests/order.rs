//! The number of waits that a wake ends, and their order.
//!
//! If the waits don't keep their places in the kernel's queue (see `wakes.rs`), they end in any order. Then the tests check only
//! that the number of waits that end is the number that the kernel has counted.

use futex_tests::peer::Peer;
use futex_tests::{
    arm, check_count, is_pending, keeps_places, on_each_runtime, until, until_waiters, waiters, wake_bare,
    wake_bare_masked, within,
};
use futex_tokio::{AsyncFutex, MATCH_ANY, SharedMemory, WaitAsync};
use futures_util::future::poll_immediate;
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

/// Arms another wait. When this returns, it is the last of `count` waits in the kernel's queue.
async fn line_up<'a>(futex: &'a AsyncFutex, mut wait: WaitAsync<'a>, count: u32) -> WaitAsync<'a> {
    arm(&mut wait).await;
    until_waiters(futex.word(), count);
    wait
}

/// Returns when exactly `n` of the waits have ended. If `in_order` is true, these must be the first ones.
async fn end(waits: &mut Vec<WaitAsync<'_>>, n: u32, in_order: bool) {
    let left = waits.len() - n as usize;
    if in_order {
        for wait in waits.drain(..n as usize) {
            within(wait).await.expect("a wake");
        }
    }
    within(async {
        while waits.len() > left {
            for index in (0..waits.len()).rev() {
                if let Some(ended) = poll_immediate(&mut waits[index]).await {
                    ended.expect("a wake");
                    drop(waits.remove(index));
                }
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(waits.len(), left, "more waits ended than were woken");
    assert!(all_pending(waits).await);
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
    on_each_runtime(async || {
        let in_order = keeps_places(MATCH_ANY);
        for (n, m) in [(1, 1), (1, 2), (4, 10), (10, 10), (10, 4)] {
            let futex = futex();
            let mut waits = Vec::new();
            for count in 1..=m {
                waits.push(line_up(&futex, futex.wait_async(0), count).await);
            }
            let woken = n.min(m);
            let counted = futex.wake(n);
            if in_order {
                assert_eq!(counted, woken);
            } else {
                assert!(counted <= woken);
                wake_bare(futex.word(), woken - counted);
            }
            end(&mut waits, woken, in_order).await;
            until_waiters(futex.word(), m - woken);
            if in_order {
                assert_eq!(futex.wake_all(), m - woken);
            } else {
                wake_bare(futex.word(), m - woken);
            }
            for wait in waits {
                within(wait).await.expect("a wake");
            }
        }
    });
}

/// Six waits on one word. The first, third and fifth are of a task of this process. The second and sixth are of a task of the
/// peer, and the fourth is of a thread of the peer.
#[test]
fn wakes_follow_the_queue_across_two_processes() {
    on_each_runtime(async || {
        let memory = SharedMemory::anonymous(4096).expect("memory");
        let futex = AsyncFutex::new(memory.word(0).expect("a word")).expect("a futex");
        let mut peer = Peer::start(PEER, &memory);
        peer.tell("runtime current-thread");

        let first = line_up(&futex, futex.wait_async(0), 1).await;
        peer.tell("arm second 0 0");
        until_waiters(futex.word(), 2);
        let mut third = line_up(&futex, futex.wait_async(0), 3).await;
        peer.tell("block fourth 0 0");
        until_waiters(futex.word(), 4);
        let mut fifth = line_up(&futex, futex.wait_async(0), 5).await;
        peer.tell("arm sixth 0 0");
        until_waiters(futex.word(), 6);

        if !keeps_places(MATCH_ANY) {
            // Each wake ends one wait of this process or of the peer.
            for left in (0..6).rev() {
                match left % 2 {
                    0 => until(|| peer.ask("wake 0 1") == "1"),
                    _ => wake_bare(futex.word(), 1),
                }
                until_waiters(futex.word(), left);
            }
            for wait in [first, third, fifth] {
                within(wait).await.expect("a wake");
            }
            let mut reports = [peer.report().await, peer.report().await, peer.report().await];
            reports.sort();
            assert_eq!(reports, ["fourth Woken", "second ok", "sixth ok"]);
            return;
        }
        // After each wake, one wait has ended and all the others are still queued.
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
fn a_wake_without_waiters_returns_0() {
    on_each_runtime(async || {
        let futex = futex();
        assert_eq!((futex.wake(1), futex.wake(7), futex.wake_all(), futex.wake_one()), (0, 0, 0, false));
        // A wake is not kept for a later wait.
        let mut wait = line_up(&futex, futex.wait_async(0), 1).await;
        assert!(is_pending(&mut wait).await);
    });
}

#[test]
fn a_wake_of_0_wakes_nobody() {
    on_each_runtime(async || {
        let futex = futex();
        let mut wait = line_up(&futex, futex.wait_async(0), 1).await;
        assert_eq!((futex.wake(0), futex.wake_masked(0, NonZeroU32::MAX)), (0, 0));
        until_waiters(futex.word(), 1);
        assert!(is_pending(&mut wait).await);
        wake_bare(futex.word(), 1);
        within(wait).await.expect("a wake");
    });
}

#[test]
fn a_wake_of_the_highest_number_wakes_all_in_all_processes() {
    const EACH: usize = 40; // more waits than threads over which a backend spreads them
    on_each_runtime(async || {
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
        check_count(futex.wake(u32::MAX), 2 * EACH as u32 + 1);
        for wait in waits {
            within(wait).await.expect("a wake");
        }
        let mut ended = 0;
        for _ in 0..=EACH {
            ended += usize::from(peer.report().await.ends_with(" ok"));
        }
        assert_eq!(ended, EACH); // the other report is `Woken`, from the thread
    });
}

#[test]
fn a_masked_wake_wakes_the_waits_that_share_a_bit_with_it() {
    on_each_runtime(async || {
        let futex = futex();
        let [left, right, both] = [0b01, 0b10, 0b11].map(mask);
        let mut first = line_up(&futex, futex.wait_async_masked(0, left), 1).await;
        let mut others = Vec::new();
        for (mask, count) in [(right, 2), (both, 3), (MATCH_ANY, 4)] {
            others.push(line_up(&futex, futex.wait_async_masked(0, mask), count).await);
        }

        wake_bare_masked(futex.word(), 1, right);
        end(&mut others, 1, keeps_places(right)).await;
        // Any wake matches the wait without a mask.
        wake_bare_masked(futex.word(), 2, right);
        end(&mut others, 2, keeps_places(right)).await;
        assert_eq!(futex.wake_masked(9, right), 0);
        assert_eq!(futex.wake_masked(9, mask(0b100)), 0);
        assert!(is_pending(&mut first).await);
        until_waiters(futex.word(), 1);
        // A wake without a mask wakes all.
        let counted = futex.wake(9);
        assert!(counted == 1 || !keeps_places(left));
        until(|| counted == 1 || futex.wake(9) == 1);
        within(first).await.expect("a wake");
    });
}

#[test]
fn a_masked_wake_skips_waits_that_share_no_bit_with_it() {
    on_each_runtime(async || {
        let futex = futex();
        let [mut odd, mut even] = [Vec::new(), Vec::new()];
        for (count, bit) in (1..=8).zip([1, 2].into_iter().cycle()) {
            let wait = line_up(&futex, futex.wait_async_masked(0, mask(bit)), count).await;
            if bit == 1 { odd.push(wait) } else { even.push(wait) }
        }
        wake_bare_masked(futex.word(), 3, mask(2));
        end(&mut even, 3, keeps_places(mask(2))).await;
        assert!(all_pending(&mut odd).await);
        until_waiters(futex.word(), 5);
    });
}
