//! `Word`: construction, waits and identity.
#![expect(unsafe_code, reason = "handles of raw pointers")]

use crate::support::{until, until_waiters};
use futex_sys::futex::{Scope, WaitOutcome};
use futex_sys::{SharedMemory, Word};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_word_can_be_made_from_a_static_a_leak_an_arc_and_shared_memory() {
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
        assert_eq!(waiter.join().unwrap(), WaitOutcome::Woken);
    }
}

#[test]
fn two_handles_to_one_word_have_the_same_address() {
    let memory = SharedMemory::anonymous(4096).unwrap();
    let again = passed(&memory);
    let word = memory.word(8).unwrap();
    assert_eq!(word.as_ptr(), memory.word(8).unwrap().as_ptr());
    assert_eq!(word.as_ptr(), Word::from(&word).as_ptr());
    assert_ne!(word.as_ptr(), memory.word(12).unwrap().as_ptr());
    assert_ne!(word.as_ptr(), again.word(8).unwrap().as_ptr(), "two mappings have the same address");
}

/// Another mapping of `memory`, like that of a process to which the descriptor was passed.
fn passed(memory: &SharedMemory) -> SharedMemory {
    SharedMemory::from_fd(memory.as_fd().try_clone_to_owned().expect("dup")).expect("memory")
}

/// `same_word` in both directions.
fn same(one: &Word, other: &Word) -> bool {
    let same = one.same_word(other);
    assert_eq!(same, other.same_word(one), "{one:?} and {other:?}");
    same
}

#[test]
fn a_word_of_an_object_is_the_same_word_in_every_mapping() {
    // Regression: words were compared by address, so two mappings of one word counted as two words. On backends whose waits are
    // not always in the kernel, a wake that was passed on from one to the other reached no waiter.
    let name = format!("/futex-sys-test-identity-{}", std::process::id());
    let named = SharedMemory::create(&name, 8192).unwrap();
    let again = [SharedMemory::open(&name).unwrap(), SharedMemory::open_or_create(&name, 8192).unwrap()];
    SharedMemory::unlink(&name).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(8192).unwrap();
    let opened = [(); 3].map(|()| SharedMemory::open_path(&file).unwrap());
    let anonymous = SharedMemory::anonymous(8192).unwrap();

    for mappings in [
        [&named, &again[0], &again[1], &passed(&named)],
        [&opened[0], &opened[1], &opened[2], &passed(&opened[0])],
        [&anonymous, &passed(&anonymous), &passed(&passed(&anonymous)), &anonymous.clone()],
    ] {
        for (one, other) in mappings.iter().flat_map(|&one| mappings.map(|other| (one, other))) {
            for offset in [0, 4, 4096, 8188] {
                let word = one.word(offset).unwrap();
                assert!(same(&word, &other.word(offset).unwrap()), "{one:?} and {other:?} at {offset}");
                assert!(!same(&word, &other.word(offset ^ 4).unwrap()), "{one:?} and {other:?} beside {offset}");
            }
        }
    }
}

#[test]
fn words_of_different_objects_are_never_the_same() {
    let name = |which| format!("/futex-sys-test-identity-{which}-{}", std::process::id());
    let files = [(); 2].map(|()| tempfile::NamedTempFile::new().unwrap());
    for file in &files {
        file.as_file().set_len(64).unwrap();
    }
    let memories = [
        SharedMemory::anonymous(64).unwrap(),
        SharedMemory::anonymous(64).unwrap(),
        SharedMemory::create(name(1), 64).unwrap(),
        SharedMemory::create(name(2), 64).unwrap(),
        SharedMemory::open_path(&files[0]).unwrap(),
        SharedMemory::open_path(&files[1]).unwrap(),
    ];
    for which in [1, 2] {
        SharedMemory::unlink(name(which)).unwrap();
    }
    let private = Word::from(Arc::new(AtomicU32::new(0)));
    for (index, memory) in memories.iter().enumerate() {
        for other in &memories[..index] {
            assert!(!same(&memory.word(8).unwrap(), &other.word(8).unwrap()), "{memory:?} and {other:?}");
        }
        assert!(!same(&memory.word(0).unwrap(), &private));
    }
}

#[test]
fn words_without_an_object_are_compared_by_their_addresses() {
    static STATIC: AtomicU32 = AtomicU32::new(0);
    let arcs = [(); 2].map(|()| Arc::new(AtomicU32::new(0)));
    let words = [Word::from(&STATIC), Word::from(arcs[0].clone()), Word::from(arcs[1].clone())];
    let again = [Word::from(&STATIC), Word::from(arcs[0].clone()), words[2].clone()];
    for (index, word) in words.iter().enumerate() {
        for (other, again) in again.iter().enumerate() {
            assert_eq!(same(word, again), index == other);
        }
    }
}

#[test]
fn words_of_raw_pointers_into_an_object_are_compared_by_their_addresses() {
    let memory = SharedMemory::anonymous(64).unwrap();
    let pointer = memory.as_ptr().cast::<u32>();
    // SAFETY: The memory is mapped until the end of the test, and its second word is accessed as an atomic only.
    let raw = unsafe { Word::from_ptr(pointer.add(1)) };
    // SAFETY: As above.
    let owned = unsafe { Word::from_ptr_with_owner(pointer.add(1), Arc::new(memory.clone())) };
    for word in [&raw, &owned] {
        assert!(same(word, &memory.word(4).unwrap()));
        assert!(!same(word, &memory.word(8).unwrap()));
        assert!(!same(word, &passed(&memory).word(4).unwrap()), "a pointer does not identify its object");
    }
    assert!(same(&raw, &owned));
}

#[test]
fn a_wake_through_one_mapping_reaches_a_wait_through_another() {
    let memory = SharedMemory::anonymous(4096).unwrap();
    let again = passed(&memory);
    let waiter = thread::spawn({
        let word = again.word(2048).unwrap();
        move || word.wait(0, None).unwrap()
    });
    let word = memory.word(2048).unwrap();
    until_waiters(&word, Scope::Shared, 1);
    assert_eq!(memory.word(2052).unwrap().wake(1), 0);
    assert_eq!(word.wake(1), 1);
    assert_eq!(waiter.join().unwrap(), WaitOutcome::Woken);
}

#[test]
fn a_wait_with_a_timeout_ends_after_it() {
    let word = Word::from(Arc::new(AtomicU32::new(0)));
    let start = Instant::now();
    assert_eq!(word.wait(0, Some(Duration::from_millis(20))).unwrap(), WaitOutcome::TimedOut);
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert_eq!(word.wait(0, Some(Duration::ZERO)).unwrap(), WaitOutcome::TimedOut);
    assert_eq!(word.wait(1, Some(Duration::MAX)).unwrap(), WaitOutcome::Mismatch);
}

#[test]
fn the_debug_output_of_a_word_has_its_address() {
    let word = Word::from(Arc::new(AtomicU32::new(0)));
    assert_eq!(format!("{word:?}"), format!("Word({:p})", word.as_ptr()));
}
