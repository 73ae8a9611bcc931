//! Descriptors that other code has closed, or that another process has.

use super::*;
use crate::os::at_fork::identity;
use crate::poke::Poke;
use crate::testing::another_member;
use futex_tests::holdings::threads;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

fn close_all_descriptors() {
    // SAFETY: After this call, the tests use the old descriptors only through the library, which must tolerate that they are closed.
    assert_eq!(unsafe { libc::close_range(3, u32::MAX, 0) }, 0);
}

#[test]
fn a_member_outlives_its_descriptor_and_leaves_without_it() {
    const TEST: &str = "region::processes::descriptors::a_member_outlives_its_descriptor_and_leaves_without_it";
    if let Some(role) = role() {
        let region = builder(&role[0]).open("jobs").unwrap();
        let alone = builder(&role[0]).create("alone").unwrap();
        let mutex = Mutex::<u64>::open(&region, "mutex").unwrap();
        // Otherwise the watcher might check another member, and find out that the descriptor is lost.
        let busy = region.presence().keep_watcher_busy();
        close_all_descriptors();
        leave_note(&region, 1);
        await_note(&region, 2);

        // Objects are memory, so they work until the member notices the loss. The watcher may have noticed it already.
        let locked = mutex.blocking_lock().map(|guard| guard.commit());
        assert!(locked.is_ok() || locked.is_err_and(|error| error.kind() == io::ErrorKind::InvalidData));
        // The numbers get other files.
        let files: Vec<_> = (0..8).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        // A check of another member shows the loss.
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

/// Number of the threads of this process that watch regions.
fn watchers() -> usize {
    threads("futex-ipc")
}

/// A file with the inode of each eventfd, epoll and inotify. A read waits until something is written.
fn blocking_eventfd() -> OwnedFd {
    rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap()
}

/// The story: the watcher closes its own descriptors a second after the last member has left. Their numbers belonged to files of the
/// program by then. In a build with assertions, the standard library ends a process that closes a descriptor twice.
#[test]
fn the_numbers_of_lost_descriptors_are_not_closed() {
    const TEST: &str = "region::processes::descriptors::the_numbers_of_lost_descriptors_are_not_closed";
    in_its_own_process(TEST, || {
        let null = || OwnedFd::from(fs::File::open("/dev/null").unwrap());
        for (reuse, file) in [(0, null as fn() -> OwnedFd), (16, null), (16, blocking_eventfd)] {
            let region = Region::builder().anonymous().unwrap();
            until(|| watchers() > 0);
            close_all_descriptors();
            let files: Vec<_> = (0..reuse).map(|_| file()).collect();
            drop(region);
            until(|| watchers() == 0);
            assert!(files.iter().all(|file| identity(file).is_ok()));
        }
    });
}

/// Such a member can't notice the death of the owner for which it waits.
#[test]
fn a_wait_of_a_member_that_has_lost_its_descriptor_ends() {
    const TEST: &str = "region::processes::descriptors::a_wait_of_a_member_that_has_lost_its_descriptor_ends";
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

/// The story: the watcher slept when the descriptors were closed, and the wait could not wake it. When it woke up, the number of its
/// descriptor was that of an eventfd of the program, and a read from it never returned.
#[test]
fn a_wait_that_begins_after_the_descriptors_were_closed_ends() {
    const TEST: &str = "region::processes::descriptors::a_wait_that_begins_after_the_descriptors_were_closed_ends";
    in_its_own_process(TEST, || {
        let region = Region::builder().anonymous().unwrap();
        let mutex = Mutex::create(&region, "mutex", 5_u64).unwrap();
        let other = Region::builder().from_fd(region.share().unwrap()).unwrap();
        let theirs = Mutex::<u64>::open(&other, "mutex").unwrap();
        let guard = mutex.blocking_lock().unwrap();
        until(|| [&region, &other].iter().all(|region| region.presence().rest_watcher()));
        close_all_descriptors();
        let files: Vec<_> = (0..16).map(|_| blocking_eventfd()).collect();
        assert_eq!(theirs.blocking_lock().map(drop).unwrap_err().kind(), io::ErrorKind::InvalidData);
        drop(guard);
        drop((mutex, theirs, region, other));
        assert!(files.iter().all(|file| identity(file).is_ok()));
    });
}

/// The story: the thread that had lost its descriptors watched the new region, too, and examined its table only while a wait slept.
#[test]
fn a_region_that_is_opened_after_the_descriptors_were_closed_is_watched() {
    const TEST: &str =
        "region::processes::descriptors::a_region_that_is_opened_after_the_descriptors_were_closed_is_watched";
    in_its_own_process(TEST, || {
        let damaged = Region::builder().anonymous().unwrap();
        close_all_descriptors();
        let region = Region::builder().anonymous().unwrap();
        // The thread without descriptors stays for the damaged region.
        until(|| watchers() == 2);
        let join = || Region::builder().from_fd(region.share().unwrap()).unwrap();
        let others = [join(), join()];
        drop(damaged);
        for (other, slot) in others.into_iter().zip(1..) {
            // Otherwise a scan that is due notices the death.
            until(|| region.presence().rest_watcher());
            other.die();
            until(|| low(membership(&region).slot(slot, Acquire)) == FREE);
        }
    });
}

/// The story: the poke was a write into a pipe without a reader. That raises `SIGPIPE`, which ends a program that does not ignore it.
#[test]
fn a_poke_raises_no_signal_although_other_code_has_closed_one_end() {
    const TEST: &str = "region::processes::descriptors::a_poke_raises_no_signal_although_other_code_has_closed_one_end";
    in_its_own_process(TEST, || {
        // SAFETY: The default action has no handler.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let poke = Poke::new().unwrap();
        assert!(poke.poke());
        let number = poke.file().unwrap().as_raw_fd();
        // SAFETY: Only the library uses this number, and it must bear that.
        assert_eq!(unsafe { libc::close(number) }, 0);
        assert!(!poke.poke());
    });
}

/// The story: the number of a closed descriptor became that of the next member's description. Through this description, the lock of the
/// next member was not visible, because a lock does not conflict with itself. So the member seemed dead.
#[test]
fn a_number_that_is_used_again_for_the_same_region_makes_no_member_look_dead() {
    const TEST: &str =
        "region::processes::descriptors::a_number_that_is_used_again_for_the_same_region_makes_no_member_look_dead";
    in_its_own_process(TEST, || {
        let directory = directory();
        let observer = builder(&directory).create("jobs").unwrap();
        let first = builder(&directory).open("jobs").unwrap();
        let number = membership(&first).as_fd().as_raw_fd();
        // SAFETY: Only the library uses this number, and it must tolerate that the descriptor is closed.
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
    const TEST: &str = "region::processes::descriptors::a_member_leaves_although_another_process_has_its_description";
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

/// poll(2) fails if the limit is lower than the number of its descriptors. Some programs set it to 0 when they have opened all that they
/// need. The watcher tried again at once, and used a processor all the time.
#[test]
fn the_watcher_sleeps_although_the_limit_of_descriptors_is_zero() {
    const TEST: &str = "region::processes::descriptors::the_watcher_sleeps_although_the_limit_of_descriptors_is_zero";
    in_its_own_process(TEST, || {
        let region = Region::builder().anonymous().unwrap();
        let other = another_member(&region);
        until(|| watchers() == 1);
        let mut threads = fs::read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap().path());
        let watcher = threads.find(|path| fs::read_to_string(path.join("comm")).unwrap() == "futex-ipc\n").unwrap();
        let stat = fs::File::open(watcher.join("stat")).unwrap();
        let is_asleep = || {
            let mut text = [0; 64];
            let len = stat.read_at(&mut text, 0).unwrap();
            String::from_utf8_lossy(&text[..len]).contains(") S ")
        };
        setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..getrlimit(Resource::Nofile) }).unwrap();
        // It wakes the watcher, which sleeps in the kernel with the old limit.
        other.die();
        until(|| low(membership(&region).slot(1, Acquire)) == FREE);
        until(is_asleep);
    });
}
