//! The races of the protocol, one by one: the hook holds a process at a point until others have come to theirs.

use crate::hook::{HOOK, Point};
use crate::region::{Builder, Region};
use futex_tests::{in_its_own_process, until};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Barrier, LazyLock, Mutex};
use std::thread;
use tempfile::TempDir;

fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

fn builder(directory: impl AsRef<Path>) -> Builder {
    Region::builder().members(4).objects(2).bytes(0).directory(directory.as_ref())
}

/// Runs `f` in a thread with this name, by which the hook knows it.
fn spawn<T: Send + 'static>(name: &str, f: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
    thread::Builder::new().name(name.into()).spawn(f).unwrap()
}

fn is_thread(name: &str) -> bool {
    thread::current().name() == Some(name)
}

/// The member that leaves at a point that another one has reached.
static LEAVER: Mutex<Option<(Region, Builder)>> = Mutex::new(None);
/// The region that was made at that point.
static NEXT: Mutex<Option<Region>> = Mutex::new(None);

fn take_leaver() -> Option<(Region, Builder)> {
    LEAVER.lock().unwrap().take()
}

#[test]
fn a_region_that_its_last_member_leaves_before_the_join_is_not_joined() {
    const TEST: &str = "name::races::a_region_that_its_last_member_leaves_before_the_join_is_not_joined";
    in_its_own_process(TEST, || {
        let directory = directory();
        let builder = builder(&directory);
        let old = builder.create("jobs").unwrap();
        let identity = old.membership().identity();
        *LEAVER.lock().unwrap() = Some((old, builder.clone()));
        let hook = |point| {
            if point == Point::Looked {
                drop(take_leaver());
            }
        };
        HOOK.set(hook).unwrap();
        let region = builder.open_or_create("jobs").unwrap();
        assert!(LEAVER.lock().unwrap().is_none(), "the joiner has not seen the member");
        assert!(region.membership().name_leads_here().unwrap());
        assert_ne!(region.membership().identity(), identity);
    });
}

#[test]
fn a_name_that_leads_to_the_next_region_is_not_removed() {
    const TEST: &str = "name::races::a_name_that_leads_to_the_next_region_is_not_removed";
    in_its_own_process(TEST, || {
        let directory = directory();
        let builder = builder(&directory);
        let old = builder.create("jobs").unwrap();
        *LEAVER.lock().unwrap() = Some((old, builder.clone()));
        let hook = |point| {
            if point == Point::Opened {
                if let Some((old, builder)) = take_leaver() {
                    drop(old);
                    *NEXT.lock().unwrap() = Some(builder.create("jobs").unwrap());
                }
            }
        };
        HOOK.set(hook).unwrap();
        // This call has opened the file of the old region, which has no members and seems to be the remains of a crash.
        let region = builder.open_or_create("jobs").unwrap();
        let next = NEXT.lock().unwrap().take().unwrap();
        assert!(next.membership().name_leads_here().unwrap());
        assert_eq!(region.membership().identity(), next.membership().identity());
    });
}

#[test]
fn the_last_member_keeps_others_from_joining_while_it_removes_the_name() {
    const TEST: &str = "name::races::the_last_member_keeps_others_from_joining_while_it_removes_the_name";
    static HAS_LOOKED: AtomicBool = AtomicBool::new(false);
    static IS_LAST: AtomicBool = AtomicBool::new(false);
    static HAS_TRIED: AtomicBool = AtomicBool::new(false);

    in_its_own_process(TEST, || {
        let directory = directory();
        let builder = builder(&directory);
        let region = builder.create("jobs").unwrap();
        // 1. The joiner sees the lock of the member.
        // 2. The member leaves, and finds out that it is the last one.
        // 3. The joiner tries to join. It must not succeed: the name is about to be removed.
        // 4. The member removes the name.
        let hook = |point| match point {
            Point::Looked if is_thread("joiner") => {
                HAS_LOOKED.store(true, SeqCst);
                until(|| IS_LAST.load(SeqCst));
            }
            Point::Allowed | Point::Opened if is_thread("joiner") && IS_LAST.load(SeqCst) => {
                HAS_TRIED.store(true, SeqCst);
            }
            Point::Last if is_thread("leaver") => {
                IS_LAST.store(true, SeqCst);
                until(|| HAS_TRIED.load(SeqCst));
            }
            _ => {}
        };
        HOOK.set(hook).unwrap();
        let joiner = spawn("joiner", move || builder.open_or_create("jobs").unwrap());
        let leaver = spawn("leaver", move || {
            until(|| HAS_LOOKED.load(SeqCst));
            drop(region);
        });
        leaver.join().unwrap();
        let region = joiner.join().unwrap();
        assert!(region.membership().name_leads_here().unwrap());
    });
}

#[test]
fn of_two_members_that_leave_at_once_one_removes_the_name() {
    const TEST: &str = "name::races::of_two_members_that_leave_at_once_one_removes_the_name";
    static BOTH: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(2));

    in_its_own_process(TEST, || {
        let directory = directory();
        let builder = builder(&directory);
        let regions = [(); 2].map(|()| builder.open_or_create("jobs").unwrap());
        // Both have given up their locks before one tries to be the last, and both have tried before one closes its file.
        let hook = |point| {
            if matches!(point, Point::Unlocked | Point::Left) && is_thread("leaver") {
                BOTH.wait();
            }
        };
        HOOK.set(hook).unwrap();
        let leavers = regions.map(|region| spawn("leaver", move || drop(region)));
        leavers.into_iter().for_each(|leaver| leaver.join().unwrap());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    });
}
