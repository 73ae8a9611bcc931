//! What forks, `exec`, careless closing of descriptors, SIGSTOP and a missing `/proc` do to members. Most tests have a process of
//! their own, because they fork or close descriptors.
#![expect(unsafe_code, reason = "close, close_range and mmap")]

use super::*;
use crate::membership::Membership;
use crate::mutex::Mutex;
use crate::steps::member::{FREE, LIVE, Mark};
use crate::steps::{Member, Place, Words, high, low};
use crate::testing::{Actor, fork, join_fork, role, until_closed};
use futex_tests::{Stuck, in_its_own_process, skip, until};
use rustix::process::{Pid, Signal, test_kill_process};
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use tempfile::TempDir;

fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

fn builder(directory: impl AsRef<Path>) -> Builder {
    Region::builder().members(8).bytes(4096).directory(directory.as_ref())
}

fn membership(region: &Region) -> &Membership {
    region.membership()
}

fn slot(region: &Region) -> u32 {
    membership(region).me().slot
}

/// A word of the objects that a test uses for notes.
fn note(region: &Region) -> Place {
    Place(membership(region).layout().len - 1)
}

fn leave_note(region: &Region, value: u64) {
    membership(region).store(note(region), value, Release);
}

fn await_note(region: &Region, value: u64) {
    until(|| membership(region).load(note(region), Acquire) == value);
}

/// True if the member of a slot lives, as another member sees it.
fn lives(region: &Region, slot: u32) -> bool {
    let is_live = low(membership(region).slot(slot, Acquire)) == LIVE;
    let lives = is_live && membership(region).is_locked(slot);
    membership(region).check().unwrap();
    lives
}

const FORKED: &str = "belongs to the process that this one was forked from: open it again";

#[test]
fn a_fork_is_not_a_member_and_can_open_the_region_by_itself() {
    const TEST: &str = "region::processes::a_fork_is_not_a_member_and_can_open_the_region_by_itself";
    in_its_own_process(TEST, || {
        let directory = directory();
        let region = builder(&directory).open_or_create("jobs").unwrap();
        let observer = builder(&directory).open("jobs").unwrap();
        let anonymous = Region::builder().anonymous().unwrap();
        let mutex = Mutex::create(&region, "mutex", 5_u32).unwrap();
        let (socket, _peer) = UnixStream::pair().unwrap();
        let mut region = Some(region);
        let child = fork(|| {
            let region = region.take().unwrap();
            let errors = [
                mutex.try_lock().unwrap_err(),
                mutex.blocking_lock().unwrap_err(),
                Mutex::open(&region, "mutex").map(|_: Mutex<u32>| ()).unwrap_err(),
                region.share().unwrap_err(),
                region.send(&socket).unwrap_err(),
                anonymous.send(&socket).unwrap_err(),
            ];
            for error in errors {
                assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
                assert!(error.to_string().ends_with(FORKED), "{error}");
            }
            drop(region.clone());
            drop((region, mutex, anonymous));

            let own = builder(&directory).open("jobs").unwrap();
            assert_eq!(slot(&own), 2);
            let mutex = Mutex::<u32>::open(&own, "mutex").unwrap();
            assert_eq!(*mutex.blocking_lock().unwrap(), 5);
            // A fork of the fork does not have the fork's description.
            let path = directory.path();
            join_fork(fork(|| assert_eq!(descriptors_and_mappings(path), [""; 0])));
        });
        join_fork(child);
        let region = region.unwrap();
        assert!(lives(&observer, slot(&region)));
        assert_eq!(low(membership(&observer).slot(2, Acquire)), FREE);
        assert_eq!(high(membership(&observer).slot(2, Acquire)), 1);
        membership(&region).check().unwrap();
        drop((region, observer));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    });
}

/// The files of a directory that this process has open or mapped.
fn descriptors_and_mappings(directory: &Path) -> Vec<String> {
    let descriptors =
        fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    let descriptors = descriptors.map(|path| path.to_string_lossy().into_owned());
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let all = descriptors.chain(maps.lines().map(String::from)).collect::<Vec<_>>();
    all.into_iter().filter(|line| line.contains(directory.to_str().unwrap())).collect()
}

#[test]
fn a_region_that_a_fork_drops_leaves_the_memory_at_its_address_alone() {
    const TEST: &str = "region::processes::a_region_that_a_fork_drops_leaves_the_memory_at_its_address_alone";
    in_its_own_process(TEST, || {
        let region = Region::builder().anonymous().unwrap();
        let mutex = Mutex::create(&region, "mutex", 5_u32).unwrap();
        let observer = Region::builder().from_fd(region.share().unwrap()).unwrap();
        let words = membership(&region).words();
        let (start, len) = (words.as_ptr().cast_mut(), words.len());
        let mut handles = Some((region, mutex));
        join_fork(fork(|| {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
            // SAFETY: With `MAP_FIXED_NOREPLACE`, nothing that is mapped changes.
            let there = unsafe { libc::mmap(start.cast(), len * 8, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
            assert_eq!(there, start.cast(), "the region is mapped in a fork");
            // SAFETY: The words were mapped above.
            let words = unsafe { std::slice::from_raw_parts(start, len) };
            words.iter().for_each(|word| word.store(7, Relaxed));
            drop(handles.take());
            assert!(words.iter().all(|word| word.load(Relaxed) == 7));
        }));
        assert!(lives(&observer, slot(&handles.unwrap().0)));
    });
}

#[test]
fn the_death_of_a_parent_is_noticed_although_its_fork_lives() {
    const TEST: &str = "region::processes::the_death_of_a_parent_is_noticed_although_its_fork_lives";
    if let Some(role) = role() {
        let region = builder(&role[0]).open("jobs").unwrap();
        let child = fork(until_closed);
        leave_note(&region, child.as_raw_pid() as u64);
        return until_closed();
    }
    let directory = directory();
    let region = builder(&directory).create("jobs").unwrap();
    let mut actor = Actor::start(TEST, &[directory.path().to_str().unwrap()]);
    until(|| membership(&region).load(note(&region), Acquire) != 0);
    assert!(lives(&region, 1));
    // The fork keeps the other end of the pipe.
    let stdin = actor.0.stdin.take();
    actor.kill();
    until(|| !lives(&region, 1));
    let child = Pid::from_raw(membership(&region).load(note(&region), Acquire) as i32).unwrap();
    test_kill_process(child).unwrap();
    drop(stdin);
}

/// The file was opened, and mapped, while no thread can fork. Otherwise some of these forks would keep it.
#[test]
fn a_fork_has_no_region_that_another_thread_opens_meanwhile() {
    const TEST: &str = "region::processes::a_fork_has_no_region_that_another_thread_opens_meanwhile";
    in_its_own_process(TEST, || {
        let directory = directory();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    drop(builder(&directory).open_or_create("jobs").unwrap());
                }
            });
            for _ in 0..200 {
                let path = directory.path();
                join_fork(fork(|| {
                    let held = descriptors_and_mappings(path);
                    // A region that the parent was about to close: it is not a member any more.
                    let harmful = held.iter().filter(|line| line.contains("rw-s")).count();
                    assert_eq!(harmful, 0, "{held:?}");
                }));
            }
            is_over.store(true, Relaxed);
        });
    });
}

#[test]
fn a_member_dies_when_its_process_executes_another_program() {
    const TEST: &str = "region::processes::a_member_dies_when_its_process_executes_another_program";
    if let Some(role) = role() {
        let region = builder(&role[0]).open("jobs").unwrap();
        leave_note(&region, 1);
        await_note(&region, 2);
        panic!("{}", std::process::Command::new("cat").exec());
    }
    let directory = directory();
    let region = builder(&directory).create("jobs").unwrap();
    let actor = Actor::start(TEST, &[directory.path().to_str().unwrap()]);
    await_note(&region, 1);
    assert!(lives(&region, 1));
    leave_note(&region, 2);
    until(|| low(membership(&region).slot(1, Acquire)) == FREE);
    assert!(membership(&region).has_died(Member { slot: 1, generation: 1 }), "it has left");
    actor.finish();
}

#[test]
fn a_member_that_is_stopped_lives() {
    const TEST: &str = "region::processes::a_member_that_is_stopped_lives";
    if let Some(role) = role() {
        let region = builder(&role[0]).open("jobs").unwrap();
        leave_note(&region, 1);
        return until_closed();
    }
    let directory = directory();
    let region = builder(&directory).create("jobs").unwrap();
    let actor = Actor::start(TEST, &[directory.path().to_str().unwrap()]);
    await_note(&region, 1);
    actor.signal(Signal::STOP);
    actor.until_stopped();
    assert!(lives(&region, 1));
    assert_eq!(crate::run::run(membership(&region), Mark::new(1)), Some(None));
    actor.signal(Signal::CONT);
    actor.finish();
    assert_eq!(low(membership(&region).slot(1, Acquire)), FREE);
}

fn close_all_descriptors() {
    // SAFETY: The tests that call this use no descriptor from 3 on afterwards, except by the library, which must bear that.
    assert_eq!(unsafe { libc::close_range(3, u32::MAX, 0) }, 0);
}

#[test]
fn a_member_outlives_its_descriptor_and_leaves_without_it() {
    const TEST: &str = "region::processes::a_member_outlives_its_descriptor_and_leaves_without_it";
    if let Some(role) = role() {
        let region = builder(&role[0]).open("jobs").unwrap();
        let alone = builder(&role[0]).create("alone").unwrap();
        let mutex = Mutex::<u64>::open(&region, "mutex").unwrap();
        // The watcher would ask about another member.
        let busy = region.presence().keep_watcher_busy();
        close_all_descriptors();
        leave_note(&region, 1);
        await_note(&region, 2);

        // Objects are memory, so they work until the member notices the loss. The watcher may have noticed it already.
        let locked = mutex.blocking_lock().map(|guard| guard.commit());
        assert!(locked.is_ok() || locked.is_err_and(|error| error.kind() == io::ErrorKind::InvalidData));
        // The numbers get other files.
        let files: Vec<_> = (0..8).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        // A question about another member shows it.
        assert!(membership(&region).is_locked(0), "an answer that is unknown means that the member lives");
        assert_eq!(mutex.try_lock().unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(region.share().unwrap_err().kind(), io::ErrorKind::InvalidData);
        drop(busy);
        drop((region, mutex, alone));
        assert!(files.iter().all(|file| file.metadata().is_ok()));
        return until_closed();
    }
    let directory = directory();
    let region = builder(&directory).create("jobs").unwrap();
    let mutex = Mutex::create(&region, "mutex", 5_u64).unwrap();
    let actor = Actor::start(TEST, &[directory.path().to_str().unwrap()]);
    await_note(&region, 1);
    assert!(lives(&region, 1));
    assert!(directory.path().join("alone").exists());
    leave_note(&region, 2);
    until(|| low(membership(&region).slot(1, Acquire)) == FREE && !membership(&region).is_locked(1));
    until(|| !directory.path().join("alone").exists());
    assert!(!mutex.blocking_lock().unwrap().predecessor_died());
    actor.finish();
    drop((region, mutex));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// The watcher closes its own descriptors a second after the last member has left. Their numbers belonged to files of the program,
/// and in a build with assertions the standard library ends a process that closes a descriptor twice.
#[test]
fn the_numbers_of_lost_descriptors_are_not_closed() {
    const TEST: &str = "region::processes::the_numbers_of_lost_descriptors_are_not_closed";
    in_its_own_process(TEST, || {
        let has_watcher = || {
            let threads = fs::read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap().path().join("comm"));
            threads.into_iter().any(|comm| fs::read_to_string(comm).is_ok_and(|name| name.trim() == "futex-ipc"))
        };
        for reuse in [false, true] {
            let region = Region::builder().anonymous().unwrap();
            until(has_watcher);
            close_all_descriptors();
            let files: Vec<_> = (0..if reuse { 16 } else { 0 }).map(|_| fs::File::open("/dev/null").unwrap()).collect();
            drop(region);
            until(|| !has_watcher());
            assert!(files.iter().all(|file| file.metadata().is_ok()));
        }
    });
}

/// Such a member would not learn of the death of the owner for which it waits.
#[test]
fn a_wait_of_a_member_that_has_lost_its_descriptor_ends() {
    const TEST: &str = "region::processes::a_wait_of_a_member_that_has_lost_its_descriptor_ends";
    in_its_own_process(TEST, || {
        let directory = directory();
        let region = builder(&directory).create("jobs").unwrap();
        let mutex = Mutex::create(&region, "mutex", 5_u64).unwrap();
        let other = builder(&directory).open("jobs").unwrap();
        let theirs = Mutex::<u64>::open(&other, "mutex").unwrap();
        let guard = mutex.blocking_lock().unwrap();
        let locker = std::thread::spawn(move || theirs.blocking_lock().map(drop).unwrap_err().kind());
        until(|| membership(&other).waits().len() == 1);
        close_all_descriptors();
        // The numbers of the watcher's descriptors get other files, which it must not touch.
        let files: Vec<_> = (0..8).map(|_| tempfile::tempfile_in("/dev/shm").unwrap()).collect();
        assert_eq!(locker.join().unwrap(), io::ErrorKind::InvalidData);
        drop(guard);
        drop((mutex, region, other));
        assert!(files.iter().all(|file| file.metadata().unwrap().len() == 0));
    });
}

/// The number of a closed descriptor became that of the next member's description. By this description, the lock of the next member
/// was not seen, because a lock does not conflict with itself. So the member seemed dead.
#[test]
fn a_number_that_is_used_again_for_the_same_region_makes_no_member_look_dead() {
    const TEST: &str = "region::processes::a_number_that_is_used_again_for_the_same_region_makes_no_member_look_dead";
    in_its_own_process(TEST, || {
        let directory = directory();
        let observer = builder(&directory).create("jobs").unwrap();
        let first = builder(&directory).open("jobs").unwrap();
        let number = membership(&first).as_fd().as_raw_fd();
        // SAFETY: Only the library uses this number, and it must bear that.
        assert_eq!(unsafe { libc::close(number) }, 0);
        let second = builder(&directory).open("jobs").unwrap();
        assert_eq!(membership(&second).as_fd().as_raw_fd(), number);
        assert_eq!((slot(&first), slot(&second)), (1, 2));

        assert_eq!(crate::run::run(membership(&first), Mark::new(2)), Some(None));
        assert_eq!(membership(&first).check().unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(lives(&observer, 1) && lives(&observer, 2));
        drop(first);
        assert!(!lives(&observer, 1) && lives(&observer, 2));
        assert!(lives(&second, 0));
        drop(observer);
        assert!(!lives(&second, 0));
        drop(second);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    });
}

/// A child of `vfork` or of a raw `clone` has copies of the descriptors.
#[test]
fn a_member_leaves_although_another_process_has_its_description() {
    const TEST: &str = "region::processes::a_member_leaves_although_another_process_has_its_description";
    in_its_own_process(TEST, || {
        let directory = directory();
        let observer = builder(&directory).create("jobs").unwrap();
        let region = builder(&directory).open("jobs").unwrap();
        let ((), stuck) = Stuck::after(|| ());
        drop(region);
        assert!(!membership(&observer).is_locked(1));
        drop(observer);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        let again = builder(&directory).open_or_create("jobs").unwrap();
        stuck.release();
        assert!(membership(&again).name_leads_here().unwrap());
    });
}

#[test]
fn two_regions_of_one_process_have_nothing_to_do_with_each_other() {
    let directory = directory();
    let [first, second] = ["one", "two"].map(|name| builder(&directory).open_or_create(name).unwrap());
    let mutex = Mutex::create(&second, "mutex", 5_u64).unwrap();
    assert!(Mutex::<u64>::open(&first, "mutex").is_err());
    drop(first);
    assert!(!directory.path().join("one").exists());
    // The object has a share of its region.
    drop(second);
    assert_eq!(*mutex.blocking_lock().unwrap(), 5);
    assert!(directory.path().join("two").exists());
    drop(mutex);
    assert!(!directory.path().join("two").exists());
}

#[test]
fn a_region_is_sent_to_another_process() {
    const TEST: &str = "region::processes::a_region_is_sent_to_another_process";
    if role().is_some() {
        let region = Region::builder().receive(io::stdin()).unwrap();
        leave_note(&region, 1);
        return until_closed();
    }
    let region = Region::builder().bytes(4096).anonymous().unwrap();
    let (socket, theirs) = UnixStream::pair().unwrap();
    let mut actor = Actor::start_with(&[], TEST, &["peer"], OwnedFd::from(theirs));
    region.send(&socket).unwrap();
    await_note(&region, 1);
    assert!(lives(&region, 1));
    actor.kill();
    assert!(!lives(&region, 1));
}

#[test]
fn a_region_with_a_name_is_not_sent_and_unsealed_memory_not_received() {
    let directory = directory();
    let region = builder(&directory).create("jobs").unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let error = region.send(&ours).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("can't be sent, because its memory is not sealed"), "{error}");

    SharedMemory::open_path(directory.path().join("jobs")).unwrap().send(&ours).unwrap();
    let error = Region::builder().receive(&theirs).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert_eq!(low(membership(&region).slot(1, Acquire)), FREE);
}

#[test]
fn memory_that_is_not_a_region_is_not_joined() {
    let memory = SharedMemory::anonymous(8192).unwrap();
    let error = Region::builder().from_fd(&memory).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(error.to_string().starts_with("cannot join the region of the descriptor: "), "{error}");
}

#[test]
fn a_region_is_inherited_as_a_descriptor() {
    const TEST: &str = "region::processes::a_region_is_inherited_as_a_descriptor";
    if role().is_some() {
        let region = Region::builder().from_fd(io::stdin()).unwrap();
        let again = Region::builder().from_fd(io::stdin()).unwrap();
        assert_eq!((slot(&region), slot(&again)), (1, 2));
        leave_note(&region, 1);
        return await_note(&region, 2);
    }
    let region = Region::builder().bytes(4096).anonymous().unwrap();
    let shared = region.share().unwrap();
    let mut actor = Actor::start_with(&[], TEST, &["heir"], Stdio::from(shared));
    await_note(&region, 1);
    assert!(lives(&region, 1) && lives(&region, 2));
    leave_note(&region, 2);
    assert!(actor.0.wait().unwrap().success());
    assert_eq!([1, 2].map(|slot| low(membership(&region).slot(slot, Acquire))), [FREE; 2]);
}

/// Without `/proc`, a member has the description that it was given. A second member with this description would get the lock of the
/// first one's slot too, and mark the first one as dead.
#[test]
fn two_members_do_not_get_one_description() {
    let region = Region::builder().members(2).anonymous().unwrap();
    let shared = region.share().unwrap();
    let join = || Region::builder().join_through(shared.as_fd(), "the region");
    let first = join().unwrap();
    let error = join().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    assert!(error.to_string().contains("through the same open file description"), "{error}");
    assert!(lives(&region, slot(&first)));
    drop(first);
    let second = join().unwrap();
    assert_eq!((slot(&second), membership(&second).me().generation), (1, 2));
    // The description of a member that was refused is usable later.
    let other = region.share().unwrap();
    for _ in 0..2 {
        let full = Region::builder().join_through(other.as_fd(), "the region").unwrap_err();
        assert!(full.to_string().contains("is full"), "{full}");
    }
    drop(second);
    Region::builder().join_through(other.as_fd(), "the region").unwrap();
}

#[test]
fn regions_work_without_proc_except_that_they_are_not_passed_on() {
    const TEST: &str = "region::processes::regions_work_without_proc_except_that_they_are_not_passed_on";
    if let Some(role) = role() {
        assert!(!Path::new("/proc/self").exists());
        let heir = Region::builder().from_fd(io::stdin()).unwrap();
        assert_eq!(Region::builder().from_fd(io::stdin()).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        let named = builder(&role[0]).open_or_create("jobs").unwrap();
        let anonymous = Region::builder().anonymous().unwrap();
        let (socket, _peer) = UnixStream::pair().unwrap();
        for error in [anonymous.share().unwrap_err(), named.share().unwrap_err(), anonymous.send(&socket).unwrap_err()]
        {
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            assert!(error.to_string().contains("can't be opened again through /proc/thread-self/fd"), "{error}");
        }
        leave_note(&heir, 1);
        return await_note(&heir, 2);
    }
    let runner = ["unshare", "--mount", "sh", "-c", "umount -l /proc && exec \"$0\" \"$@\""];
    let usable = std::process::Command::new(runner[0]).args(&runner[1..]).arg("true").output();
    if !usable.is_ok_and(|output| output.status.success()) {
        return skip("only root can unmount /proc, by the program unshare");
    }
    let directory = directory();
    let region = Region::builder().bytes(4096).anonymous().unwrap();
    let shared = region.share().unwrap();
    let mut actor = Actor::start_with(&runner, TEST, &[directory.path().to_str().unwrap()], Stdio::from(shared));
    await_note(&region, 1);
    assert!(lives(&region, 1));
    let named = builder(&directory).open("jobs").unwrap();
    assert!(lives(&named, 0));
    leave_note(&region, 2);
    assert!(actor.0.wait().unwrap().success());
    assert!(!lives(&region, 1) && !lives(&named, 0));
    drop(named);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
