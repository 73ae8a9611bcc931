//! A hostile process writes into each part of a region without a pause, while others use the region.
//!
//! It writes random values, and plausible ones: owners of locks, generations, counts, flags, values of a moment ago. Whatever it writes,
//! the others get errors or wrong data, and nothing else: no panic, no fault, no unlimited memory, no operation of a task that does not
//! return to the runtime, and no stuck thread.
//!
//! `FUTEX_IPC_HOSTILE_SECONDS` is the number of seconds per group of objects.
#![cfg(feature = "tokio")]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "../children/chance.rs"]
mod chance;
#[path = "../children/mod.rs"]
mod children;

mod cell;
mod condvar;
mod control;
mod directory;
mod events;
mod members;
mod mutex;
mod rwlock;
mod semaphore;
mod victim;
mod writer;

use self::cell::Cell;
use self::children::Child;
use self::condvar::Condition;
use self::control::{Control, Figure, Stop};
use self::directory::Directory;
use self::events::Events;
use self::members::Members;
use self::mutex::Mutexes;
use self::rwlock::ReadWrite;
use self::semaphore::Permits;
use self::victim::{Kit, suffer};
use futex_ipc::Region;
use futex_tests::allocator::Counting;
use futex_tests::load::reactor_on;
use futex_tokio::Backend;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
#[ignore = "not a test: child processes of the tests run it"]
fn a_child_process() {
    match children::role().as_deref() {
        Some("write") => writer::write_without_end(),
        Some("mutex") => suffer::<Mutexes>(),
        Some("rwlock") => suffer::<ReadWrite>(),
        Some("semaphore") => suffer::<Permits>(),
        Some("events") => suffer::<Events>(),
        Some("cell") => suffer::<Cell>(),
        Some("members") => suffer::<Members>(),
        Some("condvar") => suffer::<Condition>(),
        Some("directory") => suffer::<Directory>(),
        Some(role) => panic!("there is no role {role}"),
        None => {}
    }
}

fn seconds() -> u64 {
    let variable = std::env::var("FUTEX_IPC_HOSTILE_SECONDS");
    variable.map_or(2, |seconds| seconds.parse().expect("FUTEX_IPC_HOSTILE_SECONDS is a number"))
}

/// Lets two victims use the objects of a kit while a hostile process writes, and then without it.
fn endure<K: Kit>(role: &str, directory_first: bool) {
    let region = Region::builder().members(8).objects(16).bytes(16 << 10).anonymous().unwrap();
    K::open(&region).unwrap();
    let file = region.share().unwrap();
    let control = Control::new();
    let backends = [(Backend::Uring, "uring"), (Backend::Waitv, "waitv"), (Backend::Thread, "thread")];
    let backends: Vec<_> = backends.into_iter().filter(|&(kind, _)| reactor_on(kind).is_some()).collect();
    let mut victims: Vec<Child> = (0..2)
        .map(|victim| {
            let backend = backends[(role.len() + victim) % backends.len()].1;
            Child::start(role, &[&file, control.memory()], [("FUTEX_BACKEND", backend.to_owned())])
        })
        .collect();
    let mut writer =
        Child::start("write", &[&file, control.memory()], [(writer::TARGET, usize::from(directory_first).to_string())]);
    let start = Instant::now();
    while start.elapsed().as_secs() < seconds() {
        for victim in &mut victims {
            let status = victim.status();
            assert_eq!(status, None, "a victim ended: its message is above");
        }
        assert_eq!(writer.status(), None, "the hostile process ended: its message is above");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    control.stop(Stop::Writer);
    ends(&mut writer, "the hostile process");
    control.stop(Stop::Victims);
    victims.iter_mut().for_each(|victim| ends(victim, "a victim"));
    let figures = Figure::ALL.map(|figure| format!("{figure:?}: {}", control.figure(figure).load(SeqCst)));
    println!("{role}: {}", figures.join(", "));
    for figure in [Figure::Joins, Figure::Opened, Figure::Succeeded, Figure::Failed, Figure::Ticks] {
        assert_ne!(control.figure(figure).load(SeqCst), 0, "{figure:?}");
    }
}

fn ends(child: &mut Child, what: &str) {
    let start = Instant::now();
    loop {
        if let Some(status) = child.status() {
            assert!(status.success(), "{what} ended with {status}: its message is above");
            return;
        }
        assert!(start.elapsed().as_secs() < 60, "{what} does not end");
        std::thread::yield_now();
    }
}

#[test]
fn mutexes_in_memory_that_another_process_overwrites_give_errors_or_wrong_data() {
    endure::<Mutexes>("mutex", false);
}

#[test]
fn a_read_write_lock_in_memory_that_another_process_overwrites_gives_errors_or_wrong_data() {
    endure::<ReadWrite>("rwlock", false);
}

#[test]
fn a_semaphore_in_memory_that_another_process_overwrites_gives_errors_or_wrong_data() {
    endure::<Permits>("semaphore", false);
}

#[test]
fn events_in_memory_that_another_process_overwrites_give_errors_or_wrong_data() {
    endure::<Events>("events", false);
}

#[test]
fn a_condition_variable_in_memory_that_another_process_overwrites_gives_errors_or_wrong_data() {
    endure::<Condition>("condvar", false);
}

#[test]
fn a_cell_in_memory_that_another_process_overwrites_gives_errors_or_wrong_data() {
    endure::<Cell>("cell", false);
}

#[test]
fn a_table_of_members_that_another_process_overwrites_gives_errors_or_wrong_data() {
    endure::<Members>("members", true);
}

#[test]
fn a_directory_that_another_process_overwrites_gives_errors_or_wrong_data() {
    endure::<Directory>("directory", true);
}
