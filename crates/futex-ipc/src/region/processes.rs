//! What forks, `exec`, careless closing of descriptors, SIGSTOP and a missing `/proc` do to members. Most tests have a process of
//! their own, because they fork or close descriptors.
#![expect(unsafe_code, reason = "close, close_range and mmap")]

mod descriptors;
mod forks;
mod mounts;
mod passing;

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
