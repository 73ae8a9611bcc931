//! The watcher, with members that are all in this process.

use crate::format::{FIRST_SLOT_BYTE, Header, SWEEP_BYTE};
use crate::os::byte_lock;
use crate::steps::member::{DEAD, FREE, LIVE, slot_word};
use crate::steps::{Words, high, low};
use crate::testing::another_member;
use crate::{MemberEvent, Mutex, Region, Stats};
use futex_sys::__private::words64;
use futex_sys::SharedMemory;
use futex_tests::{until, without_a_hang};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

fn slot(region: &Region, slot: u32) -> (u32, u32) {
    let word = region.membership().slot(slot, Relaxed);
    (high(word), low(word))
}

/// A region with two slots, so that each next member gets slot 1.
fn two_slots() -> Region {
    Region::builder().members(2).anonymous().unwrap()
}

#[test]
fn a_death_is_noticed_and_swept() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let other = another_member(&region);
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
        let other = another_member(&region);
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

#[test]
fn a_drop_of_the_last_handle_leaves_at_once_though_the_watcher_works() {
    without_a_hang(|| {
        let region = two_slots();
        for generation in 1..=300 {
            let guest = another_member(&region);
            assert_eq!(slot(&region, 1), (generation, LIVE));
            drop(guest);
            assert_eq!(slot(&region, 1), (generation, FREE));
        }
        let stats = region.stats();
        assert_eq!((stats.deaths_seen, stats.sweeps_done), (0, 0), "nobody died");
    });
}

#[test]
fn deaths_in_two_regions_are_noticed_by_one_thread() {
    without_a_hang(|| {
        let regions = [(); 2].map(|()| Region::builder().anonymous().unwrap());
        let [first, second] = regions.each_ref().map(another_member);
        first.die();
        until(|| slot(&regions[0], 1) == (1, FREE));
        assert_eq!(slot(&regions[1], 1), (1, LIVE));
        second.die();
        until(|| slot(&regions[1], 1) == (1, FREE));
        let [first, second] = regions;
        let theirs = another_member(&second);
        drop(first);
        theirs.die();
        until(|| slot(&second, 2) == (1, FREE));
    });
}

#[test]
fn the_watch_of_a_region_stays_until_its_last_member_of_this_process_leaves() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let (second, third) = (another_member(&region), another_member(&region));
        // The members have the same watch, because they have the same file.
        drop(second);
        // Otherwise a scan that is due notices the death.
        until(|| region.presence().rest_watcher());
        third.die();
        until(|| slot(&region, 2) == (1, FREE));
    });
}

/// The story: a sweeper that dies has the lock until a moment after its death is reported. The other members took it for a sweeper at
/// work, and no member swept.
#[test]
fn the_death_of_a_sweeper_is_noticed() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let victim = another_member(&region);
        let file = region.share().unwrap();
        until(|| byte_lock::try_lock(&file, SWEEP_BYTE..SWEEP_BYTE + 1).unwrap());
        victim.die();
        // The watcher has found the lock, which is dropped before the watcher checks it again.
        until(|| region.presence().watcher_state().starts_with("Check") || slot(&region, 1) == (1, FREE));
        byte_lock::unlock(&file, SWEEP_BYTE..SWEEP_BYTE + 1).unwrap();
        until(|| slot(&region, 1) == (1, FREE));
        // A close of the file is an event too.
        drop(file);
    });
}

/// A member whose process ends. Its file was closed, and [`end`](Self::end) drops its lock, as the kernel does later.
struct Dying(OwnedFd);

impl Dying {
    const BYTE: u32 = FIRST_SLOT_BYTE + 1;

    /// Takes slot 1.
    fn begin(region: &Region) -> Self {
        let file = region.share().unwrap();
        assert!(byte_lock::try_lock(&file, Self::BYTE..Self::BYTE + 1).unwrap());
        region.membership().store(region.membership().layout().slot(1), slot_word(1, LIVE), Relaxed);
        // A close of the file is the event.
        drop(region.share().unwrap());
        Self(file)
    }

    fn end(&self) {
        byte_lock::unlock(&self.0, Self::BYTE..Self::BYTE + 1).unwrap();
    }
}

/// The story: the thread of the kernel that closes the file of a dead member may be descheduled before it drops the lock. A thread with
/// little processor time (`nice 19`, beside many others) was descheduled for seconds, but the last scan was 200 ms after the event. If
/// no other member was waiting, the death was not noticed.
#[test]
fn a_lock_that_is_dropped_long_after_the_event_is_noticed() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let dying = Dying::begin(&region);
        let scans = region.stats().scans;
        // The last of these is 0.3 s after the event.
        until(|| region.stats().scans >= scans + 15);
        assert_eq!(slot(&region, 1), (1, LIVE));
        dying.end();
        until(|| slot(&region, 1) == (1, FREE));
    });
}

#[test]
fn a_lock_that_is_dropped_after_the_sweeper_was_stopped_is_noticed() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let sweeper = region.share().unwrap();
        until(|| byte_lock::try_lock(&sweeper, SWEEP_BYTE..SWEEP_BYTE + 1).unwrap());
        let dying = Dying::begin(&region);
        until(|| region.presence().watcher_state().starts_with("Check"));
        // The sweeper scans until it is stopped.
        until(|| {
            region.membership().fetch_add(Header::SCANS, 2, Relaxed);
            region.presence().watcher_state().contains("pause: 8s")
        });
        dying.end();
        until(|| slot(&region, 1) == (1, FREE));
    });
}

/// The story: without inotify, only a process that waited checked for deaths. If the others only tried to lock a mutex, it stayed locked
/// forever.
#[test]
fn a_death_is_noticed_without_events_by_a_process_that_does_not_wait() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let dying = Dying::begin(&region);
        // Otherwise a scan that is due notices the death.
        until(|| region.presence().rest_watcher());
        region.presence().take_events();
        dying.end();
        until(|| slot(&region, 1) == (1, FREE));
    });
}

#[test]
fn deaths_in_quick_succession_are_noticed() {
    without_a_hang(|| {
        let region = two_slots();
        for generation in 1..=40 {
            another_member(&region).die();
            until(|| slot(&region, 1) == (generation, FREE));
        }
    });
}

#[test]
fn of_32_deaths_at_once_each_is_noticed_and_swept_once_and_reported_to_all() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let survivors = [region.clone(), another_member(&region), another_member(&region)];
        let victims: Vec<Region> = (0..32).map(|_| another_member(&region)).collect();
        let mut streams = survivors.each_ref().map(|region| region.watch_members().unwrap());
        let joined = streams.each_mut().map(|stream| std::iter::from_fn(|| stream.try_next().unwrap()).count());
        assert_eq!(joined, [34; 3]);
        // A victim may sweep an earlier one.
        let counters: Vec<_> =
            survivors.iter().chain(&victims).map(|region| region.membership().counters().clone()).collect();
        victims.into_iter().for_each(Region::die);
        for stream in &mut streams {
            let mut slots = BTreeSet::new();
            while slots.len() < 32 {
                match stream.blocking_next().unwrap() {
                    MemberEvent::Died(member) => assert!(slots.insert(member.slot()), "{member:?} died twice"),
                    event => panic!("{event:?}"),
                }
            }
            assert_eq!(slots, (3..35).collect());
        }
        until(|| (3..35).all(|index| slot(&region, index) == (1, FREE)));
        let sum = |of: fn(Stats) -> u64| counters.iter().map(|counters| of(counters.stats())).sum::<u64>();
        assert_eq!(sum(|stats| stats.deaths_seen), 32);
        assert_eq!(sum(|stats| stats.sweeps_done), 32);
    });
}

#[test]
fn a_sweeper_that_dies_is_replaced() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let mutex = Mutex::create(&region, "m", 5_u64).unwrap();
        let (sweeper, victim) = (another_member(&region), another_member(&region));
        let theirs = Mutex::<u64>::open(&victim, "m").unwrap();
        std::mem::forget(theirs.blocking_lock().unwrap());
        drop(theirs);
        // The sweeper marks the slot, sweeps nothing, and prevents the others from sweeping.
        until(|| byte_lock::try_lock(sweeper.membership(), SWEEP_BYTE..SWEEP_BYTE + 1).unwrap());
        let word = victim.membership().slot(2, Relaxed);
        let marked = sweeper.membership().replace_slot(2, word, slot_word(high(word), DEAD));
        assert_eq!(marked, Ok(word));
        sweeper.die();
        victim.die();
        assert!(mutex.blocking_lock().unwrap().predecessor_died());
        until(|| [1, 2].map(|index| slot(&region, index)) == [(1, FREE); 2]);
    });
}

#[test]
fn a_region_that_has_lost_its_name_is_reported() {
    without_a_hang(|| {
        let directory = tempfile::tempdir().unwrap();
        let builder = Region::builder().directory(directory.path());
        let region = builder.create("name").unwrap();
        let mut events = region.watch_members().unwrap();
        let other = builder.open("name").unwrap();
        assert!(matches!(events.blocking_next(), Ok(MemberEvent::Joined(_))));
        std::fs::remove_file(directory.path().join("name")).unwrap();
        assert_eq!(events.blocking_next().unwrap(), MemberEvent::Unlinked);
        let mut late = other.watch_members().unwrap();
        assert!(matches!(late.blocking_next(), Ok(MemberEvent::Joined(_))));
        assert_eq!(late.blocking_next().unwrap(), MemberEvent::Unlinked);
        assert_eq!(late.try_next().unwrap(), None, "the loss is reported once");
    });
}

#[test]
fn a_region_whose_file_got_another_name_is_reported() {
    without_a_hang(|| {
        let directory = tempfile::tempdir().unwrap();
        let region = Region::builder().directory(directory.path()).create("name").unwrap();
        let mut events = region.watch_members().unwrap();
        std::fs::rename(directory.path().join("name"), directory.path().join("another")).unwrap();
        assert_eq!(events.blocking_next().unwrap(), MemberEvent::Unlinked);
        std::fs::remove_file(directory.path().join("another")).unwrap();
    });
}

#[test]
fn a_member_that_joins_finds_those_that_died_unseen() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let layout = region.membership().layout();
        let memory = SharedMemory::from_fd(region.share().unwrap()).unwrap();
        region.die();
        for (slot, state) in [(1, LIVE), (2, DEAD)] {
            words64(&memory)[layout.slot(slot).0 as usize].store(slot_word(7, state), Relaxed);
        }
        let next = Region::builder().from_fd(&memory).unwrap();
        // In one of their slots the join itself would find its member.
        assert!(next.membership().me().slot > 2);
        until(|| [1, 2].map(|index| slot(&next, index)) == [(7, FREE); 2]);
    });
}

#[test]
fn a_member_that_was_killed_while_it_left_is_reported() {
    without_a_hang(|| {
        let region = two_slots();
        let mut events = region.watch_members().unwrap();
        for generation in 1..=10 {
            let other = another_member(&region);
            assert!(matches!(events.blocking_next(), Ok(MemberEvent::Joined(_))));
            let word = slot_word(generation, LIVE);
            let left = other.membership().replace_slot(1, word, slot_word(generation, FREE));
            assert_eq!(left, Ok(word));
            // The last step of the leave would have been the announcement.
            other.die();
            assert!(matches!(events.blocking_next(), Ok(MemberEvent::Left(_))));
        }
    });
}

#[test]
fn nobody_waits_for_a_sweeper_that_is_stopped() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let victim = another_member(&region);
        let memory = region.share().unwrap();
        // As if a sweeper had stopped at the worst time: it only has the lock.
        until(|| byte_lock::try_lock(&memory, SWEEP_BYTE..SWEEP_BYTE + 1).unwrap());
        victim.die();
        until(|| slot(&region, 1) == (1, FREE));
    });
}

#[test]
fn a_death_is_noticed_although_the_kernel_has_dropped_its_event() {
    without_a_hang(|| {
        let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        let limit: usize = limit.trim().parse().unwrap();
        if limit > 100_000 {
            return futex_tests::skip("the queue of inotify is very long here");
        }
        let region = Region::builder().anonymous().unwrap();
        let victim = another_member(&region);
        let noisy = [(); 2].map(|()| Region::builder().anonymous().unwrap());
        // Otherwise a scan that is due notices the death.
        until(|| region.presence().rest_watcher());
        let busy = region.presence().keep_watcher_busy();
        // The kernel merges an event with the last one if the two are alike. The watcher may read some before it works again.
        for _ in 0..limit {
            for region in &noisy {
                drop(region.share().unwrap());
            }
        }
        victim.die();
        assert_eq!(slot(&region, 1), (1, LIVE));
        drop(busy);
        until(|| slot(&region, 1) == (1, FREE));
    });
}

#[test]
fn a_lost_wake_is_found_and_counted() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let mutex = Arc::new(Mutex::create(&region, "m", 5_u64).unwrap());
        let place = region.membership().entries()[0].clone().unwrap().base;
        let guard = mutex.blocking_lock().unwrap();
        let theirs = mutex.clone();
        let locker = std::thread::spawn(move || theirs.blocking_lock().map(drop));
        let waits = region.membership().waits();
        until(|| waits.len() == 1);
        until(|| futex_tests::waiters(&region.membership().word(place).unwrap()) == 1);
        // As if the wake of an unlock had gone to a process that is stopped.
        region.membership().store(place, 0, Relaxed);
        locker.join().unwrap().unwrap();
        // The watcher counts after the wake.
        until(|| region.stats().rechecks_that_found == 1);
        std::mem::forget(guard);
    });
}

#[test]
fn a_wait_ends_when_its_region_is_closed() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let mutex = Arc::new(Mutex::create(&region, "m", 5_u64).unwrap());
        let guard = mutex.blocking_lock().unwrap();
        let theirs = mutex.clone();
        let locker = std::thread::spawn(move || theirs.blocking_lock().map(drop));
        let waits = region.membership().waits();
        until(|| waits.len() == 1);
        region.close();
        assert_eq!(locker.join().unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);
        drop(guard);
    });
}

#[test]
fn a_wait_ends_when_the_slot_of_its_member_was_taken_away() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let other = another_member(&region);
        let mut events = region.watch_members().unwrap();
        assert!(matches!(events.try_next(), Ok(Some(MemberEvent::Joined(_)))));
        let word = slot_word(1, LIVE);
        assert_eq!(other.membership().replace_slot(0, word, slot_word(1, FREE)), Ok(word));
        drop(other); // This is an event, so the region is scanned.
        let error = loop {
            match events.blocking_next() {
                Ok(event) => assert!(matches!(event, MemberEvent::Left(_)), "{event:?}"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    });
}
