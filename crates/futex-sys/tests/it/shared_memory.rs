//! `SharedMemory` within one process.

use futex_sys::{NamedMemory, SharedMemory, Word};
use rustix::fs::SealFlags;
use rustix::io::{Errno, FdFlags};
use std::os::fd::{AsFd, AsRawFd as _};
use std::sync::atomic::Ordering;

#[test]
fn new_memory_is_all_zero_and_as_long_as_asked_for() {
    for len in [4, 5, 7, 4095, 4096, 4097, 1 << 20] {
        let memory = SharedMemory::anonymous(len).unwrap();
        assert_eq!(memory.len(), len);
        assert_eq!(memory.as_words().len(), len / 4);
        assert!(memory.as_words().iter().all(|word| word.load(Ordering::Relaxed) == 0));
        assert_eq!(rustix::fs::fstat(&memory).unwrap().st_size, i64::try_from(len).unwrap());
    }
}

#[test]
fn new_memory_has_all_its_pages() {
    // Regression: `ftruncate` alone allocated no pages. If `/dev/shm` was full later, the access to a page raised SIGBUS.
    let name = format!("/futex-sys-test-pages-{}", std::process::id());
    for len in [4, 4096, 4097, (3 << 20) + 5] {
        let all = [
            SharedMemory::anonymous(len),
            SharedMemory::open_or_create(&name, len),
            NamedMemory::replace(&name, len).map(NamedMemory::keep),
            SharedMemory::unlink(&name).and_then(|()| SharedMemory::create(&name, len)),
        ];
        SharedMemory::unlink(&name).unwrap();
        for memory in all {
            let stat = rustix::fs::fstat(memory.unwrap()).unwrap();
            assert!(stat.st_blocks * 512 >= stat.st_size, "{} blocks for {len} bytes", stat.st_blocks);
        }
    }
}

#[test]
fn a_descriptor_becomes_memory_and_memory_shows_its_descriptor() {
    let memory = SharedMemory::anonymous(64).unwrap();
    let same = SharedMemory::try_from(memory.as_fd().try_clone_to_owned().unwrap()).unwrap();
    same.as_words()[0].store(3, Ordering::Relaxed);
    assert_eq!(memory.as_words()[0].load(Ordering::Relaxed), 3);
    assert_eq!(memory.as_raw_fd(), memory.as_fd().as_raw_fd());
    assert_ne!(memory.as_raw_fd(), same.as_raw_fd());
}

#[test]
fn anonymous_memory_can_be_neither_shortened_nor_lengthened_nor_unsealed() {
    let memory = SharedMemory::anonymous(4096).unwrap();
    assert!(memory.is_sealed());
    for len in [0, 4095, 4097, 1 << 20] {
        assert_eq!(rustix::fs::ftruncate(&memory, len), Err(Errno::PERM), "{len}");
    }
    let seals = rustix::fs::fcntl_get_seals(&memory).unwrap();
    assert!(seals.contains(SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL), "{seals:?}");
    assert_eq!(rustix::fs::fcntl_add_seals(&memory, SealFlags::WRITE), Err(Errno::PERM));
}

#[test]
fn is_sealed_reports_the_seal_of_a_passed_descriptor() {
    let pass = |memory: &SharedMemory| SharedMemory::from_fd(memory.as_fd().try_clone_to_owned().unwrap()).unwrap();
    assert!(pass(&SharedMemory::anonymous(64).unwrap()).is_sealed());
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(64).unwrap();
    assert!(!pass(&SharedMemory::open_path(&file).unwrap()).is_sealed());
}

#[test]
fn every_descriptor_is_closed_on_exec() {
    let name = format!("/futex-sys-test-exec-{}", std::process::id());
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(64).unwrap();
    let all = [
        SharedMemory::anonymous(64),
        SharedMemory::create(&name, 64),
        SharedMemory::open(&name),
        SharedMemory::open_or_create(&name, 64),
        SharedMemory::open_path(&file),
    ];
    SharedMemory::unlink(&name).unwrap();
    for memory in all {
        assert!(rustix::io::fcntl_getfd(memory.unwrap()).unwrap().contains(FdFlags::CLOEXEC));
    }
}

#[test]
fn a_word_keeps_its_memory_when_the_handles_are_gone() {
    let memory = SharedMemory::anonymous(4096).unwrap();
    let address = memory.as_ptr() as usize;
    let clone = memory.clone();
    let word = memory.word(4).unwrap();
    let second = word.clone();
    word.store(9, Ordering::Relaxed);
    drop((memory, clone, word));
    assert!(is_mapped(address));
    assert_eq!(second.load(Ordering::Relaxed), 9);
    assert_eq!(second.wake(1), 0);
    drop(second);
    assert!(!is_futex_memory(address), "the mapping outlives its last word");
}

fn maps() -> String {
    std::fs::read_to_string("/proc/self/maps").expect("/proc")
}

fn is_mapped(address: usize) -> bool {
    maps()
        .lines()
        .any(|line| line.starts_with(&format!("{address:x}-")) || line.starts_with(&format!("{address:08x}-")))
}

/// Checks for this memory, because another thread may have mapped something else at the address since.
fn is_futex_memory(address: usize) -> bool {
    let start = format!("{address:x}-");
    maps().lines().any(|line| line.starts_with(&start) && line.contains("futex-words") && line.contains("00001000"))
}

#[test]
fn clones_share_one_mapping() {
    let memory = SharedMemory::anonymous(64).unwrap();
    let clone = memory.clone();
    assert_eq!(memory.as_ptr(), clone.as_ptr());
    memory.as_words()[3].store(5, Ordering::Relaxed);
    assert_eq!(clone.word(12).unwrap().load(Ordering::Relaxed), 5);
}

#[test]
fn a_file_is_mapped_as_it_is() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, [[1_u32, 2, 3].map(u32::to_ne_bytes).concat(), vec![7]].concat()).unwrap();
    let memory = SharedMemory::open_path(&file).unwrap();
    assert_eq!(memory.len(), 13);
    assert_eq!(memory.as_words().iter().map(|word| word.load(Ordering::Relaxed)).collect::<Vec<_>>(), [1, 2, 3]);
    memory.word(4).unwrap().store(20, Ordering::Relaxed);
    assert_eq!(std::fs::read(&file).unwrap()[4..8], 20_u32.to_ne_bytes());
}

#[test]
fn memory_and_words_go_to_other_threads() {
    let memory = SharedMemory::anonymous(64).unwrap();
    let (word, clone): (Word, _) = (memory.word(0).unwrap(), memory.clone());
    std::thread::spawn(move || {
        word.store(1, Ordering::Release);
        drop((word, clone));
    })
    .join()
    .unwrap();
    assert_eq!(memory.as_words()[0].load(Ordering::Acquire), 1);
}

#[test]
fn the_debug_output_of_memory_has_its_address_length_and_descriptor() {
    let memory = SharedMemory::anonymous(64).unwrap();
    let text = format!("{memory:?}");
    assert!(text.contains("SharedMemory") && text.contains("len: 64"), "{text}");
    assert!(text.contains(&format!("{:?}", memory.as_ptr())), "{text}");
    assert!(text.contains(&format!("fd: {}", memory.as_raw_fd())), "{text}");
}
