//! `Word`.

use crate::support::{until, until_waiters};
use futex_sys::futex::{Outcome, Scope};
use futex_sys::{SharedMemory, Word};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_word_can_be_made_of_every_memory_that_lives_long_enough() {
    static STATIC: AtomicU32 = AtomicU32::new(1);
    let leaked: &'static mut AtomicU32 = Box::leak(Box::new(AtomicU32::new(2)));
    let memory = SharedMemory::anonymous(4).unwrap();
    memory.as_words()[0].store(4, Ordering::Relaxed);

    let words =
        [Word::from(&STATIC), Word::from(leaked), Word::from(Arc::new(AtomicU32::new(3))), memory.word(0).unwrap()];
    for (word, value) in words.iter().zip(1..) {
        assert_eq!(word.load(Ordering::Relaxed), value);
        let waiter = thread::spawn({
            let word = word.clone();
            move || word.wait(value, None).unwrap()
        });
        until("the waiter is woken", || word.wake(1) == 1);
        assert_eq!(waiter.join().unwrap(), Outcome::Woken);
    }
}

#[test]
fn words_of_one_address_are_known_as_such() {
    let memory = SharedMemory::anonymous(4096).unwrap();
    let again = SharedMemory::from_fd(std::os::fd::AsFd::as_fd(&memory).try_clone_to_owned().unwrap()).unwrap();
    let word = memory.word(8).unwrap();
    assert!(word.same_address(&memory.word(8).unwrap()));
    assert!(word.same_address(&Word::from(&word)));
    assert!(!word.same_address(&memory.word(12).unwrap()));
    assert!(!word.same_address(&again.word(8).unwrap()), "another mapping has another address");
}

#[test]
fn two_mappings_of_one_word_meet() {
    let memory = SharedMemory::anonymous(4096).unwrap();
    let again = SharedMemory::from_fd(std::os::fd::AsFd::as_fd(&memory).try_clone_to_owned().unwrap()).unwrap();
    let waiter = thread::spawn({
        let word = again.word(2048).unwrap();
        move || word.wait(0, None).unwrap()
    });
    let word = memory.word(2048).unwrap();
    until_waiters(&word, Scope::Shared, 1);
    assert_eq!(memory.word(2052).unwrap().wake(1), 0);
    assert_eq!(word.wake(1), 1);
    assert_eq!(waiter.join().unwrap(), Outcome::Woken);
}

#[test]
fn a_wait_with_a_timeout_ends_after_it() {
    let word = Word::from(Arc::new(AtomicU32::new(0)));
    let start = Instant::now();
    assert_eq!(word.wait(0, Some(Duration::from_millis(20))).unwrap(), Outcome::TimedOut);
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert_eq!(word.wait(0, Some(Duration::ZERO)).unwrap(), Outcome::TimedOut);
    assert_eq!(word.wait(1, Some(Duration::MAX)).unwrap(), Outcome::Mismatch);
}

#[test]
fn a_word_says_where_it_is() {
    let word = Word::from(Arc::new(AtomicU32::new(0)));
    assert_eq!(format!("{word:?}"), format!("Word({:p})", word.as_ptr()));
}
