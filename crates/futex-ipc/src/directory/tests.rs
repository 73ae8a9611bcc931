//! Objects that a member was adding when it died.

use crate::format::{ENTRY, Header, LINE};
use crate::membership::Membership;
use crate::run::run;
use crate::steps::mutex::Lock;
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
