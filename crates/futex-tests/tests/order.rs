//! How many waits a wake ends, and which.
//!
//! Waits that don't keep their places in the kernel's queue (see `wakes.rs`) end in any order: as many as the kernel counted, and
//! no others.

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

/// Arms another wait, which is the last of `count` waits in the kernel's queue when this returns.
async fn line_up<'a>(futex: &'a AsyncFutex, mut wait: WaitAsync<'a>, count: u32) -> WaitAsync<'a> {
    arm(&mut wait).await;
    until_waiters(futex.word(), count);
    wait
}

/// Returns once `n` of the waits have ended, which are the first ones if `in_order`. The others go on.
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

/// Six waits on one word, of a task, a task of the peer, a task, a thread of the peer, a task, and a task of the peer.
#[test]
fn one_wake_after_the_other_goes_along_the_queue_across_two_processes() {
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
            // Each wake ends one wait, of either process.
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
    on_each_runtime(async || {
        let futex = futex();
        assert_eq!((futex.wake(1), futex.wake(7), futex.wake_all(), futex.wake_one()), (0, 0, 0, false));
        // It is not kept for a wait that comes later.
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
    const EACH: usize = 40; // more than a backend spreads over its threads
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
        assert_eq!(ended, EACH); // and the thread, which says `Woken`
    });
}

#[test]
fn a_wake_with_a_mask_wakes_those_that_share_a_bit_with_it() {
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
        // The one without a mask is woken by any.
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
fn a_wake_with_a_mask_goes_by_who_does_not_match() {
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
