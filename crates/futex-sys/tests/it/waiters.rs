//! `Word::waiters` counts all waiters, wakes none, and keeps their order.

use crate::support::child::Process;
use crate::support::{blocked, blocked_with, errno, mask, skip, until, word};
use futex_sys::futex::{MATCH_ANY, Scope, WaitOutcome, WaitvEntry, WaitvOutcome, waitv};
use futex_sys::{SharedMemory, Word};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

fn until_waiters(word: &Word, n: u32) {
    until(&format!("there are {n} waiters"), || word.waiters().expect("a count") == n);
}

#[test]
fn threads_are_counted_whatever_their_masks_and_keep_their_order_through_many_counts() {
    let word = word();
    assert_eq!(word.waiters().unwrap(), 0);
    let mut threads: Vec<_> = (0..6_u32)
        .map(|n| blocked_with(&word, Scope::Shared, if n % 2 == 0 { MATCH_ANY } else { mask(1 << n) }))
        .collect();
    for _ in 0..100 {
        assert_eq!(word.waiters().unwrap(), 6);
    }
    assert!(threads.iter().all(|thread| !thread.is_finished()), "counting wakes nobody");
    // Each wake reaches the longest waiting thread.
    for left in (0..6).rev() {
        assert!(word.wake_one());
        assert_eq!(threads.remove(0).join().unwrap(), WaitOutcome::Woken);
        for _ in 0..10 {
            assert_eq!(word.waiters().unwrap(), left);
        }
    }
    assert!(!word.wake_one());
}

/// Regression: a count by two requeues, to another word and back, lost wakes that came meanwhile.
#[test]
fn counts_by_other_threads_lose_no_wake() {
    let word = word();
    let over = Arc::new(AtomicU32::new(0));
    let counting: Vec<_> = (0..2)
        .map(|_| {
            let (word, over) = (word.clone(), over.clone());
            thread::spawn(move || {
                while over.load(Ordering::Acquire) == 0 {
                    assert!(word.waiters().expect("a count") <= 1);
                }
            })
        })
        .collect();
    for _ in 0..500 {
        let waiter = thread::spawn({
            let word = word.clone();
            move || word.wait(0, None).expect("a wait")
        });
        until_waiters(&word, 1);
        assert!(word.wake_one(), "the wake did not reach the counted waiter");
        assert_eq!(waiter.join().unwrap(), WaitOutcome::Woken);
    }
    over.store(1, Ordering::Release);
    counting.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn waits_of_waitv_are_counted() {
    let words = [word(), word()];
    if let Err(error) = waitv(&[WaitvEntry::new(&words[0], Scope::Shared, 1)], None) {
        return skip(error);
    }
    let waiter = thread::spawn({
        let words = words.clone();
        move || waitv(&words.each_ref().map(|word| WaitvEntry::new(word, Scope::Shared, 0)), None).expect("a wait")
    });
    // The kernel queues the entries in order, so the first word has its waiter too.
    until_waiters(&words[1], 1);
    assert_eq!((words[0].waiters().unwrap(), words[0].waiters().unwrap()), (1, 1));
    let behind = blocked(&words[1]);
    assert_eq!(words[1].waiters().unwrap(), 2);
    assert!(words[1].wake_one());
    assert_eq!(waiter.join().unwrap(), WaitvOutcome::Woken(1), "the count changed the order");
    assert_eq!((words[0].waiters().unwrap(), words[1].waiters().unwrap()), (0, 1));
    assert_eq!(words[1].wake_all(), 1);
    assert_eq!(behind.join().unwrap(), WaitOutcome::Woken);
}

#[cfg(feature = "uring")]
#[test]
fn waits_of_a_ring_are_counted_and_can_be_woken_and_cancelled_afterwards() {
    use crate::support::{arm, complete, ring};
    use futex_sys::uring::Ending;

    let Some(mut ring) = ring() else { return };
    let word = word();
    let first = arm(&mut ring, 0, &word);
    let thread = blocked(&word);
    arm(&mut ring, 1, &word);
    for _ in 0..100 {
        assert_eq!(word.waiters().unwrap(), 3);
    }
    assert!(ring.next_completion().is_none(), "counting ends no wait");
    assert!(matches!(ring.cancel(first).unwrap().ending, Ending::Cancelled));
    assert_eq!(word.waiters().unwrap(), 2);
    assert!(word.wake_one());
    assert_eq!(thread.join().unwrap(), WaitOutcome::Woken);
    assert!(word.wake_one());
    let woken = complete(&mut ring);
    assert!(woken.tag == Some(1) && matches!(woken.ending, Ending::Woken), "{woken:?}");
    assert_eq!(word.waiters().unwrap(), 0);
}

#[test]
fn waits_of_another_process_are_counted_in_every_mapping_of_the_word() {
    let memory = SharedMemory::anonymous(4096).unwrap();
    let again = SharedMemory::from_fd(std::os::fd::AsFd::as_fd(&memory).try_clone_to_owned().unwrap()).unwrap();
    let [word, other] = [&memory, &again].map(|memory| memory.word(0).unwrap());
    let mut killed = Process::start("wait", &memory);
    until_waiters(&other, 1);
    let child = Process::start("wait", &memory);
    until_waiters(&word, 2);
    let own = blocked(&word);
    assert_eq!((word.waiters().unwrap(), other.waiters().unwrap()), (3, 3));
    assert_eq!(memory.word(4).unwrap().waiters().unwrap(), 0, "the next word has the waiters of this one");
    killed.kill();
    until_waiters(&word, 2);
    assert!(other.wake_one());
    assert!(child.end().success());
    assert_eq!(word.waiters().unwrap(), 1);
    assert_eq!(word.wake_all(), 1);
    assert_eq!(own.join().unwrap(), WaitOutcome::Woken);
}

#[test]
fn private_waits_are_not_counted() {
    let word = word();
    let private = blocked_with(&word, Scope::Private, MATCH_ANY);
    assert_eq!(word.waiters().unwrap(), 0);
    assert_eq!(futex_sys::futex::wake(&word, Scope::Private, 1).unwrap(), 1);
    assert_eq!(private.join().unwrap(), WaitOutcome::Woken);
}

#[test]
fn a_count_does_not_change_the_word() {
    let memory = SharedMemory::anonymous(1 << 16).unwrap();
    let word = memory.word(1 << 15).unwrap();
    assert_eq!(word.waiters().unwrap(), 0);
    assert_eq!(word.load(Ordering::Relaxed), 0);
    word.store(7, Ordering::Relaxed);
    assert_eq!((word.waiters().unwrap(), word.load(Ordering::Relaxed)), (0, 7));
}

#[test]
fn a_count_on_a_page_that_is_gone_is_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 20).unwrap();
    let word = SharedMemory::open_path(&file).unwrap().word(1 << 19).unwrap();
    assert_eq!(word.waiters().unwrap(), 0);
    file.as_file().set_len(4).unwrap();
    let error = word.waiters().unwrap_err();
    assert_eq!(errno(&error), Some(libc::EFAULT));
    let cause = io::Error::from_raw_os_error(libc::EFAULT);
    assert_eq!(error.to_string(), format!("cannot count the waiters of {word:?}: {cause}"));
    assert!(!word.wake_one());
    assert_eq!(word.wake_all(), 0);
}
