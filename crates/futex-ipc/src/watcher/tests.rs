//! The watcher, with members that are all in this process.

use crate::steps::member::{FREE, LIVE};
use crate::steps::{Words, high, low};
use crate::{Mutex, Region};
use futex_tests::{until, without_a_hang};
use std::os::fd::AsFd as _;
use std::sync::atomic::Ordering::Relaxed;

fn other(region: &Region) -> Region {
    Region::builder().from_fd(region.membership().as_fd()).unwrap()
}

fn slot(region: &Region, slot: u32) -> (u32, u32) {
    let word = region.membership().slot(slot, Relaxed);
    (high(word), low(word))
}

#[test]
fn a_death_is_noticed_and_swept() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let other = other(&region);
        assert_eq!(slot(&region, 1), (1, LIVE));
        other.die();
        until(|| slot(&region, 1) == (1, FREE));
        let stats = region.stats();
        assert_eq!((stats.deaths_seen, stats.sweeps_done), (1, 1));
    });
}

#[test]
fn a_locker_behind_a_dead_owner_goes_on() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let mutex = Mutex::create(&region, "m", 5_u64).unwrap();
        let other = other(&region);
        let theirs = Mutex::<u64>::open(&other, "m").unwrap();
        std::mem::forget(theirs.blocking_lock().unwrap());
        drop(theirs);
        let locker = std::thread::spawn(move || mutex.blocking_lock().unwrap().predecessor_died());
        let waits = region.membership().waits();
        until(|| waits.len() == 1);
        other.die();
        assert!(locker.join().unwrap());
        assert_eq!(region.stats().rechecks_that_found, 0);
    });
}
