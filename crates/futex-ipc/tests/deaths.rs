//! Members that are killed or stopped, seen by others.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod children;

use self::children::Child;
use futex_ipc::{Member, MemberEvent, MemberEvents, Mutex, Region};
use futex_tests::{in_its_own_process, until, without_a_hang};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads};
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

#[test]
#[ignore = "not a test: child processes of the tests run it"]
fn a_child_process() {
    let Some(role) = children::role() else { return };
    let region = Region::builder().label(&*role).from_fd(children::file(0)).unwrap();
    if role == "owner" {
        let mutex = Mutex::<u64>::open(&region, "m").unwrap();
        std::mem::forget(mutex.blocking_lock().unwrap());
    }
    loop {
        std::thread::park();
    }
}

/// A region in which this process is the first member.
struct Shared {
    region: Region,
    file: OwnedFd,
    mutex: Mutex<u64>,
    events: MemberEvents,
}

impl Shared {
    fn new() -> Self {
        Self::with_slots(64)
    }

    fn with_slots(slots: u32) -> Self {
        let region = Region::builder().members(slots).anonymous().unwrap();
        let mutex = Mutex::create(&region, "m", 5).unwrap();
        Self { file: region.share().unwrap(), events: region.watch_members().unwrap(), region, mutex }
    }

    /// Starts members, and returns them when all have joined, with their pids in another order.
    fn start(&mut self, role: &str, count: usize) -> (Vec<Child>, Vec<Pid>) {
        let children: Vec<_> = (0..count).map(|_| Child::start(role, &[&self.file], [])).collect();
        let pids = children.iter().map(|_| match self.events.blocking_next().unwrap() {
            MemberEvent::Joined(member) if member.label() == role => pid(&member),
            event => panic!("{event:?}"),
        });
        let pids = pids.collect();
        (children, pids)
    }

    /// Starts a member that has the mutex.
    fn start_owner(&mut self) -> (Child, Pid) {
        let (mut children, pids) = self.start("owner", 1);
        until(|| self.mutex.try_lock().unwrap().is_none());
        (children.remove(0), pids[0])
    }

    fn next_death(&mut self) -> Member {
        match self.events.blocking_next().unwrap() {
            MemberEvent::Died(member) => member,
            event => panic!("{event:?}"),
        }
    }

    fn check_no_lost_wake(&self) {
        assert_eq!(self.region.stats().rechecks_that_found, 0);
    }
}

fn pid(member: &Member) -> Pid {
    Pid::from_raw(member.process().unwrap().pid() as i32).unwrap()
}

#[test]
fn a_killed_member_is_reported_and_its_mutex_goes_to_the_next_owner() {
    without_a_hang(|| {
        let mut shared = Shared::new();
        for _ in 0..10 {
            let (owner, its_pid) = shared.start_owner();
            let mutex = Mutex::<u64>::open(&shared.region, "m").unwrap();
            let locker = std::thread::spawn(move || {
                let mut guard = mutex.blocking_lock().unwrap();
                assert!(guard.predecessor_died());
                guard.settle();
            });
            owner.kill();
            let dead = shared.next_death();
            assert_eq!((dead.label(), dead.is_alive()), ("owner", false));
            assert_eq!(pid(&dead), its_pid);
            assert!(dead.process().unwrap().open().unwrap().wait(None).unwrap());
            locker.join().unwrap();
        }
        shared.check_no_lost_wake();
    });
}

#[test]
fn of_32_processes_that_are_killed_at_once_each_death_is_reported_once() {
    without_a_hang(|| {
        let mut shared = Shared::with_slots(36);
        // Survivors compete to sweep. Victims sweep each other, and are killed while they do.
        let survivors = [(); 3].map(|()| Region::builder().label("survivor").from_fd(&shared.file).unwrap());
        for _ in &survivors {
            assert!(matches!(shared.events.blocking_next().unwrap(), MemberEvent::Joined(_)));
        }
        let (mut victims, _) = shared.start("victim", 32);
        victims.iter_mut().for_each(Child::signal);
        let mut slots = BTreeSet::new();
        while slots.len() < 32 {
            let dead = shared.next_death();
            assert_eq!((dead.label(), dead.generation()), ("victim", 1));
            assert!(slots.insert(dead.slot()), "a death is reported twice: {dead:?}");
        }
        until(|| shared.region.members().unwrap().len() == 4);
        let members = shared.region.members().unwrap();
        assert!(members.iter().all(Member::is_alive), "{members:?}");
        // A slot that was swept twice would have had a member in between.
        let (again, _) = shared.start("again", 1);
        assert_eq!(shared.region.members().unwrap()[4].generation(), 2);
        drop(again);
        shared.check_no_lost_wake();
    });
}

#[test]
fn a_stopped_member_is_alive_and_delays_no_death() {
    without_a_hang(|| {
        let mut shared = Shared::new();
        // With more members, it is more likely that one is stopped while it sweeps.
        let (_children, stopped) = shared.start("stopped", 4);
        for _ in 0..10 {
            let (mut owner, _) = shared.start_owner();
            owner.signal();
            stopped.iter().for_each(|&pid| kill_process(pid, Signal::STOP).unwrap());
            assert_eq!(shared.next_death().label(), "owner");
            assert!(shared.mutex.blocking_lock().unwrap().predecessor_died());
            for &pid in &stopped {
                let status = waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED).unwrap().unwrap();
                assert!(status.stopped());
            }
            let members = shared.region.members().unwrap();
            let alive = members.iter().filter(|member| member.label() == "stopped" && member.is_alive());
            assert_eq!(alive.count(), 4);
            stopped.iter().for_each(|&pid| kill_process(pid, Signal::CONT).unwrap());
        }
        shared.check_no_lost_wake();
    });
}

#[test]
fn a_death_is_noticed_without_inotify() {
    in_its_own_process("a_death_is_noticed_without_inotify", || {
        forbid_inotify();
        let mut shared = Shared::new();
        let (owner, _) = shared.start_owner();
        owner.kill();
        // The wait of the stream, and then that of the mutex, keeps the watcher at work.
        assert_eq!(shared.next_death().label(), "owner");
        assert!(shared.mutex.blocking_lock().unwrap().predecessor_died());
        let (owner, _) = shared.start_owner();
        let mutex = Mutex::<u64>::open(&shared.region, "m").unwrap();
        let locker = std::thread::spawn(move || mutex.blocking_lock().unwrap().predecessor_died());
        owner.kill();
        assert!(locker.join().unwrap());
        shared.check_no_lost_wake();
    });
}

fn forbid_inotify() {
    let rules = [(libc::SYS_inotify_init1, Vec::new())].into();
    let deny = SeccompAction::Errno(libc::EMFILE as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, deny, std::env::consts::ARCH.try_into().unwrap());
    apply_filter_all_threads(&BpfProgram::try_from(filter.unwrap()).unwrap()).unwrap();
    let refused = rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::empty());
    assert_eq!(refused.unwrap_err().raw_os_error(), libc::EMFILE);
}

/// Number of threads of this process that watch regions.
fn watchers() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap().path());
    threads.filter(|path| std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name == "futex-ipc\n")).count()
}

#[test]
fn one_thread_watches_all_regions_and_ends_after_the_last_one() {
    in_its_own_process("one_thread_watches_all_regions_and_ends_after_the_last_one", || {
        for _ in 0..2 {
            let mut regions = [Shared::new(), Shared::new()];
            for shared in &mut regions {
                let (children, _) = shared.start("guest", 1);
                children.into_iter().for_each(Child::kill);
                shared.next_death();
            }
            assert_eq!(watchers(), 1);
            drop(regions);
            until(|| watchers() == 0);
        }
        let inotify = |path: std::path::PathBuf| {
            std::fs::read_link(path).is_ok_and(|target| target.as_os_str() == "anon_inode:inotify")
        };
        let files = std::fs::read_dir("/proc/self/fd").unwrap();
        assert_eq!(files.filter(|file| inotify(file.as_ref().unwrap().path())).count(), 0);
    });
}

/// The story: the others notice a death when the file of the region is closed. The kernel closes the files of a dead process from the
/// highest number down. The inotify of its watcher had a higher number than the file, and an instance of inotify takes long to close:
/// of 100 deaths, 10 were noticed 2 ms late.
#[test]
fn the_file_of_a_region_has_a_higher_number_than_inotify() {
    in_its_own_process("the_file_of_a_region_has_a_higher_number_than_inotify", || {
        let number = |part: &str| -> u32 {
            let files = std::fs::read_dir("/proc/self/fd").unwrap().map(|file| file.unwrap().path());
            let mut files =
                files.filter(|file| std::fs::read_link(file).is_ok_and(|link| link.to_string_lossy().contains(part)));
            files.next().unwrap().file_name().unwrap().to_str().unwrap().parse().unwrap()
        };
        let directory = tempfile::tempdir().unwrap();
        let region = Region::builder().directory(directory.path()).create("a region").unwrap();
        assert!(number("inotify") < number(directory.path().to_str().unwrap()));
        drop(region);
        until(|| watchers() == 0);
        let _region = Region::builder().anonymous().unwrap();
        assert!(number("inotify") < number("/memfd:"));
    });
}

/// The watcher must not keep the file of a region from being freed.
#[test]
fn a_region_is_gone_when_its_last_handle_is_dropped() {
    in_its_own_process("a_region_is_gone_when_its_last_handle_is_dropped", || {
        for _ in 0..100 {
            let region = Region::builder().anonymous().unwrap();
            drop(region);
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            assert!(!maps.contains("/memfd:"), "{maps}");
        }
    });
}
