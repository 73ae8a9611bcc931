use super::*;
use crate::futex::{MATCH_ANY, WaitOutcome, WaitvEntry, WaitvOutcome, waitv};
use crate::{Deadline, SharedMemory};
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, ftruncate, memfd_create, openat};
use rustix::io::pwrite;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc::channel;
use std::thread;

const PAGE: usize = 4096;

fn new_memfd(len: u64, flags: MemfdFlags) -> rustix::io::Result<OwnedFd> {
    let fd = memfd_create("view", flags | MemfdFlags::CLOEXEC)?;
    ftruncate(&fd, len)?;
    Ok(fd)
}

/// The same object, opened again for reading only.
fn open_to_read(fd: &impl AsFd) -> OwnedFd {
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

fn view_of(fd: &impl AsFd) -> MemoryView {
    MemoryView::from_fd(open_to_read(fd)).unwrap()
}

fn blocks(fd: &impl AsFd) -> i64 {
    fstat(fd).unwrap().st_blocks
}

/// Returns once `word` has `n` waiters, which are counted through the view.
fn until_waiters(view: &MemoryView, offset: usize, n: u32) {
    let start = std::time::Instant::now();
    while view.waiters(offset).unwrap() != n {
        assert!(start.elapsed().as_secs() < 60, "the word does not have {n} waiters within a minute");
        thread::yield_now();
    }
}

#[test]
fn a_sparse_object_is_looked_into_and_gets_no_page() {
    let page = rustix::param::page_size();
    let len = 1 << 30;
    let fd = new_memfd(len as u64, MemfdFlags::empty()).unwrap();
    let middle = len / 2;
    pwrite(&fd, &7_u32.to_ne_bytes(), middle as u64).unwrap();
    let before = blocks(&fd);

    let view = view_of(&fd);
    assert_eq!((view.len(), view.knows_pages().unwrap()), (len, true));
    assert_eq!(view.next_data(0).unwrap(), Some(middle..middle + page));
    assert_eq!(view.next_pages(middle + 8..len).unwrap(), Some(middle + 8..middle + page));
    assert_eq!(view.next_pages(middle + page..len).unwrap(), None);
    assert_eq!(view.next_pages(len..usize::MAX).unwrap(), None);
    let mut bytes = [1; PAGE];
    for offset in [0, middle - PAGE, middle, middle + page, len - PAGE] {
        assert_eq!(view.waiters(offset).unwrap(), 0);
        assert_eq!(view.read(offset, &mut bytes).unwrap(), PAGE);
        let value = u32::from_ne_bytes(bytes[..4].try_into().unwrap());
        assert_eq!(value, if offset == middle { 7 } else { 0 });
    }
    assert_eq!(view.read(len - 2, &mut bytes).unwrap(), 2);
    assert_eq!(view.read(len, &mut bytes).unwrap(), 0);
    assert_eq!(blocks(&fd), before);

    // The other side of the comparison: a count that does not look for the page first allocates it.
    let memory = SharedMemory::from_fd(fd).unwrap();
    memory.word(0).unwrap().waiters().unwrap();
    assert!(blocks(&memory) > before);
}

#[test]
fn waiters_of_every_kind_are_counted_and_keep_their_order() {
    let own = AtomicU32::new(1);
    let has_waitv = waitv(&[WaitvEntry::new(&own, Scope::Private, 0)], None::<Deadline>).is_ok();
    let memory = SharedMemory::anonymous(PAGE).unwrap();
    let view = view_of(&memory);
    let word = memory.word(64).unwrap();
    let (woken, order) = channel();
    let wait = |n: u32| {
        let (word, woken) = (word.clone(), woken.clone());
        let thread = thread::spawn(move || {
            let outcome = match n % 2 {
                1 if has_waitv => {
                    let entry = WaitvEntry::new(&word, Scope::Shared, 0);
                    waitv(&[entry], None::<Deadline>).unwrap() == WaitvOutcome::Woken(0)
                }
                _ => word.wait(0, None).unwrap() == WaitOutcome::Woken,
            };
            woken.send(n).unwrap();
            outcome
        });
        until_waiters(&view, 64, n + 1);
        thread
    };
    let waiters: Vec<_> = (0..6).map(wait).collect();
    assert_eq!((view.waiters(60).unwrap(), view.waiters(68).unwrap()), (0, 0));
    for left in (0..6).rev() {
        for _ in 0..10 {
            assert_eq!(view.waiters(64).unwrap(), left + 1);
        }
        assert!(word.wake_one());
        assert_eq!(order.recv().unwrap(), 5 - left, "the longest waiting comes first");
    }
    assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap()));
}

#[cfg(feature = "uring")]
#[test]
fn waits_of_rings_are_counted_and_keep_their_place() {
    use crate::uring::{Ending, FutexRing};
    let mut ring = match FutexRing::new() {
        Ok(ring) => ring,
        Err(error) => {
            let reason = format!("no ring here: {error}");
            assert!(std::env::var_os("FUTEX_TESTS_FORBID_SKIPS").is_none(), "{reason}");
            return eprintln!("SKIPPED: {reason}");
        }
    };
    let memory = SharedMemory::anonymous(PAGE).unwrap();
    let view = view_of(&memory);
    let word = memory.word(0).unwrap();
    ring.arm(1, word.clone(), 0, MATCH_ANY).unwrap();
    ring.submit().unwrap();
    until_waiters(&view, 0, 1);
    let thread = thread::spawn({
        let word = word.clone();
        move || word.wait(0, None).unwrap()
    });
    until_waiters(&view, 0, 2);
    for _ in 0..10 {
        assert_eq!(view.waiters(0).unwrap(), 2);
    }
    assert!(!ring.has_completions());
    assert!(word.wake_one());
    ring.wait().unwrap();
    assert!(matches!(ring.next_completion().unwrap().ending, Ending::Woken), "the ring waited longest");
    assert_eq!(view.waiters(0).unwrap(), 1);
    assert!(word.wake_one());
    assert_eq!(thread.join().unwrap(), WaitOutcome::Woken);
}

#[test]
fn an_object_that_is_shortened_gives_errors() {
    let len = 4 * rustix::param::page_size();
    let fd = new_memfd(len as u64, MemfdFlags::empty()).unwrap();
    pwrite(&fd, &vec![1; len], 0).unwrap();
    let view = view_of(&fd);
    let last = len - 4;
    assert_eq!(view.waiters(last).unwrap(), 0);

    ftruncate(&fd, 8).unwrap();
    let error = view.waiters(last).unwrap_err().to_string();
    assert!(error.contains(&format!("shortened from {len} bytes to 8")), "{error}");
    assert_eq!(view.read(last, &mut [0; 4]).unwrap(), 0);
    assert_eq!(view.read(0, &mut [0; 16]).unwrap(), 8);
    assert_eq!(view.next_data(16).unwrap(), None);
    assert_eq!(view.waiters(4).unwrap(), 0);

    ftruncate(&fd, 0).unwrap();
    assert!(view.waiters(0).is_err());
    assert_eq!((view.next_data(0).unwrap(), view.next_pages(0..len).unwrap()), (None, None));
}

#[test]
fn an_object_is_looked_into_while_its_pages_come_and_go() {
    use rustix::fs::{FallocateFlags, fallocate};
    let page = rustix::param::page_size();
    let fd = new_memfd(8 * page as u64, MemfdFlags::empty()).unwrap();
    let view = view_of(&fd);
    let changer = thread::spawn(move || {
        for round in 0..2000 {
            let offset = round % 8 * page as u64;
            pwrite(&fd, &[1; 4], offset).unwrap();
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(&fd, flags, (round + 3) % 8 * page as u64, page as u64).unwrap();
            if round % 10 == 0 {
                ftruncate(&fd, offset).unwrap();
                ftruncate(&fd, 8 * page as u64).unwrap();
            }
        }
    });
    while !changer.is_finished() {
        let mut from = 0;
        while let Some(range) = view.next_pages(from..view.len()).unwrap() {
            assert!(from <= range.start && range.start < range.end && range.end <= view.len(), "{range:?} from {from}");
            // Errors are allowed while the object is short.
            let _ = view.waiters(range.start);
            from = range.end;
        }
    }
    changer.join().unwrap();
}

#[test]
fn a_waiter_in_a_page_of_a_file_that_was_never_written_is_found() {
    // A wait through a mapping that is read-only needs no block of a file on a disk: its page is in the page cache only, and
    // `SEEK_DATA` passes over it. So on such a file system a search for data is not a search for pages.
    let file = tempfile::tempfile().unwrap();
    file.set_len(2 * PAGE as u64).unwrap();
    let before = blocks(&file);
    let view = std::sync::Arc::new(view_of(&file));
    let waiter = thread::spawn({
        let view = view.clone();
        move || futex::wait(&view.mapping.words()[PAGE / 4], Scope::Shared, 0, MATCH_ANY, None).unwrap()
    });
    until_waiters(&view, PAGE, 1);
    let range = view.next_pages(PAGE..2 * PAGE).unwrap().unwrap();
    assert!(range.contains(&PAGE), "{range:?}");
    if !matches!(view.pages, Pages::Sought) {
        assert_eq!(blocks(&file), before, "a count takes no room of the file system");
    }
    assert_eq!(futex::wake(&view.mapping.words()[PAGE / 4], Scope::Shared, 1).unwrap(), 1);
    assert_eq!(waiter.join().unwrap(), WaitOutcome::Woken);
}

#[test]
fn pages_that_were_reserved_are_not_data_until_they_are_touched() {
    let memory = SharedMemory::anonymous(4 * rustix::param::page_size()).unwrap();
    let before = blocks(&memory);
    let view = view_of(&memory);
    assert_eq!(view.waiters(0).unwrap(), 0);
    let waiter = thread::spawn({
        let word = memory.word(0).unwrap();
        move || word.wait(0, None).unwrap()
    });
    until_waiters(&view, 0, 1);
    assert_eq!(view.next_pages(0..view.len()).unwrap().map(|range| range.start), Some(0));
    assert!(memory.word(0).unwrap().wake_one());
    waiter.join().unwrap();
    assert_eq!(blocks(&memory), before);
}

#[test]
fn a_search_for_pages_ends_at_the_end_of_its_range() {
    // It read all of an object of huge pages in one call, which is minutes for a large object, whatever time the caller had.
    let page = rustix::param::page_size();
    let fd = new_memfd(8 * page as u64, MemfdFlags::empty()).unwrap();
    pwrite(&fd, &[1; 4], 5 * page as u64).unwrap();
    let mut view = view_of(&fd);
    // Few systems have huge pages. Pages of tmpfs are searched as if they were some.
    for pages in [Pages::Sought, Pages::Huge(page), Pages::Huge(2 * page)] {
        view.pages = pages;
        assert_eq!(view.next_pages(0..4 * page).unwrap(), None);
        assert_eq!(view.next_pages(0..5 * page + 8).unwrap().map(|found| found.end), Some(5 * page + 8));
        assert_eq!(view.next_pages(5 * page + 4..usize::MAX).unwrap(), Some(5 * page + 4..6 * page));
        assert_eq!(view.next_pages(6 * page..8 * page).unwrap(), None);
    }
    view.pages = Pages::Any;
    assert_eq!(view.next_pages(8..16).unwrap(), Some(8..16));
    assert_eq!(view.next_pages(8..usize::MAX).unwrap(), Some(8..8 * page));
    assert_eq!(view.next_pages(Range { start: 16, end: 8 }).unwrap(), None);
}

#[test]
#[ignore = "systems seldom have huge pages: sysctl vm.nr_hugepages=8"]
fn an_object_of_huge_pages_is_inspected_and_takes_none() {
    let size = 2 << 20;
    let fd = new_memfd(3 * size as u64, MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB).unwrap();
    let view = view_of(&fd);
    assert_eq!((view.next_pages(0..3 * size).unwrap(), view.waiters(size).unwrap(), blocks(&fd)), (None, 0, 0));
    // Files of huge pages can't be written, so the second page is touched in a mapping.
    let memory = SharedMemory::from_fd(fd).unwrap();
    memory.word(size).unwrap().store(1, std::sync::atomic::Ordering::Relaxed);
    let before = blocks(&memory);
    assert_eq!(view.next_pages(0..3 * size).unwrap(), Some(size..2 * size));
    assert_eq!(view.next_pages(2 * size..3 * size).unwrap(), None);
    assert!(!view.knows_pages().unwrap());
    assert_eq!((view.waiters(0).unwrap(), view.waiters(size + 4).unwrap()), (0, 0));
    assert_eq!(blocks(&memory), before);
}

#[test]
fn what_is_not_memory_is_refused() {
    let refused = |fd| MemoryView::from_fd(fd).unwrap_err().kind();
    assert_eq!(refused(new_memfd(0, MemfdFlags::empty()).unwrap()), io::ErrorKind::UnexpectedEof);
    assert_eq!(refused(new_memfd(3, MemfdFlags::empty()).unwrap()), io::ErrorKind::InvalidInput);
    assert_eq!(refused(std::fs::File::open("/dev/null").unwrap().into()), io::ErrorKind::InvalidInput);
    let memfd = new_memfd(4, MemfdFlags::empty()).unwrap();
    let path = format!("/proc/self/fd/{}", memfd.as_raw_fd());
    let writable = openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    assert_eq!(refused(writable), io::ErrorKind::PermissionDenied);

    let view = MemoryView::from_fd(memfd).unwrap();
    for offset in [1, 2, 4, usize::MAX, usize::MAX - 3] {
        assert_eq!(view.waiters(offset).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{offset}");
    }
}
