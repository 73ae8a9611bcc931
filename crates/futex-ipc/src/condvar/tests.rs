//! Condition variables of two members in one process.

use super::*;
#[cfg(feature = "tokio")]
use crate::steps::{Words, mutex::C};
#[cfg(feature = "tokio")]
use crate::testing::is_pending_after_a_turn;
use crate::testing::two_members;
#[cfg(feature = "tokio")]
use futex_tests::within;
use futex_tests::without_a_hang;
#[cfg(feature = "tokio")]
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const ITEMS: u64 = 1000;

/// Number of items that are there, and number of items that were taken.
type Shop = Mutex<[u64; 2]>;

fn shop(region: &Region) -> (Shop, Condvar) {
    (Mutex::open_or_create(region, "shop", [0, 0]).unwrap(), Condvar::open_or_create(region, "items").unwrap())
}

#[test]
fn threads_of_two_members_hand_over_items() {
    without_a_hang(|| {
        let regions = two_members();
        std::thread::scope(|scope| {
            for region in regions.iter().chain(&regions) {
                scope.spawn(|| {
                    let (shop, items) = shop(region);
                    for _ in 0..ITEMS {
                        let mut guard =
                            items.blocking_wait_while(shop.blocking_lock().unwrap(), |shop| shop[0] == 0).unwrap();
                        guard[0] -= 1;
                        guard[1] += 1;
                        guard.commit();
                    }
                });
            }
            let (shop, items) = shop(&regions[0]);
            for i in 0..4 * ITEMS {
                shop.blocking_update(|shop| shop[0] += 1).unwrap();
                if i % 100 == 0 { items.notify_all() } else { items.notify_one() }.unwrap();
            }
        });
        assert_eq!(*shop(&regions[1]).0.try_lock().unwrap().unwrap(), [0, 4 * ITEMS]);
    });
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn tasks_of_two_members_hand_over_items() {
    let regions = two_members();
    let mut tasks = Vec::new();
    for region in regions.iter().chain(&regions) {
        let (shop, items) = shop(region);
        let shop = Arc::new(shop);
        tasks.push(tokio::spawn(async move {
            for i in 0..ITEMS {
                if i % 10 == 0 {
                    // A wait that is cancelled, perhaps after its notification.
                    let guard = shop.clone().lock_owned().await.unwrap();
                    let _ = tokio::time::timeout(Duration::ZERO, items.wait(guard)).await;
                }
                let guard = shop.clone().lock_owned().await.unwrap();
                let mut guard = items.wait_while(guard, |shop| shop[0] == 0).await.unwrap();
                guard[0] -= 1;
                guard[1] += 1;
                guard.commit();
            }
        }));
    }
    let (shop, items) = shop(&regions[0]);
    for _ in 0..4 * ITEMS {
        shop.update(|shop| shop[0] += 1).await.unwrap();
        items.notify_one().unwrap();
        tokio::task::yield_now().await;
    }
    for task in tasks {
        within(task).await.unwrap();
    }
    assert_eq!(*shop.lock().await.unwrap(), [0, 4 * ITEMS]);
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_wait_commits_first() {
    let [region, other] = two_members();
    let (shop_here, items_here) = shop(&region);
    let (shop_there, items_there) = shop(&other);
    let mut guard = shop_here.lock().await.unwrap();
    guard[0] = 5;
    let mut wait = Box::pin(items_here.wait(guard));
    assert!(is_pending_after_a_turn(&mut wait).await);
    assert_eq!(shop_there.blocking_update(|shop| std::mem::replace(&mut shop[0], 6)).unwrap(), 5);
    items_there.notify_all().unwrap();
    assert_eq!(within(wait).await.unwrap()[0], 6);
}

/// A waiter is dropped after its wake, in each second round while it waits for the mutex.
#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_notification_is_not_lost_with_a_cancelled_wait() {
    let [region, other] = two_members();
    let (shop_here, items_here) = shop(&region);
    let (shop_there, items_there) = shop(&other);
    let mut tried = 0;
    for notify in 0..100 {
        let mut first = Box::pin(items_here.wait(shop_here.lock().await.unwrap()));
        // On the backend `Waitv`, a wake of the mutex may end a wait for the condition variable.
        if !is_pending_after_a_turn(&mut first).await {
            continue;
        }
        let mut second = Box::pin(items_there.wait(shop_there.lock().await.unwrap()));
        if !is_pending_after_a_turn(&mut second).await {
            continue;
        }
        tried += 1;
        items_there.notify_one().unwrap();
        let mut first_was_woken = false;
        if notify % 2 == 0 {
            // Until the one that was woken waits for the mutex. On the backend `Waitv` that may be the second one.
            let guard = shop_there.lock().await.unwrap();
            let is_contended = || shop_there.object().membership().load(shop_there.word(), Relaxed) & C != 0;
            first_was_woken = within(async {
                loop {
                    assert!(is_pending_after_a_turn(&mut first).await);
                    if is_contended() {
                        break true;
                    }
                    assert!(is_pending_after_a_turn(&mut second).await);
                    if is_contended() {
                        break false;
                    }
                }
            })
            .await;
            drop(guard);
        }
        drop(first);
        if first_was_woken {
            // Otherwise the second one sleeps until its word is compared again.
            let sleepers = shop_there.object().membership().wake(items_there.word(), u32::MAX);
            assert_eq!(sleepers, 0, "the wake was not passed on");
        }
        drop(within(second).await.unwrap());
    }
    assert!(tried > 0);
}

#[test]
fn a_wait_ends_at_its_deadline_without_the_mutex() {
    let [region, other] = two_members();
    let (shop_here, items) = shop(&region);
    let mut guard = shop_here.blocking_lock().unwrap();
    guard[0] = 3;
    let deadline = Deadline::after(Duration::from_millis(5));
    let error = items.blocking_wait_while_deadline(guard, |shop| shop[0] == 3, deadline).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(shop(&other).0.try_lock().unwrap().unwrap()[0], 3);
}

#[test]
fn a_mutex_of_another_member_is_refused() {
    let [region, other] = two_members();
    let (shop_here, _) = shop(&region);
    let (_, items_there) = shop(&other);
    let mut guard = shop_here.blocking_lock().unwrap();
    guard[0] = 3;
    let error = items_there.blocking_wait(guard).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(shop_here.try_lock().unwrap().unwrap()[0], 0);
}

#[cfg(feature = "tokio")]
#[test]
fn a_wait_is_send() {
    fn check(_: impl Send) {}
    let [region, _other] = two_members();
    let (shop, items) = shop(&region);
    check(items.wait(shop.blocking_lock().unwrap()));
    check(items.wait_while(shop.blocking_lock().unwrap(), |shop| shop[0] == 0));
}
