//! What a fork does to a member, and to the region.

use super::*;
use crate::steps::mutex::C;
use rustix::process::{WaitOptions, kill_process, waitpid};

const FORKED: &str = "belongs to the process that this one was forked from: open it again";

#[test]
fn a_fork_is_not_a_member_and_can_open_the_region_by_itself() {
    const TEST: &str = "region::processes::forks::a_fork_is_not_a_member_and_can_open_the_region_by_itself";
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

#[test]
fn a_fork_that_opens_the_region_waits_and_dies_as_a_member_of_its_own() {
    const TEST: &str = "region::processes::forks::a_fork_that_opens_the_region_waits_and_dies_as_a_member_of_its_own";
    in_its_own_process(TEST, || {
        let directory = directory();
        let region = builder(&directory).create("jobs").unwrap();
        let mutex = Mutex::create(&region, "mutex", 5_u32).unwrap();
        let guard = mutex.blocking_lock().unwrap();
        let child = fork(|| {
            let own = builder(&directory).open("jobs").unwrap();
            let mutex = Mutex::<u32>::open(&own, "mutex").unwrap();
            let mut guard = mutex.blocking_lock().unwrap();
            *guard = 6;
            guard.checkpoint();
            leave_note(&own, 1);
            loop {
                std::thread::park();
            }
        });
        until(|| membership(&region).load(mutex.word(), Relaxed) & C != 0);
        guard.commit();
        await_note(&region, 1);
        assert!(lives(&region, 0) && lives(&region, 1));
        assert!(mutex.try_lock().unwrap().is_none());
        let waiter = std::thread::spawn(move || {
            let guard = mutex.blocking_lock().unwrap();
            (*guard, guard.predecessor().and_then(|member| member.process()).map(|process| process.pid()))
        });
        until(|| membership(&region).waits().len() == 1);
        kill_process(child, Signal::KILL).unwrap();
        // Until `waitpid`, the fork is a zombie, which has no locks.
        assert_eq!(waiter.join().unwrap(), (6, Some(child.as_raw_pid() as u32)));
        waitpid(Some(child), WaitOptions::empty()).unwrap();
        assert!(!lives(&region, 1));
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
    const TEST: &str = "region::processes::forks::a_region_that_a_fork_drops_leaves_the_memory_at_its_address_alone";
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
    const TEST: &str = "region::processes::forks::the_death_of_a_parent_is_noticed_although_its_fork_lives";
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

/// The file is opened and mapped while no thread can fork. Otherwise some of these forks would keep it.
#[test]
fn a_fork_has_no_region_that_another_thread_opens_meanwhile() {
    const TEST: &str = "region::processes::forks::a_fork_has_no_region_that_another_thread_opens_meanwhile";
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
                    // The fork may have the descriptor of a region that the parent was about to close. The parent is not a member of that
                    // region any more.
                    let harmful = held.iter().filter(|line| line.contains("rw-s")).count();
                    assert_eq!(harmful, 0, "{held:?}");
                }));
            }
            is_over.store(true, Relaxed);
        });
    });
}
