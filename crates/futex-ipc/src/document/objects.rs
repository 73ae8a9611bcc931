//! The objects, as the document describes them. The value of a field is put there by an operation, or by its place in the code.

use super::Value::{self, Bytes, Number};
use super::table::fields_of_values;
use super::{Image, place_of, region, roles_of};
use crate::steps::mutex::owned_by;
use crate::steps::record::Records;
use crate::steps::{Place, Words};
use crate::{AutoEvent, Barrier, Condvar, ManualEvent, Mutex, OnceCell, Region, RwLock, Semaphore};
use std::io::ErrorKind;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Number of bytes of a value of the tests, and of its copies.
const SIZE: usize = 21;
const COPY: usize = 24;

fn copy_of(value: u8) -> Vec<u8> {
    [&[value; SIZE][..], &[0; COPY - SIZE]].concat()
}

/// Stores marks in words of the object `o` that no operation of a test changes.
fn mark(region: &Region, words: &[(u32, u64)]) {
    let base = place_of(region, "o");
    words.iter().for_each(|&(index, mark)| region.membership().store(Place(base + index), mark, Relaxed));
}

/// Checks the fields of the object `o`.
#[track_caller]
fn check(image: &Image, region: &Region, heading: &str, values: &[(&str, Value<'_>)]) {
    image.check(place_of(region, "o") as usize * 8, &fields_of_values(heading, COPY), values);
}

#[test]
fn a_mutex_is_as_described() {
    let [region, other] = region();
    let _mutex = Mutex::create(&region, "o", [0x11_u8; SIZE]).unwrap();
    let theirs = Mutex::<[u8; SIZE]>::open(&other, "o").unwrap();
    let mut guard = theirs.try_lock().unwrap().unwrap();
    *guard = [0x22; SIZE];
    guard.checkpoint();
    mark(&region, &[(1, 41 << 32 | 42)]);
    let image = Image::of(&region);
    drop(guard);
    // The second generation in slot 1.
    assert_eq!(owned_by(other.membership().me()), 2 << 32 | 2);
    let values = [
        ("word", Number(2 << 32 | 2)),
        ("predecessor", Number(41 << 32 | 42)),
        ("current", Number(1)),
        ("copy_0", Bytes(&copy_of(0x11))),
        ("copy_1", Bytes(&copy_of(0x22))),
    ];
    check(&image, &region, "## Mutex", &values);
    assert_eq!(roles_of(&region, "o"), [(1, 0)]);
}

#[test]
fn a_read_write_lock_is_as_described() {
    let [region, other] = region();
    let _lock = RwLock::create(&region, "o", [0x11_u8; SIZE]).unwrap();
    let theirs = RwLock::<[u8; SIZE]>::open(&other, "o").unwrap();
    let mut guard = theirs.try_write().unwrap().unwrap();
    *guard = [0x22; SIZE];
    guard.checkpoint();
    mark(&region, &[(1, 41 << 32 | 42), (2, 43 << 32 | 44)]);
    // Readers that begin.
    let record = Records(Place(place_of(&region, "o") + 16)).of(0);
    region.membership().fetch_add(record, 45, Relaxed);
    let image = Image::of(&region);
    region.membership().fetch_sub(record, 45, Relaxed);
    drop(guard);
    let values = [
        ("word", Number(2 << 32 | 2)),
        ("predecessor", Number(41 << 32 | 42)),
        ("event", Number(43 << 32 | 44)),
        ("current", Number(1)),
        ("copy_0", Bytes(&copy_of(0x11))),
        ("copy_1", Bytes(&copy_of(0x22))),
        ("records", Number(1 << 32 | 45)),
    ];
    check(&image, &region, "## RwLock", &values);
    assert_eq!(roles_of(&region, "o"), [(1, 0), (2, 2), (4, 16)]);
}

#[test]
fn a_semaphore_is_as_described() {
    let [region, _other] = region();
    let semaphore = Semaphore::create(&region, "o", 7).unwrap();
    let permits = semaphore.try_acquire_many(3).unwrap().unwrap();
    mark(&region, &[(16, 41 << 32 | 42), (18, 43 << 32 | 44), (19, 45 << 32 | 46)]);
    let image = Image::of(&region);
    mark(&region, &[(18, 0)]);
    drop(permits);
    let values = [
        // The first change.
        ("state", Number(1 << 32 | 4)),
        ("event", Number(41 << 32 | 42)),
        ("capacity", Number(7)),
        ("turnstile", Number(43 << 32 | 44)),
        ("turnstile_predecessor", Number(45 << 32 | 46)),
        ("records", Number(1 << 32 | 3)),
    ];
    check(&image, &region, "## Semaphore", &values);
    assert_eq!(roles_of(&region, "o"), [(2, 16), (1, 18), (4, 32)]);
}

#[test]
fn the_events_are_as_described() {
    let [region, _other] = region();
    let event = ManualEvent::create(&region, "o").unwrap();
    event.set().unwrap();
    // Set, once.
    check(&Image::of(&region), &region, "## Event", &[("word", Number(4 | 1))]);
    assert_eq!(roles_of(&region, "o"), [(3, 0)]);

    let [region, _other] = super::region();
    let event = AutoEvent::create(&region, "o").unwrap();
    event.set().unwrap();
    event.set().unwrap();
    check(&Image::of(&region), &region, "## Event", &[("word", Number(1))]);
    assert_eq!(roles_of(&region, "o"), [(3, 0)]);
}

#[test]
fn a_cell_is_as_described() {
    let [region, _other] = region();
    let cell = OnceCell::create(&region, "o").unwrap();
    cell.set([0x33_u8; SIZE]).unwrap();
    mark(&region, &[(0, 41 << 32 | 42), (1, 43 << 32 | 44)]);
    let image = Image::of(&region);
    mark(&region, &[(0, 0)]);
    let values = [
        ("word", Number(41 << 32 | 42)),
        ("predecessor", Number(43 << 32 | 44)),
        ("done", Number(1)),
        ("value", Bytes(&copy_of(0x33))),
    ];
    check(&image, &region, "## OnceCell", &values);
    assert_eq!(roles_of(&region, "o"), [(1, 0)]);
}

#[test]
fn a_barrier_is_as_described() {
    let [region, _other] = region();
    let barrier = Barrier::create(&region, "o").unwrap();
    let mut one = barrier.attach().unwrap();
    for _ in 0..3 {
        one.blocking_arrive_and_wait().unwrap();
    }
    let two = barrier.attach().unwrap();
    let image = Image::of(&region);
    drop((one, two));
    let values = [
        ("phase", Number(3)),
        ("event", Number(3)),
        // Two are attached, and one has arrived in the phase 2.
        ("records", Number(1 << 32 | 2 << 20 | 1 << 8 | 2)),
    ];
    check(&image, &region, "## Barrier", &values);
    assert_eq!(roles_of(&region, "o"), [(2, 1), (4, 16)]);
}

#[test]
fn a_condition_variable_is_as_described() {
    let [region, _other] = region();
    let mutex = Mutex::create(&region, "mutex", ()).unwrap();
    let condvar = Condvar::create(&region, "o").unwrap();
    // A wait that ends at its deadline: one version, W, and no wake.
    let wait = || condvar.blocking_wait_deadline(mutex.try_lock().unwrap().unwrap(), Instant::now());
    assert_eq!(wait().unwrap_err().kind(), ErrorKind::TimedOut);
    check(&Image::of(&region), &region, "## Condvar", &[("word", Number(1 << 32 | 1 << 31))]);
    // A wake takes W off, because it found no sleeper.
    condvar.notify_one().unwrap();
    check(&Image::of(&region), &region, "## Condvar", &[("word", Number(1 << 32 | 1))]);
    assert_eq!(roles_of(&region, "o"), [(2, 0)]);
}
