//! Owners of names, one at a time. `names_storm` tests many owners at once.

use crate::fork::{bits, forked};
use crate::support::name::Name;
use crate::support::{assert_refused, errno, sandbox, skip, until};
use futex_sys::{NamedMemory, SharedMemory};
use rustix::fs::{CWD, FlockOperation, Mode, flock};
use std::fs::{self, File};
use std::io::ErrorKind::{AlreadyExists, InvalidInput, NotFound, PermissionDenied, ResourceBusy, UnexpectedEof};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

fn is_free(name: &Name) -> bool {
    SharedMemory::open(&name.0).is_err_and(|error| error.kind() == NotFound)
}

fn stamp(memory: &SharedMemory, stamp: u32) {
    memory.as_words()[0].store(stamp, Ordering::Relaxed);
}

fn stamp_under(name: &Name) -> u32 {
    SharedMemory::open(&name.0).expect("the name leads to memory").as_words()[0].load(Ordering::Relaxed)
}

#[test]
fn dropping_an_owner_removes_the_name_and_keeps_the_memory() {
    let name = Name::new("owned");
    let memory = NamedMemory::create(&name.0, 64).unwrap();
    assert!(memory.is_current());
    let clone = SharedMemory::clone(&memory);
    let opened = SharedMemory::open(&name.0).unwrap();
    stamp(&memory, 7);
    drop(memory);
    assert!(is_free(&name));
    assert_eq!(name.files(), [""; 0]);
    for memory in [clone, opened] {
        assert_eq!((memory.len(), memory.as_words()[0].load(Ordering::Relaxed)), (64, 7));
    }
}

/// Regression: an owner gave its memory the name, and was killed before it had set up the memory. Other processes opened the
/// memory and waited for ever.
#[test]
fn memory_is_set_up_before_it_has_its_name() {
    let name = Name::new("set-up");
    let set_up = |value: u32| {
        let name = &name;
        move |memory: &SharedMemory| {
            // The name is free, or leads to the previous memory.
            assert_eq!(
                SharedMemory::open(&name.0).map_or(0, |memory| memory.as_words()[0].load(Ordering::Relaxed)),
                value - 1
            );
            assert!(!memory.has_name(&name.0));
            stamp(memory, value);
            Ok(())
        }
    };
    let first = NamedMemory::create_with(&name.0, 64, set_up(1)).unwrap();
    assert_eq!(stamp_under(&name), 1);
    let opened = SharedMemory::open(&name.0).unwrap();
    assert!(first.has_name(&name.0) && opened.has_name(&name.0));
    let second = NamedMemory::replace_with(&name.0, 64, set_up(2)).unwrap();
    assert_eq!(stamp_under(&name), 2);
    // A process that has opened the old memory detects that it was replaced.
    assert!(second.is_current() && !opened.has_name(&name.0) && !opened.has_name("a/b"));
}

#[test]
fn memory_that_fails_to_be_set_up_leaves_the_name_as_it_was() {
    let name = Name::new("not-set-up");
    let fail = |_memory: &SharedMemory| Err(std::io::Error::other("the memory can't be set up"));
    for make in [NamedMemory::create_with, NamedMemory::replace_with] {
        let error = make(&name.0, 64, fail).unwrap_err();
        assert_eq!(error.to_string(), "the memory can't be set up");
        assert!(is_free(&name) && name.files().is_empty());
    }
    let memory = NamedMemory::create(&name.0, 64).unwrap();
    stamp(&memory, 7);
    NamedMemory::replace_with(&name.0, 64, fail).unwrap_err();
    assert_eq!((stamp_under(&name), name.files().len()), (7, 1));
}

#[test]
fn an_owner_shows_its_name_and_its_memory() {
    let name = Name::new("shown");
    let memory = NamedMemory::create(&name.0, 64).unwrap();
    assert_eq!(memory.name(), &name.0[..]);
    let text = format!("{memory:?}");
    assert!(text.contains(&format!("{:?}", name.0)) && text.contains("len: 64"), "{text}");
}

#[test]
fn an_owner_can_remove_its_name_or_leave_it() {
    let name = Name::new("left");
    NamedMemory::create(&name.0, 64).unwrap().unlink().unwrap();
    assert!(is_free(&name));
    let memory = NamedMemory::create(&name.0, 64).unwrap().keep();
    stamp(&memory, 1);
    drop(memory);
    assert_eq!(stamp_under(&name), 1);
    assert_refused(NamedMemory::create(&name.0, 64), AlreadyExists, "shared memory");
}

#[test]
fn a_replacement_is_another_object_and_the_old_one_lives_on() {
    let name = Name::new("replaced");
    let first = NamedMemory::replace(&name.0, 64).unwrap(); // the name was free
    stamp(&first, 1);
    let second = NamedMemory::replace(&name.0, 128).unwrap();
    stamp(&second, 2);
    assert!(!first.is_current() && second.is_current());
    assert_eq!((stamp_under(&name), SharedMemory::open(&name.0).unwrap().len()), (2, 128));
    assert_eq!((first.len(), first.as_words()[0].load(Ordering::Relaxed)), (64, 1));
    assert_eq!(name.files(), [&name.0[1..]]);
}

#[test]
fn an_owner_leaves_the_object_of_its_successor_alone() {
    let name = Name::new("successor");
    let [dropped, unlinked] = [(); 2].map(|()| NamedMemory::replace(&name.0, 64).unwrap());
    let last = NamedMemory::replace(&name.0, 64).unwrap();
    drop(dropped);
    let text =
        format!("the name of shared memory {:?} no longer leads to this memory: it was removed or replaced", name.0);
    assert_refused(unlinked.unlink(), NotFound, &text);
    assert!(last.is_current());

    // The same after the name was removed and created again.
    SharedMemory::unlink(&name.0).unwrap();
    assert!(!last.is_current());
    let new = NamedMemory::create(&name.0, 64).unwrap();
    drop(last);
    assert!(new.is_current());
    SharedMemory::unlink(&name.0).unwrap();
    assert_refused(new.unlink(), NotFound, &text);
}

#[test]
fn a_fork_that_drops_its_copy_leaves_the_name() {
    // A child that panics, or returns from its closure, drops its copies of all values of its parent.
    let name = Name::new("fork");
    let memory = NamedMemory::create(&name.0, 64).unwrap();
    let mut memory = Some(memory);
    let seen = forked(|| {
        drop(memory.take());
        let stays = SharedMemory::open(&name.0).is_ok();
        // The child owns the memory that it makes itself.
        let own = Name(format!("{}-child", name.0));
        drop(NamedMemory::create(&own.0, 64));
        bits(&[stays, is_free(&own)])
    });
    assert_eq!(seen, 0b11);
    let memory = memory.take().expect("the fork took its own copy");
    assert!(memory.is_current());
    drop(memory);
    assert!(is_free(&name));
}

#[test]
fn a_fork_can_remove_a_name_by_unlink() {
    let name = Name::new("fork-unlinks");
    let mut memory = Some(NamedMemory::create(&name.0, 64).unwrap());
    let seen = forked(|| bits(&[memory.take().is_some_and(|memory| memory.unlink().is_ok())]));
    assert_eq!(seen, 1);
    assert!(is_free(&name));
}

#[test]
fn an_object_that_cannot_be_locked_is_replaced_and_unlinked_without_a_lock() {
    let name = Name::new("others");
    let target = tempfile::NamedTempFile::new().unwrap();
    let put: [&dyn Fn(); 2] = [&|| std::os::unix::fs::symlink(target.path(), name.path()).unwrap(), &|| {
        rustix::fs::mkfifoat(CWD, name.path(), Mode::RWXU).unwrap();
    }];
    for put in put {
        put();
        SharedMemory::unlink(&name.0).unwrap();
        put();
        assert_eq!(NamedMemory::replace(&name.0, 64).unwrap().keep().len(), 64);
        SharedMemory::unlink(&name.0).unwrap();
    }
    assert!(target.path().exists());

    fs::create_dir(name.path()).unwrap();
    let refused = [SharedMemory::unlink(&name.0).err(), NamedMemory::replace(&name.0, 64).err()];
    let files = name.files();
    fs::remove_dir(name.path()).unwrap();
    assert_eq!(refused.map(|error| errno(&error.expect("a directory is refused"))), [Some(libc::EISDIR); 2]);
    assert_eq!(files, [&name.0[1..]]);
}

#[test]
fn a_name_whose_lock_is_held_stays_and_the_error_says_why() {
    // The test holds the locks, like a process that is stopped between the lock and the change.
    let names = ["unlink", "replace", "remove", "drop"].map(|what| Name::new(&format!("busy-{what}")));
    let owners = names.each_ref().map(|name| NamedMemory::create(&name.0, 64).unwrap());
    let locked = names.each_ref().map(|name| File::open(name.path()).unwrap());
    for file in &locked {
        flock(file, FlockOperation::NonBlockingLockExclusive).unwrap();
    }
    let [unlink, replace, remove, dropped] = owners;
    let busy = |result: std::io::Result<()>, name: &Name| {
        let text = format!("cannot change the name of shared memory {:?}: another process has held its lock", name.0);
        assert_refused(result, ResourceBusy, &text);
    };
    thread::scope(|scope| {
        scope.spawn(|| busy(SharedMemory::unlink(&names[0].0), &names[0]));
        scope.spawn(|| busy(NamedMemory::replace(&names[1].0, 64).map(drop), &names[1]));
        scope.spawn(|| busy(remove.unlink(), &names[2]));
        scope.spawn(|| drop(dropped));
    });
    for name in &names {
        assert_eq!(name.files(), [&name.0[1..]]);
    }

    drop(locked);
    drop(unlink);
    SharedMemory::unlink(&names[3].0).unwrap();
    assert!(replace.is_current() && is_free(&names[0]) && is_free(&names[3]));
}

#[test]
fn an_owner_that_waited_for_the_lock_finds_that_its_name_was_replaced() {
    let name = Name::new("waited");
    let old = NamedMemory::create(&name.0, 64).unwrap();
    // This test replaces the object by hand, like another process.
    let locked = File::open(name.path()).unwrap();
    flock(&locked, FlockOperation::NonBlockingLockExclusive).unwrap();
    let other = Name::new("waited-new");
    let new = SharedMemory::create(&other.0, 64).unwrap();
    stamp(&new, 2);
    let owner = thread::spawn(move || old.unlink());
    fs::rename(other.path(), name.path()).unwrap();
    drop(locked);
    assert_refused(owner.join().unwrap(), NotFound, "the name of shared memory");
    assert_eq!(stamp_under(&name), 2);
}

#[test]
fn a_name_is_awaited_until_it_is_there() {
    let name = Name::new("awaited");
    thread::scope(|scope| {
        let waiter = scope.spawn(|| SharedMemory::open_timeout(&name.0, Duration::from_secs(60)).unwrap().len());
        let _owner = NamedMemory::create(&name.0, 64).unwrap();
        assert_eq!(waiter.join().unwrap(), 64);
    });
}

#[test]
fn an_object_without_length_is_awaited_until_it_has_one() {
    let name = Name::new("sized");
    let file = File::create(name.path()).unwrap(); // like `shm_open`
    assert_refused(SharedMemory::open(&name.0), UnexpectedEof, "shared memory");
    thread::scope(|scope| {
        let waiter = scope.spawn(|| SharedMemory::open_timeout(&name.0, Duration::MAX).unwrap().len());
        file.set_len(64).unwrap();
        assert_eq!(waiter.join().unwrap(), 64);
    });
}

#[test]
fn a_name_that_stays_missing_is_an_error_after_the_timeout() {
    let name = Name::new("not-there");
    let start = Instant::now();
    let timeout = Duration::from_millis(20);
    let text = format!("waited 20ms for shared memory {0:?}: cannot open shared memory {0:?}: ", name.0);
    assert_refused(SharedMemory::open_timeout(&name.0, timeout), NotFound, &text);
    assert!(start.elapsed() >= timeout);

    File::create(name.path()).unwrap();
    let text = format!("waited 20ms for shared memory {0:?}: shared memory {0:?} has no bytes yet: ", name.0);
    assert_refused(SharedMemory::open_timeout(&name.0, timeout), UnexpectedEof, &text);
}

#[test]
fn open_timeout_waits_only_for_missing_names_and_empty_objects() {
    let name = Name::new("wrong");
    let file = File::create(name.path()).unwrap();
    file.set_len(3).unwrap();
    assert_refused(SharedMemory::open_timeout(&name.0, Duration::MAX), InvalidInput, "shared memory");
    file.set_len(64).unwrap();
    assert_eq!(SharedMemory::open_timeout(&name.0, Duration::ZERO).unwrap().len(), 64);
}

#[test]
fn a_name_that_cannot_be_checked_stays_and_its_owner_gets_an_error() {
    // Regression: the owner retried for ever in a sandbox that forbids `stat` of a path (but not of a descriptor), because it
    // could not verify that the name led to the locked object.
    if !sandbox::is_supported() {
        return skip("no seccomp filters for this processor");
    }
    let name = Name::new("sandbox");
    let owners = [NamedMemory::create(&name.0, 64), NamedMemory::replace(&name.0, 64)].map(Result::unwrap);
    let owner = thread::spawn(move || {
        let [_, owner] = owners;
        sandbox::forbid([libc::SYS_newfstatat], libc::EPERM);
        owner.unlink()
    });
    until("the owner has given up", || owner.is_finished());
    assert_refused(owner.join().unwrap(), PermissionDenied, "cannot check which object has the name of shared memory");
    assert_eq!(name.files(), [&name.0[1..]]);
}
