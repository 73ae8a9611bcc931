//! Many processes that open and leave one name, and are killed between any two steps.
//!
//! Each worker opens the name, checks again and again that the name leads to its region and that its slot is its own, and leaves.
//! At each point of the protocols it yields, sleeps or kills itself at random. The test kills workers at random, and sometimes all
//! of them at once. Workers also check for dead members and sweep them.
//!
//! If a name led to two files, or a living member was marked as dead, a worker would see that. At the end no file is left.

use crate::hook::{HOOK, ONLY_HIDDEN, Point};
use crate::membership::{Membership, Sweeping};
use crate::region::Region;
use crate::steps::Words;
use crate::steps::member::{LIVE, Mark, slot_word};
use crate::steps::sweep::Sweep;
use crate::testing::{Actor, role, side, signal_myself};
use futex_sys::SharedMemory;
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

const WORKERS: usize = 6;
/// One of this many points is the last one of a worker.
const POINTS_PER_DEATH: u32 = 3000;
const NAME: &str = "jobs";
/// Time after which something has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Words that all processes share.
#[derive(Clone, Copy)]
enum Shared {
    /// 1: no worker kills itself any more, and each one ends after one more round.
    Calm,
    /// The inode of the region whose members were all killed at once.
    Dead,
    Joins,
    Deaths,
}

fn shared(memory: &SharedMemory, word: Shared) -> &AtomicU32 {
    &memory.as_words()[word as usize]
}

static SIDE: OnceLock<SharedMemory> = OnceLock::new();

/// What a worker does at each point.
fn torment(_: Point) {
    match fastrand::u32(..64) {
        0..30 => {}
        30..52 => std::thread::yield_now(),
        52..62 => std::thread::sleep(Duration::from_micros(fastrand::u32(..60).into())),
        _ => std::thread::sleep(Duration::from_micros(fastrand::u32(..600).into())),
    }
    let is_calm = SIDE.get().is_some_and(|side| shared(side, Shared::Calm).load(SeqCst) == 1);
    if !is_calm && fastrand::u32(..POINTS_PER_DEATH) == 0 {
        signal_myself(Signal::KILL);
    }
}

fn work(directory: &str, hidden: bool) {
    let side = SIDE.get_or_init(|| side(&Path::new(directory).join("side")));
    ONLY_HIDDEN.store(hidden, SeqCst);
    HOOK.set(torment).unwrap();
    let names = Path::new(directory).join("names");
    let builder = Region::builder().members(16).objects(1).bytes(0).directory(&names);
    loop {
        let is_last = shared(side, Shared::Calm).load(SeqCst) == 1;
        // A killed process delays no other one, so this succeeds at once. Otherwise it gives up after a second of pauses.
        let region =
            builder.open_or_create(NAME).unwrap_or_else(|error| panic!("a worker can't open the name: {error}"));
        shared(side, Shared::Joins).fetch_add(1, SeqCst);
        let membership = region.membership();
        let (_, inode) = membership.identity();
        let dead = shared(side, Shared::Dead).load(SeqCst);
        assert_ne!(inode as u32, dead, "a worker has joined the region of members that are all dead");
        for _ in 0..fastrand::u32(..6) {
            check(membership, &names);
            torment(Point::Live);
        }
        sweep_the_dead(membership);
        // This includes the deaths that the watcher has noticed.
        shared(side, Shared::Deaths).fetch_add(region.stats().deaths_seen as u32, SeqCst);
        check(membership, &names);
        drop(region);
        if is_last {
            return;
        }
    }
}

fn check(membership: &Membership, names: &Path) {
    let (_, inode) = membership.identity();
    let there = fs::symlink_metadata(names.join(NAME)).map(|data| data.ino());
    assert_eq!(there.ok(), Some(inode), "the name does not lead to the region of a member");
    assert!(membership.name_leads_here().unwrap());
    let me = membership.me();
    assert_eq!(membership.slot(me.slot, SeqCst), slot_word(me.generation, LIVE), "a living member was marked as dead");
    membership.check().unwrap();
}

fn sweep_the_dead(membership: &Membership) {
    let words = Sweeping::new(membership);
    for slot in (0..membership.slots()).filter(|&slot| slot != membership.me().slot) {
        if let Some(dead) = crate::run::run(&words, Mark::new(slot)).unwrap() {
            crate::run::run(&words, Sweep::new(dead)).unwrap();
        }
    }
}

/// The end of a worker. `None` if it was killed.
fn outcome(status: ExitStatus) -> Option<()> {
    if status.signal() == Some(Signal::KILL.as_raw()) {
        return None;
    }
    assert!(status.success(), "a worker has failed: {status}");
    Some(())
}

fn stress(test: &str, hidden: bool) {
    if let Some(role) = role() {
        return work(&role[0], hidden);
    }
    let kills_at_least = std::env::var("FUTEX_IPC_STRESS_KILLS").map_or(100, |kills| kills.parse().unwrap());
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = directory.path().to_str().unwrap();
    let names = directory.path().join("names");
    fs::create_dir(&names).unwrap();
    fs::write(directory.path().join("side"), [0; 4096]).unwrap();
    let side = side(&directory.path().join("side"));
    let start = || Actor::start(test, &[path]);

    let mut workers: Vec<Actor> = (0..WORKERS).map(|_| start()).collect();
    let (mut kills, mut massacres) = (0, 0);
    while kills < kills_at_least {
        // A machine may be so slow that a worker takes longer to start than a pause lasts.
        let joins = shared(&side, Shared::Joins);
        let enough = joins.load(SeqCst) + fastrand::u32(..60);
        let limit = Instant::now() + PATIENCE;
        loop {
            for worker in &mut workers {
                if let Some(status) = worker.0.try_wait().unwrap() {
                    assert_eq!(outcome(status), None, "a worker has ended by itself");
                    *worker = start();
                }
            }
            // After this pause, a worker is at a random point of the protocol.
            std::thread::sleep(Duration::from_micros(fastrand::u32(20..2000).into()));
            if joins.load(SeqCst) >= enough {
                break;
            }
            assert!(Instant::now() < limit, "the workers do not join");
        }
        let victim = fastrand::u32(..WORKERS as u32) as usize;
        workers[victim].kill();
        kills += 1;
        if fastrand::u32(..8) == 0 {
            // All workers are killed at once, so that none of them removes the name.
            for worker in &mut workers {
                worker.0.kill().unwrap();
            }
            for worker in &mut workers {
                worker.0.wait().unwrap();
            }
            if let Ok(remains) = fs::symlink_metadata(names.join(NAME)) {
                shared(&side, Shared::Dead).store(remains.ino() as u32, SeqCst);
            }
            massacres += 1;
            workers.iter_mut().for_each(|worker| *worker = start());
        }
        workers[victim] = start();
    }

    shared(&side, Shared::Calm).store(1, SeqCst);
    let ends: Vec<_> = workers.iter_mut().map(|worker| outcome(worker.0.wait().unwrap())).collect();
    // The last worker that left has removed the name, unless one killed itself at the very end. A hidden name is removed by the next
    // process that makes the region.
    if hidden || ends.contains(&None) {
        assert_eq!(outcome(start().0.wait().unwrap()), Some(()));
    }
    let left: Vec<_> = fs::read_dir(&names).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let [joins, deaths] = [Shared::Joins, Shared::Deaths].map(|word| shared(&side, word).load(SeqCst));
    eprintln!("{joins} joins, {kills} kills, {massacres} times all workers at once, {deaths} dead members were seen");
    assert!(left.is_empty(), "names are left: {left:?}");
    assert!(joins > kills && kills > 0 && massacres > 0 && deaths > 0, "no kill or no death has happened");
}

#[test]
fn no_kill_splits_a_name_or_leaves_it_behind() {
    stress("name::stress::no_kill_splits_a_name_or_leaves_it_behind", false);
}

#[test]
fn no_kill_splits_a_name_that_is_made_under_a_hidden_one() {
    stress("name::stress::no_kill_splits_a_name_that_is_made_under_a_hidden_one", true);
}
