//! Semaphores of two members in one process.

use super::*;
#[cfg(feature = "tokio")]
use crate::testing::is_pending_after_a_turn;
use crate::testing::two_members;
use futex_sys::Deadline;
#[cfg(feature = "tokio")]
use futex_tests::within;
use futex_tests::without_a_hang;
#[cfg(feature = "tokio")]
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

#[test]
fn threads_of_two_members_never_have_more_permits_than_there_are() {
    without_a_hang(|| {
        let regions = two_members();
        let held = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for (i, region) in (1..).zip(regions.iter().chain(&regions)) {
                let held = &held;
                scope.spawn(move || {
                    let semaphore = Semaphore::open_or_create(region, "permits", 4).unwrap();
                    for _ in 0..3000 {
                        let permit = semaphore.blocking_acquire_many(i).unwrap();
                        assert!(held.fetch_add(i, Relaxed) + i <= 4);
                        held.fetch_sub(i, Relaxed);
                        drop(permit);
                    }
                });
            }
        });
        let semaphore = Semaphore::open(&regions[1], "permits").unwrap();
        assert_eq!(semaphore.available_permits().unwrap(), 4);
        assert_eq!(semaphore.try_acquire_many(4).unwrap().unwrap().num_permits(), 4);
    });
}

#[cfg(feature = "tokio")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_of_two_members_never_have_more_permits_than_there_are() {
    let regions = two_members();
    let held = Arc::new(AtomicU32::new(0));
    let mut tasks = Vec::new();
    for (i, region) in (1..).zip(regions.iter().chain(&regions).cloned()) {
        let held = held.clone();
        tasks.push(tokio::spawn(async move {
            let semaphore = Arc::new(Semaphore::open_or_create(&region, "permits", 4).unwrap());
            for round in 0..1000 {
                let permit = semaphore.clone().acquire_many_owned(i).await.unwrap();
                assert!(held.fetch_add(i, Relaxed) + i <= 4);
                if round % 7 == 0 {
                    tokio::task::yield_now().await;
                }
                held.fetch_sub(i, Relaxed);
                drop(permit);
                if round % 5 == 0 {
                    let waits = semaphore.acquire_many(4);
                    tokio::select! {
                        biased;
                        permit = waits => drop(permit.unwrap()),
                        () = tokio::task::yield_now() => {}
                    }
                }
            }
        }));
    }
    for task in tasks {
        within(task).await.unwrap();
    }
    let semaphore = Semaphore::open(&regions[0], "permits").unwrap();
    assert_eq!(semaphore.acquire_many(4).await.unwrap().num_permits(), 4);
}

#[test]
fn the_permits_of_a_member_that_leaves_are_available_again() {
    let [region, other] = two_members();
    let semaphore = Semaphore::create(&region, "permits", 3).unwrap();
    let mine = semaphore.try_acquire().unwrap().unwrap();
    let theirs = Semaphore::open(&other, "permits").unwrap();
    std::mem::forget(theirs.try_acquire_many(2).unwrap().unwrap());
    assert!(semaphore.try_acquire().unwrap().is_none());
    assert_eq!(semaphore.available_permits().unwrap(), 0);
    drop((theirs, other));
    assert_eq!(semaphore.available_permits().unwrap(), 2);
    let both = semaphore.try_acquire_many(2).unwrap().unwrap();
    assert!(semaphore.try_acquire().unwrap().is_none());
    drop((mine, both));
    assert_eq!(semaphore.available_permits().unwrap(), 3);
}

#[test]
fn a_deadline_passes_and_nothing_is_lost() {
    let [region, other] = two_members();
    let semaphore = Semaphore::create(&region, "permits", 2).unwrap();
    let theirs = Semaphore::open(&other, "permits").unwrap();
    let permit = theirs.try_acquire().unwrap().unwrap();
    let error = semaphore.blocking_acquire_many_deadline(2, Deadline::after(Duration::from_millis(5))).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(error.to_string().contains("2 permits of the semaphore"), "{error}");
    drop(permit);
    assert!(semaphore.try_acquire_many(2).unwrap().is_some());
}

/// The call that waited for two permits was before the call that waits for one.
#[cfg(feature = "tokio")]
#[tokio::test]
async fn those_behind_a_cancelled_wait_go_on() {
    let [region, other] = two_members();
    let semaphore = Semaphore::create(&region, "permits", 2).unwrap();
    let theirs = Semaphore::open(&other, "permits").unwrap();
    let one = theirs.acquire().await.unwrap();
    let other_one = theirs.acquire().await.unwrap();
    let mut first = Box::pin(semaphore.acquire_many(2));
    let mut second = Box::pin(theirs.acquire());
    assert!(is_pending_after_a_turn(&mut first).await);
    assert!(is_pending_after_a_turn(&mut second).await);
    drop(one);
    assert!(is_pending_after_a_turn(&mut second).await, "the other call came first");
    drop(first);
    assert_eq!(within(second).await.unwrap().num_permits(), 1);
    drop(other_one);
}

/// A permit is available, but the request at the front of the queue needs more.
#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_later_request_does_not_overtake_the_one_at_the_front() {
    let [region, other] = two_members();
    let semaphore = Semaphore::create(&region, "permits", 3).unwrap();
    let theirs = Semaphore::open(&other, "permits").unwrap();
    let held = theirs.acquire_many(2).await.unwrap();
    let mut first = Box::pin(semaphore.acquire_many(3));
    assert!(is_pending_after_a_turn(&mut first).await);
    assert_eq!(theirs.available_permits().unwrap(), 1);
    assert!(theirs.try_acquire().unwrap().is_none(), "it came later");
    let mut second = Box::pin(theirs.acquire());
    assert!(is_pending_after_a_turn(&mut second).await, "it came later");
    drop(held);
    let all = within(first).await.unwrap();
    assert!(is_pending_after_a_turn(&mut second).await);
    drop(all);
    assert_eq!(within(second).await.unwrap().num_permits(), 1);
}

#[test]
fn permits_are_split_and_merged() {
    let [region, other] = two_members();
    let semaphore = Semaphore::create(&region, "permits", 5).unwrap();
    let mut permit = semaphore.blocking_acquire_many(4).unwrap();
    assert!(permit.split(5).is_none());
    let two = permit.split(2).unwrap();
    let none = permit.split(0).unwrap();
    assert_eq!((permit.num_permits(), two.num_permits(), none.num_permits()), (2, 2, 0));
    permit.merge(none);
    drop(permit);
    let mut two = two;
    two.merge(semaphore.try_acquire_many(3).unwrap().unwrap());
    assert!(Semaphore::open(&other, "permits").unwrap().try_acquire().unwrap().is_none());
    drop(two);
    assert_eq!(semaphore.available_permits().unwrap(), 5);
}

#[test]
#[should_panic(expected = "can't be merged")]
fn permits_of_two_members_are_not_merged() {
    let [region, other] = two_members();
    let semaphore = Semaphore::create(&region, "permits", 5).unwrap();
    let theirs = Semaphore::open(&other, "permits").unwrap();
    semaphore.blocking_acquire().unwrap().merge(theirs.blocking_acquire().unwrap());
}

#[test]
fn permits_are_forgotten_and_added() {
    without_a_hang(|| {
        let [region, other] = two_members();
        let semaphore = Semaphore::create(&region, "permits", 3).unwrap();
        let theirs = Semaphore::open(&other, "permits").unwrap();
        semaphore.blocking_acquire_many(2).unwrap().forget();
        assert_eq!([semaphore.capacity().unwrap(), theirs.available_permits().unwrap()], [1, 1]);
        assert!(theirs.try_acquire_many(2).unwrap().is_none());
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| theirs.blocking_acquire_many(4).unwrap().num_permits());
            semaphore.add_permits(1).unwrap();
            semaphore.add_permits(2).unwrap();
            assert_eq!(waits.join().unwrap(), 4);
        });
        assert_eq!([semaphore.capacity().unwrap(), theirs.available_permits().unwrap()], [4, 4]);
    });
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let [region, other] = two_members();
    for permits in [0, MAX_PERMITS + 1] {
        let error = Semaphore::create(&region, "permits", permits).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
    let semaphore = Semaphore::create(&region, "permits", 3).unwrap();
    assert_eq!(semaphore.blocking_acquire_many(u32::MAX).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(semaphore.add_permits(MAX_PERMITS - 2).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(semaphore.add_permits(u32::MAX).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    let error = Semaphore::open_or_create(&other, "permits", 2).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("made with 3 permits"), "{error}");
    assert_eq!(Semaphore::open(&other, "permits").unwrap().capacity().unwrap(), 3);
}

#[test]
fn another_kind_is_refused() {
    let [region, _other] = two_members();
    Semaphore::create(&region, "permits", 1).unwrap();
    let error = crate::Mutex::<()>::open(&region, "permits").unwrap_err();
    assert!(
        error.to_string().contains("has the kind semaphore, and this program opens it with the kind mutex"),
        "{error}"
    );
}

#[cfg(feature = "tokio")]
#[test]
fn permits_and_waits_are_send() {
    fn check(_: impl Send) {}
    let [region, _other] = two_members();
    let semaphore = Arc::new(Semaphore::create(&region, "permits", 2).unwrap());
    check(semaphore.acquire());
    check(semaphore.clone().acquire_many_owned(2));
    check(semaphore.try_acquire_many(2));
    check(semaphore.clone().try_acquire_owned());
}
