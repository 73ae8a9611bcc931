use super::{AutoEvent, ManualEvent};
use crate::testing::two_members;
use futex_sys::Deadline;
use futex_tests::without_a_hang;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

#[test]
fn a_set_releases_all_threads_of_both_members_and_publishes() {
    without_a_hang(|| {
        let regions = two_members();
        let published = AtomicU64::new(0);
        let events = |i: usize| ["there", "back"].map(|name| ManualEvent::open_or_create(&regions[i], name).unwrap());
        std::thread::scope(|scope| {
            for i in [0, 1, 1] {
                let published = &published;
                let [there, _] = events(i);
                scope.spawn(move || {
                    there.blocking_wait().unwrap();
                    assert_eq!(published.load(Relaxed), 7);
                });
            }
            published.store(7, Relaxed);
            let [there, back] = events(0);
            assert!(there.set().unwrap());
            assert!(!there.set().unwrap());
            assert!(!back.is_set().unwrap());
        });
        let [there, _] = events(1);
        assert!(there.is_set().unwrap());
        assert!(there.reset().unwrap());
        assert!(!there.reset().unwrap());
        assert!(!there.is_set().unwrap());
    });
}

/// The first lost wake leaves both threads asleep.
#[test]
fn threads_of_two_members_take_turns() {
    without_a_hang(|| {
        let regions = two_members();
        std::thread::scope(|scope| {
            for (i, region) in regions.iter().enumerate() {
                scope.spawn(move || {
                    let [mine, theirs] =
                        [i, 1 - i].map(|i| AutoEvent::open_or_create(region, ["left", "right"][i]).unwrap());
                    for turn in 0..5000 {
                        if turn % 2 == i {
                            assert!(theirs.set().unwrap());
                        } else {
                            mine.blocking_wait().unwrap();
                        }
                    }
                });
            }
        });
    });
}

#[test]
fn an_automatic_event_is_taken_once() {
    let [region, other] = two_members();
    let event = AutoEvent::create(&region, "bell").unwrap();
    let theirs = AutoEvent::open(&other, "bell").unwrap();
    assert!(event.set().unwrap());
    assert!(!theirs.set().unwrap());
    assert!(theirs.is_set().unwrap());
    assert!(theirs.try_wait().unwrap());
    assert!(!event.try_wait().unwrap());
    let error = event.blocking_wait_deadline(Deadline::after(Duration::from_millis(5))).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    event.set().unwrap();
    theirs.blocking_wait_deadline(Deadline::after(Duration::from_secs(60))).unwrap();
}

#[test]
fn a_wait_for_a_manual_event_ends_at_its_deadline() {
    let [region, _other] = two_members();
    let event = ManualEvent::create(&region, "gate").unwrap();
    let error = event.blocking_wait_deadline(Deadline::after(Duration::from_millis(5))).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(error.to_string().contains("event \"gate\""), "{error}");
}

#[test]
fn the_two_kinds_are_not_the_same() {
    let [region, other] = two_members();
    ManualEvent::create(&region, "gate").unwrap();
    let error = AutoEvent::open_or_create(&other, "gate").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(
        error.to_string().contains("has the kind manual event, and this program opens it with the kind auto event"),
        "{error}"
    );
}

#[cfg(feature = "tokio")]
mod tasks {
    use super::*;
    use crate::testing::is_pending_after_a_turn;
    use futex_tests::within;
    use std::sync::Arc;

    #[tokio::test]
    async fn tasks_of_two_members_take_turns() {
        let regions = two_members();
        let mut tasks = Vec::new();
        for (i, region) in regions.iter().cloned().enumerate() {
            tasks.push(tokio::spawn(async move {
                let [mine, theirs] =
                    [i, 1 - i].map(|i| AutoEvent::open_or_create(&region, ["left", "right"][i]).unwrap());
                for turn in 0..1000 {
                    if turn % 2 == i {
                        assert!(theirs.set().unwrap());
                    } else {
                        mine.wait().await.unwrap();
                    }
                }
            }));
        }
        for task in tasks {
            within(task).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_task_that_slept_through_set_and_reset_goes_on() {
        let [region, other] = two_members();
        let event = ManualEvent::create(&region, "gate").unwrap();
        let theirs = ManualEvent::open(&other, "gate").unwrap();
        let mut wait = Box::pin(theirs.wait());
        assert!(is_pending_after_a_turn(&mut wait).await);
        event.set().unwrap();
        event.reset().unwrap();
        within(wait).await.unwrap();
        assert!(is_pending_after_a_turn(&mut Box::pin(theirs.wait())).await);
    }

    /// The first waiter may have been woken already when it is dropped.
    #[tokio::test]
    async fn a_set_is_not_lost_with_a_cancelled_wait() {
        let [region, other] = two_members();
        let event = AutoEvent::create(&region, "bell").unwrap();
        let theirs = Arc::new(AutoEvent::open(&other, "bell").unwrap());
        for _ in 0..200 {
            let mut first = Box::pin(event.wait());
            assert!(is_pending_after_a_turn(&mut first).await);
            let second = tokio::spawn({
                let theirs = theirs.clone();
                async move { theirs.wait().await }
            });
            tokio::task::yield_now().await;
            assert!(event.set().unwrap());
            drop(first);
            within(second).await.unwrap().unwrap();
        }
        assert!(!event.is_set().unwrap());
    }
}
