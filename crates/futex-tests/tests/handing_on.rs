//! A dropped wait that has consumed a wake hands the wake on to the next waiter.
//!
//! A wake that is handed on to another process misses a wait whose thread parks again at that moment. So if the backend under
//! test does that, the receiver of the wake is a blocked thread.

use futex_tests::peer::Peer;
use futex_tests::{
    arm, blocked, eventually, is_pending, keeps_places, on_each_runtime, until_waiters, waiters, wake_bare,
    wake_bare_masked, within,
};
use futex_tokio::{AsyncFutex, MATCH_ANY, SharedMemory, WaitOutcome, Word};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;
use tokio::time::timeout;

const PEER: &str = env!("CARGO_BIN_EXE_peer");

fn shared() -> (Word, AsyncFutex, Peer) {
    let memory = SharedMemory::anonymous(4096).expect("memory");
    let word = memory.word(0).expect("a word");
    let mut peer = Peer::start(PEER, &memory);
    peer.tell("runtime multi-thread");
    (word.clone(), AsyncFutex::new(word).expect("a futex"), peer)
}

/// Returns the commands that make the peer wait so that the kernel has the wait until its end.
fn steady_waits() -> &'static [&'static str] {
    if keeps_places(MATCH_ANY) { &["arm", "block"] } else { &["block"] }
}

/// Returns when the reactor knows that its only wait was woken. The owner of the wait has not polled it.
async fn is_known(futex: &AsyncFutex) {
    eventually(|| futex.reactor().stats().woken == 1).await;
}

#[test]
fn a_wake_that_the_reactor_has_seen_is_handed_on_to_another_process() {
    for command in steady_waits() {
        on_each_runtime(async || {
            let (word, futex, mut peer) = shared();
            let mut wait = futex.wait_async(0);
            arm(&mut wait).await;
            until_waiters(&word, 1);
            wake_bare(&word, 1);
            is_known(&futex).await;
            peer.tell(format_args!("{command} it 0 0"));
            until_waiters(&word, 1);
            assert_eq!(peer.report_now(), None);
            drop(wait);
            // The wake was handed on before the drop returned.
            assert_eq!((futex.reactor().stats().handed_on, waiters(&word)), (1, 0));
            assert_eq!(peer.report().await, if *command == "arm" { "it ok" } else { "it Woken" });
        });
    }
}

#[test]
fn a_wake_that_the_reactor_has_not_seen_is_handed_on_to_another_process() {
    on_each_runtime(async || {
        for _ in 0..20 {
            let (word, futex, mut peer) = shared();
            let mut wait = futex.wait_async(0);
            arm(&mut wait).await;
            until_waiters(&word, 1);
            peer.tell("block it 0 0");
            until_waiters(&word, 2);

            assert_eq!(futex.wake(1), 1);
            drop(wait);
            // The reactor may learn only now that the wake was faster than the drop.
            assert_eq!(peer.report().await, "it Woken");
            until_waiters(&word, 0);
        }
    });
}

#[test]
fn a_wait_that_another_process_drops_hands_its_wake_on_to_this_one() {
    on_each_runtime(async || {
        let (word, _futex, mut peer) = shared();
        peer.tell("hold it 0 0");
        until_waiters(&word, 1);
        wake_bare(&word, 1);
        let thread = blocked(&word, 1);
        peer.tell("drop it");
        until_waiters(&word, 0);
        assert_eq!(thread.join().expect("no panic"), WaitOutcome::Woken);
    });
}

#[test]
fn an_aborted_task_takes_no_wake_from_another_process() {
    on_each_runtime(async || {
        let (word, _futex, mut peer) = shared();
        peer.tell("arm it 0 0");
        until_waiters(&word, 1);
        let thread = blocked(&word, 2);

        peer.tell("abort it");
        // If the aborted wait has left a thread parked, that thread receives the wake and hands it on.
        assert_eq!(word.wake(1), 1);
        until_waiters(&word, 0);
        assert_eq!(thread.join().expect("no panic"), WaitOutcome::Woken);
        assert_eq!(peer.report_now(), None);
    });
}

#[test]
fn a_wake_passes_along_a_queue_of_dropped_waits() {
    for command in steady_waits() {
        on_each_runtime(async || {
            let (word, futex, mut peer) = shared();
            let mut waits = Vec::new();
            for armed in 1..=10 {
                let mut wait = futex.wait_async(0);
                arm(&mut wait).await;
                until_waiters(&word, armed);
                waits.push(wait);
            }
            peer.tell(format_args!("{command} it 0 0"));
            until_waiters(&word, 11);
            assert_eq!(word.wake(1), 1);
            // Each dropped wait hands the wake on to the next one.
            drop(waits);
            assert_eq!(peer.report().await, if *command == "arm" { "it ok" } else { "it Woken" });
            eventually(|| waiters(&word) == 0).await;
        });
    }
}

#[test]
fn a_wake_is_handed_on_with_the_mask_of_the_wait() {
    on_each_runtime(async || {
        let futex = AsyncFutex::new(Arc::new(AtomicU32::new(0))).expect("a futex");
        let [left, right] = [0b01, 0b10].map(|bits| NonZeroU32::new(bits).expect("a bit"));
        let [mut first, mut other, mut last] = [left, right, left].map(|mask| futex.wait_async_masked(0, mask));
        arm(&mut first).await;
        until_waiters(futex.word(), 1);
        wake_bare_masked(futex.word(), 1, left);
        is_known(&futex).await;
        arm(&mut other).await;
        until_waiters(futex.word(), 1);
        arm(&mut last).await;
        until_waiters(futex.word(), 2);

        drop(first);
        within(last).await.expect("a wake");
        assert!(is_pending(&mut other).await);
        until_waiters(futex.word(), 1);
    });
}

#[test]
fn a_wait_whose_result_was_polled_hands_nothing_on() {
    on_each_runtime(async || {
        let (word, futex, mut peer) = shared();
        let mut wait = futex.wait_async(0);
        arm(&mut wait).await;
        until_waiters(&word, 1);
        wake_bare(&word, 1);
        peer.tell("arm it 0 0");
        until_waiters(&word, 1);
        within(wait).await.expect("a wake");
        until_waiters(&word, 1);
        assert_eq!((peer.report_now(), futex.reactor().stats().handed_on), (None, 0));
    });
}

#[test]
fn a_wake_after_a_timeout_goes_to_another_wait() {
    on_each_runtime(async || {
        let (word, futex, mut peer) = shared();
        let mut wait = futex.wait_async(0);
        arm(&mut wait).await;
        until_waiters(&word, 1);
        assert!(timeout(Duration::from_millis(2), wait).await.is_err());
        eventually(|| futex.reactor().stats().armed_now == 0).await;
        // `Thread` leaves a thread parked for a short time.
        eventually(|| waiters(&word) == 0).await;

        peer.tell("block it 0 0");
        until_waiters(&word, 1);
        assert_eq!(futex.wake(1), 1);
        assert_eq!(peer.report().await, "it Woken");
    });
}
