//! Names of regions, in one process and with stopped ones.

use super::make::{Made, Way};
use super::*;
use crate::format::{FORMAT, Header, SWEEP_BYTE};
use crate::hook::HOOK;
use crate::region::{Builder, Region};
use crate::steps::member::FREE;
use crate::steps::{Words, low};
use crate::testing::{Actor, role, stop_myself};
use futex_tests::{in_its_own_process, skip, until};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::atomic::Ordering::Relaxed;
use tempfile::TempDir;

fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

fn builder(directory: &TempDir) -> Builder {
    Region::builder().members(4).objects(2).bytes(0).directory(directory.path())
}

fn entries(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Leaves the remains of a region whose member was killed.
fn leave_remains(directory: &TempDir) {
    let region = builder(directory).create("killed").unwrap();
    let path = directory.path().join("killed");
    fs::copy(&path, directory.path().join("jobs")).unwrap();
    drop(region);
    assert_eq!(entries(directory), ["jobs"]);
}

fn slot(region: &Region) -> u32 {
    region.membership().me().slot
}

#[test]
fn all_who_open_a_name_get_one_region_and_the_last_one_removes_the_name() {
    let directory = directory();
    let builder = builder(&directory);
    let first = builder.open_or_create("jobs").unwrap();
    let second = builder.open_or_create("/jobs").unwrap();
    let third = builder.open("jobs").unwrap();
    assert_eq!([&first, &second, &third].map(slot), [0, 1, 2]);
    assert_eq!(first.membership().identity(), second.membership().identity());
    assert_eq!(entries(&directory), ["jobs"]);
    drop(first);
    drop(third);
    assert_eq!(entries(&directory), ["jobs"]);
    drop(second);
    assert_eq!(entries(&directory), [""; 0]);
}

#[test]
fn a_posix_name_is_the_default() {
    let name = format!("/futex-ipc-unit-{}", std::process::id());
    let region = Region::builder().open_or_create(&name).unwrap();
    let path = format!("/dev/shm{name}");
    assert_eq!(fs::metadata(&path).unwrap().ino(), region.membership().identity().1);
    drop(region);
    assert!(!fs::exists(&path).unwrap());
}

#[test]
fn a_name_with_a_member_is_taken_and_one_without_a_member_is_missing() {
    let directory = directory();
    let builder = builder(&directory);
    let missing = builder.open("jobs").unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    let _region = builder.create("jobs").unwrap();
    let taken = builder.create("jobs").unwrap_err();
    assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
    assert!(taken.to_string().starts_with("the region \"jobs\" in /dev/shm/"), "{taken}");
}

#[test]
fn the_remains_of_a_crash_are_replaced() {
    let directory = directory();
    for open in [Builder::open_or_create, Builder::create] as [fn(&Builder, &'static str) -> _; 2] {
        leave_remains(&directory);
        let remains = fs::metadata(directory.path().join("jobs")).unwrap().ino();
        let region: Region = open(&builder(&directory), "jobs").unwrap();
        assert_ne!(region.membership().identity().1, remains);
        assert_eq!((slot(&region), region.membership().me().generation), (0, 1));
    }
    assert_eq!(entries(&directory), [""; 0]);
}

#[test]
fn remains_that_are_only_opened_are_removed() {
    let directory = directory();
    leave_remains(&directory);
    assert_eq!(builder(&directory).open("jobs").unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(entries(&directory), [""; 0]);
}

#[test]
fn files_that_are_not_regions_are_refused_and_left_alone() {
    let directory = directory();
    let path = directory.path().join("jobs");
    let refused = |kind: io::ErrorKind| {
        for open in [Builder::open_or_create, Builder::create, Builder::open] as [fn(&Builder, &'static str) -> _; 3] {
            let error: io::Error = open(&builder(&directory), "jobs").unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert_eq!(entries(&directory), ["jobs"], "{error}");
        }
    };
    for content in ["", "short", "the words of another program"] {
        fs::write(&path, content).unwrap();
        refused(io::ErrorKind::InvalidData);
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/shm/elsewhere", &path).unwrap();
    refused(io::ErrorKind::InvalidInput);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused(io::ErrorKind::InvalidInput);
    fs::remove_dir(&path).unwrap();
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    refused(io::ErrorKind::InvalidInput);
}

#[test]
fn a_region_of_another_format_or_length_is_refused_with_both_sides() {
    let directory = directory();
    let builder = builder(&directory);
    let region = builder.create("jobs").unwrap();
    let words = region.membership().words();
    let format = words[1].load(Relaxed);
    words[1].store(format + 6, Relaxed);
    let error = builder.open_or_create("jobs").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let message = error.to_string();
    assert!(message.starts_with("cannot join the region \"jobs\" in "), "{message}");
    let numbers = format!("format {}, and this program knows format {FORMAT}", FORMAT + 6);
    assert!(message.contains(&numbers), "{message}");
    words[1].store(format, Relaxed);

    let len = words.len() as u64;
    words[2].store(len + 1, Relaxed);
    let message = builder.open("jobs").unwrap_err().to_string();
    assert!(
        message.contains(&format!("{} words", len + 1)) && message.contains(&format!("has {len} words")),
        "{message}"
    );
    words[2].store(len, Relaxed);
    builder.open("jobs").unwrap();
}

#[test]
fn a_region_is_full_when_each_slot_has_a_member() {
    let directory = directory();
    let builder = builder(&directory);
    let regions: Vec<Region> = (0..4).map(|_| builder.open_or_create("jobs").unwrap()).collect();
    let full = builder.open_or_create("jobs").unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::ResourceBusy);
    assert!(full.to_string().contains("is full: it has 4 members"), "{full}");
    drop(regions);
    builder.create("jobs").unwrap();
}

#[test]
fn a_mode_for_others_needs_a_directory_in_which_they_can_remove_names() {
    let directory = directory();
    let region = builder(&directory).mode(0o666).create("jobs").unwrap();
    let path = directory.path().join("jobs");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
    drop(region);
    let _private = builder(&directory).create("jobs").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let sticky = Region::builder().mode(0o660).create("futex-ipc-unit-sticky").unwrap_err();
    assert_eq!(sticky.kind(), io::ErrorKind::InvalidInput);
    assert!(sticky.to_string().contains("/dev/shm has the sticky bit"), "{sticky}");
    for mode in [0o400, 0o060, 0o700, 0o4600] {
        let error = builder(&directory).mode(mode).create("jobs").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
    }
}

#[test]
fn a_region_of_another_user_is_refused_unless_the_mode_is_for_several() {
    let directory = directory();
    let _region = builder(&directory).create("jobs").unwrap();
    if std::os::unix::fs::chown(directory.path().join("jobs"), Some(1), None).is_err() {
        return skip("only root can give a file to another user");
    }
    let error = builder(&directory).open_or_create("jobs").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("belongs to user 1"), "{error}");
    builder(&directory).mode(0o660).open("jobs").unwrap();
}

#[test]
fn a_missing_directory_is_an_error_that_names_it() {
    let directory = directory();
    let path = directory.path().join("none");
    let error = builder(&directory).directory(&path).open_or_create("jobs").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.to_string().contains(&format!("there is no directory {}", path.display())), "{error}");
}

/// The service systemd-logind removes the files that a user has in `/dev/shm` when the user logs out.
#[test]
fn a_name_that_others_removed_is_noticed_and_its_next_region_is_left_alone() {
    let directory = directory();
    let builder = builder(&directory);
    let old = builder.create("jobs").unwrap();
    assert!(old.membership().name_leads_here().unwrap());
    fs::remove_file(directory.path().join("jobs")).unwrap();
    assert!(!old.membership().name_leads_here().unwrap());
    let new = builder.open_or_create("jobs").unwrap();
    assert_ne!(old.membership().identity(), new.membership().identity());
    assert!(!old.membership().name_leads_here().unwrap());
    drop(old);
    assert!(new.membership().name_leads_here().unwrap());
    drop(new);
    assert_eq!(entries(&directory), [""; 0]);
}

#[test]
fn a_directory_may_be_relative_and_the_current_one_may_change() {
    const TEST: &str = "name::tests::a_directory_may_be_relative_and_the_current_one_may_change";
    in_its_own_process(TEST, || {
        let directory = directory();
        std::env::set_current_dir(directory.path()).unwrap();
        let region = Region::builder().directory(".").create("jobs").unwrap();
        std::env::set_current_dir("/").unwrap();
        assert!(region.membership().name_leads_here().unwrap());
        drop(region);
        assert_eq!(entries(&directory), [""; 0]);
    });
}

fn make_hidden(directory: &TempDir) -> Made {
    let name = Name::new("jobs".as_ref(), Some(directory.path()), 0o600).unwrap();
    name.make_by(Way::Hidden, Layout::new(4, 2, 0, 4096).unwrap(), "").unwrap()
}

#[test]
fn a_region_can_be_made_under_a_hidden_name() {
    let directory = directory();
    let Made::Member(member) = make_hidden(&directory) else { panic!("no other file has the hidden name") };
    assert_eq!(entries(&directory), ["jobs"]);
    let other = builder(&directory).open("jobs").unwrap();
    assert_eq!(other.membership().identity(), member.identity());
    assert!(matches!(make_hidden(&directory), Made::Taken));
    assert_eq!(entries(&directory), ["jobs"]);
    drop((member, other));
    assert_eq!(entries(&directory), [""; 0]);
}

#[test]
fn a_hidden_name_that_a_crash_has_left_is_removed() {
    let directory = directory();
    for content in ["", "half of a header"] {
        fs::write(directory.path().join(".jobs.new"), content).unwrap();
        assert!(matches!(make_hidden(&directory), Made::Taken));
        assert_eq!(entries(&directory), [""; 0]);
    }
    assert!(matches!(make_hidden(&directory), Made::Member(_)));
}

/// The story: the hidden name stayed in the directory until a process made a region of the same name.
#[test]
fn a_hidden_name_is_removed_when_the_region_has_no_room() {
    const TEST: &str = "name::tests::a_hidden_name_is_removed_when_the_region_has_no_room";
    in_its_own_process(TEST, || {
        let directory = directory();
        let limit = Rlimit { current: Some(2048), ..getrlimit(Resource::Fsize) };
        setrlimit(Resource::Fsize, limit).unwrap();
        let name = Name::new("jobs".as_ref(), Some(directory.path()), 0o600).unwrap();
        let made = name.make_by(Way::Hidden, Layout::new(4, 2, 0, 4096).unwrap(), "");
        assert_eq!(made.err().map(|error| error.kind()), Some(io::ErrorKind::FileTooLarge));
        assert_eq!(entries(&directory), [""; 0]);
    });
}

#[test]
fn a_hidden_name_in_use_is_left_alone() {
    let directory = directory();
    // This member has the hidden name, as a process that makes a region has it between the lock and the link.
    let region = builder(&directory).create(".jobs.new").unwrap();
    assert!(matches!(make_hidden(&directory), Made::Taken));
    assert!(region.membership().name_leads_here().unwrap());
}

#[test]
fn each_finding_leads_to_one_act() {
    use open::Act::*;
    use open::Intent::{Create, Open, OpenOrCreate};
    for (intent, acts) in [
        (Open, [RefuseMissing, Remove, Join, Retry]),
        (Create, [Make, Remove, RefuseTaken, Retry]),
        (OpenOrCreate, [Make, Remove, Join, Retry]),
    ] {
        let found = [Found::Nothing, Found::Remains, Found::Member, Found::Change];
        assert_eq!(found.map(|found| open::decide(intent, found)), acts, "{intent:?}");
    }
    let byte = FIRST_SLOT_BYTE + 3;
    assert_eq!(meaning(Some(&(byte..byte + 1))), Found::Member);
    assert_eq!([Some(RANGE), Some(byte..byte + 2), None].map(|lock| meaning(lock.as_ref())), [Found::Change; 3]);
}

/// Stops a process at this point, at which it has locked RANGE. Checks the error of another process.
fn stopped_at(test: &str, point: fn(Point), prepare: fn(&TempDir)) {
    if let Some(role) = role() {
        HOOK.set(point).unwrap();
        drop(Region::builder().members(4).objects(2).bytes(0).directory(&role[0]).open_or_create("jobs").unwrap());
        return;
    }
    let directory = directory();
    prepare(&directory);
    let mut actor = Actor::start(test, &[directory.path().to_str().unwrap()]);
    actor.until_stopped();
    let error = builder(&directory).open_or_create("jobs").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    assert!(error.to_string().contains("may be stopped"), "{error}");
    actor.go_on();
    // The call succeeds if the other process continues within a second.
    let region = builder(&directory).open_or_create("jobs").unwrap();
    assert!(region.membership().name_leads_here().unwrap());
    assert!(actor.0.wait().unwrap().success());
    drop(region);
    assert_eq!(entries(&directory), [""; 0]);
}

#[test]
fn a_process_that_is_stopped_while_it_replaces_remains_is_reported() {
    let stop = |point| {
        if point == Point::Cleaning {
            stop_myself();
        }
    };
    stopped_at("name::tests::a_process_that_is_stopped_while_it_replaces_remains_is_reported", stop, leave_remains);
}

#[test]
fn a_process_that_is_stopped_while_it_leaves_as_the_last_one_is_reported() {
    let stop = |point| {
        if point == Point::Last {
            stop_myself();
        }
    };
    stopped_at("name::tests::a_process_that_is_stopped_while_it_leaves_as_the_last_one_is_reported", stop, |_| ());
}

/// A process that removes a name has locked the bytes of all slots. A process that joined by a descriptor at that moment got an error
/// that the region was full.
#[test]
fn a_descriptor_of_a_region_whose_name_is_being_removed_leads_to_a_member_after_that() {
    const TEST: &str = "name::tests::a_descriptor_of_a_region_whose_name_is_being_removed_leads_to_a_member_after_that";
    if let Some(role) = role() {
        let stop = |point| {
            if point == Point::Last {
                stop_myself();
            }
        };
        HOOK.set(stop).unwrap();
        return drop(Region::builder().directory(&role[0]).create("jobs").unwrap());
    }
    let directory = directory();
    let mut actor = Actor::start(TEST, &[directory.path().to_str().unwrap()]);
    actor.until_stopped();
    let file = fs::File::options().read(true).write(true).open(directory.path().join("jobs")).unwrap();
    let error = Region::builder().from_fd(&file).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    assert!(error.to_string().contains("may be stopped"), "{error}");
    actor.go_on();
    assert_eq!(Region::builder().from_fd(&file).unwrap().members().unwrap().len(), 1);
    assert!(actor.0.wait().unwrap().success());
    assert_eq!(entries(&directory), [""; 0]);
}

/// A process that had locked the slot of a dead member, and was stopped before it marked the death, made the dead member seem alive.
#[test]
fn a_process_that_is_stopped_while_it_joins_keeps_no_death_secret() {
    const TEST: &str = "name::tests::a_process_that_is_stopped_while_it_joins_keeps_no_death_secret";
    if let Some(role) = role() {
        let stop = |point| {
            if point == Point::SlotLocked {
                stop_myself();
            }
        };
        HOOK.set(stop).unwrap();
        return drop(Region::builder().directory(&role[0]).open("jobs").unwrap());
    }
    let directory = directory();
    let region = builder(&directory).create("jobs").unwrap();
    let other = builder(&directory).open("jobs").unwrap();
    let dead = slot(&other);
    let busy = region.presence().keep_watcher_busy();
    other.die();
    region.membership().store(Header::NEXT, dead.into(), Relaxed);
    let mut actor = Actor::start(TEST, &[directory.path().to_str().unwrap()]);
    actor.until_stopped();
    drop(busy);
    until(|| low(region.membership().slot(dead, Relaxed)) == FREE);
    actor.go_on();
    assert!(actor.0.wait().unwrap().success());
}

/// The story: the two bytes were adjacent, and the kernel merged the sweeper's lock and that of slot 0, so that the member looked like a
/// process that removes the name. While a sweeper in slot 0 was stopped, no process could open the name.
#[test]
fn a_name_is_opened_although_the_member_of_the_first_slot_is_stopped_as_the_sweeper() {
    let directory = directory();
    let region = builder(&directory).create("jobs").unwrap();
    assert_eq!(slot(&region), 0);
    let _busy = region.presence().keep_watcher_busy();
    // As if it had stopped: it has the lock, and does nothing.
    assert!(byte_lock::try_lock(&**region.membership(), SWEEP_BYTE..SWEEP_BYTE + 1).unwrap());
    assert_eq!(slot(&builder(&directory).open("jobs").unwrap()), 1);
}
