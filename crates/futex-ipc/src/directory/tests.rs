//! Adding objects beside members that die, or that are stopped.

use crate::format::{ENTRY, Header, LINE};
use crate::membership::Membership;
use crate::run::run;
use crate::steps::mutex::{Lock, Unlock};
use crate::steps::{Place, Words, halves};
use crate::testing::another_member;
use crate::{Mutex, Region, Semaphore};
use futex_tests::without_a_hang;
use std::io::ErrorKind;
use std::sync::atomic::Ordering::Relaxed;

/// A member locks the directory, writes an object and its entry, and dies before it counts the entry.
#[test]
fn an_object_that_a_member_was_adding_when_it_died_is_not_there_and_its_words_are_used_again() {
    without_a_hang(|| {
        let region = Region::builder().members(4).objects(4).anonymous().unwrap();
        Mutex::create(&region, "first", 1_u64).unwrap();
        let victim = another_member(&region);
        let membership: &Membership = victim.membership();
        assert!(!run(membership, Lock::new(Header::LOCK)).unwrap().died);
        let layout = membership.layout();
        let first = layout.entry(0);
        let end = layout.objects() + LINE;
        for i in 0..ENTRY {
            // The same entry again, with another place.
            let word = if i == 1 { halves(64, end) } else { membership.load(Place(first.0 + i), Relaxed) };
            membership.store(Place(layout.entry(1).0 + i), word, Relaxed);
        }
        for place in end..layout.len {
            membership.store(Place(place), 0x0123_4567_0000_0003, Relaxed);
        }
        victim.die();

        assert_eq!(Mutex::<u64>::open(&region, "second").unwrap_err().kind(), ErrorKind::NotFound);
        let mutex = Mutex::create(&region, "second", [7_u64; 4]).unwrap();
        let semaphore = Semaphore::create(&region, "third", 3).unwrap();
        let guard = mutex.try_lock().unwrap().expect("a new mutex is free");
        assert_eq!((*guard, guard.predecessor_died()), ([7; 4], false));
        assert_eq!([semaphore.available_permits().unwrap(), semaphore.capacity().unwrap()], [3, 3]);
        assert_eq!(region.membership().entries().len(), 3);
    });
}

#[test]
fn an_object_is_not_added_while_another_member_has_been_adding_one_for_a_second() {
    without_a_hang(|| {
        let region = Region::builder().anonymous().unwrap();
        let first = Mutex::create(&region, "first", 1_u64).unwrap();
        let other = another_member(&region);
        let membership: &Membership = other.membership();
        let locked = run(membership, Lock::new(Header::LOCK)).unwrap();
        let error = Mutex::create(&region, "second", 1_u64).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        assert!(error.to_string().contains("another member has been adding an object for a second"), "{error}");
        // Objects that are there need no lock.
        drop(Mutex::<u64>::open_or_create(&region, "first", 1).unwrap());
        drop(first.try_lock().unwrap().unwrap());
        assert_eq!(run(membership, Unlock::new(Header::LOCK, locked, true)), Some(true));
        Mutex::create(&region, "second", 1_u64).unwrap();
    });
}

#[test]
fn an_object_that_is_too_large_for_the_region_is_refused_with_both_lengths() {
    let region = Region::builder().bytes(256).anonymous().unwrap();
    let free = (region.membership().layout().len - region.membership().layout().objects()) * 8;
    let error = Mutex::create(&region, "large", [0_u8; 1 << 16]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    let lengths = format!("the object needs {} bytes, and {free} are left", 24 + 2 * (1 << 16));
    assert!(error.to_string().contains(&lengths), "{error}");
    Mutex::create(&region, "small", 1_u64).unwrap();
}
