//! Shared memory under POSIX names, and races for one name.

use crate::support::child::Process;
use crate::support::name::Name;
use crate::support::{sandbox, until, until_waiters};
use futex_sys::futex::Scope;
use futex_sys::{NamedMemory, SharedMemory};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat};
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::Ordering;

#[test]
fn memory_under_a_name_is_found_by_it_with_or_without_a_slash() {
    let name = Name::new("found");
    let memory = SharedMemory::create(&name.0, 4096).unwrap();
    memory.as_words()[0].store(7, Ordering::Relaxed);
    for same in [&name.0[..], &name.0[1..]] {
        let opened = SharedMemory::open(same).unwrap();
        assert_eq!((opened.len(), opened.as_words()[0].load(Ordering::Relaxed)), (4096, 7));
    }
    assert_eq!(SharedMemory::open_or_create(&name.0, 4096).unwrap().as_words()[0].load(Ordering::Relaxed), 7);
}

#[test]
fn memory_under_a_name_is_for_its_user_alone_and_can_be_shortened() {
    let name = Name::new("mode");
    let memory = SharedMemory::create(&name.0, 4096).unwrap();
    let stat = rustix::fs::fstat(&memory).unwrap();
    assert_eq!((stat.st_mode & 0o777, stat.st_size, stat.st_nlink), (0o600, 4096, 1));
    assert!(!memory.is_sealed());
    assert_eq!(name.files(), [&name.0[1..]]);
}

#[test]
fn a_name_that_is_unlinked_is_free_and_its_memory_lives_on() {
    let name = Name::new("unlinked");
    let old = SharedMemory::create(&name.0, 64).unwrap();
    SharedMemory::unlink(&name.0).unwrap();
    let new = SharedMemory::create(&name.0, 128).unwrap();
    old.as_words()[0].store(1, Ordering::Relaxed);
    assert_eq!((old.len(), new.len()), (64, 128));
    assert_eq!(new.as_words()[0].load(Ordering::Relaxed), 0);
}

#[test]
fn a_name_may_be_any_bytes() {
    let name = [b"\xff\xfe \n*", format!("futex-sys-test-bytes-{}", std::process::id()).as_bytes()].concat();
    let name = OsStr::from_bytes(&name);
    let memory = NamedMemory::create(name, 64).unwrap();
    assert_eq!(SharedMemory::open(name).unwrap().len(), 64);
    assert_eq!(memory.name(), name);
    memory.unlink().unwrap();
    assert_eq!(SharedMemory::open(name).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn the_longest_name_is_accepted() {
    let name = Name(format!("/{:x<255}", format!("futex-sys-test-long-{}", std::process::id())));
    assert_eq!(SharedMemory::create(&name.0, 64).unwrap().len(), 64);
    assert_eq!(SharedMemory::open(&name.0).unwrap().len(), 64);
}

const RACERS: u32 = 16;
const ROUNDS: u32 = 30;
const LEN: usize = 3 * 4096 + 4;

// Offsets of the control words in the memory that all racers share.
const ROUND: usize = 0;
const ARRIVED: usize = 4;

/// The role of each racer. `way` has its way of making objects, and the name.
pub(crate) fn race(control: &SharedMemory, way: &str) {
    let (way, name) = way.split_once(':').expect("a way and a name");
    match way {
        "as-it-is" => {}
        "without-tmpfile" => forbid_tmpfile(),
        "without-links-to-descriptors" => forbid_links_to_descriptors(),
        _ => panic!("{way:?} is not a way"),
    }
    let (round, arrived) = (control.word(ROUND).expect("a word"), control.word(ARRIVED).expect("a word"));
    for now in 1..=ROUNDS {
        while round.load(Ordering::Acquire) < now {
            let seen = now - 1;
            round.wait(seen, None).expect("wait");
        }
        let memory = SharedMemory::open_or_create(format!("{name}-{now}"), LEN).expect("open_or_create");
        assert_eq!(memory.len(), LEN);
        memory.as_words()[LEN / 4 - 1].fetch_add(1, Ordering::AcqRel);
        arrived.fetch_add(1, Ordering::AcqRel);
        arrived.wake(1);
    }
}

#[test]
fn a_racing_open_or_create_of_many_processes_yields_one_whole_object_for_all() {
    let name = Name::new("race");
    let control = SharedMemory::anonymous(4096).unwrap();
    let (round, arrived) = (control.word(ROUND).unwrap(), control.word(ARRIVED).unwrap());
    let ways = ["as-it-is", "without-tmpfile", "without-links-to-descriptors"];
    let ways = if sandbox::is_supported() { &ways[..] } else { &ways[..1] };
    let racers: Vec<_> = (0..RACERS as usize)
        .map(|index| Process::start(&format!("race {}:{}", ways[index % ways.len()], name.0), &control))
        .collect();

    for now in 1..=ROUNDS {
        // All racers wait for the start.
        until_waiters(&round, Scope::Shared, RACERS);
        round.store(now, Ordering::Release);
        assert_eq!(round.wake(u32::MAX), RACERS);
        until("all racers have an object", || arrived.load(Ordering::Acquire) == now * RACERS);

        let object = Name(format!("{}-{now}", name.0));
        let memory = SharedMemory::open(&object.0).unwrap();
        assert_eq!(memory.len(), LEN);
        assert_eq!(memory.as_words()[LEN / 4 - 1].load(Ordering::Acquire), RACERS, "there was more than one object");
        assert_eq!(rustix::fs::fstat(&memory).unwrap().st_nlink, 1);
        assert_eq!(object.files(), [&object.0[1..]]);
    }
    for racer in racers {
        assert!(racer.end().success());
    }
    assert_eq!(name.files(), [""; 0], "something was left behind");
}

/// Simulates a kernel or a file system without `O_TMPFILE`.
pub(crate) fn forbid_tmpfile() {
    sandbox::forbid_if(libc::SYS_openat, 2, OFlags::TMPFILE.bits(), libc::EOPNOTSUPP);
    let refused = openat(CWD, "/dev/shm", OFlags::TMPFILE | OFlags::RDWR, Mode::RWXU);
    assert_eq!(refused.err(), Some(rustix::io::Errno::OPNOTSUPP));
}

/// Simulates a sandbox without `/proc`.
fn forbid_links_to_descriptors() {
    sandbox::forbid_if(libc::SYS_linkat, 4, AtFlags::SYMLINK_FOLLOW.bits(), libc::ENOENT);
}
