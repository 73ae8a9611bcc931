//! `futex ls`.

use crate::support::{Running, backends, find, json, named, run, text, unique, until, until_waiters};
use futex_sys::SharedMemory;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::process::Signal;
use serde_json::Value;
use std::os::fd::{AsFd as _, AsRawFd as _};

/// Maps an object, so that it is mapped and nowhere open when `fd` is dropped. It stays mapped until this process ends.
#[expect(unsafe_code, reason = "mmap")]
pub(crate) fn map_for_good(fd: impl std::os::fd::AsFd, len: usize) {
    use rustix::mm::{MapFlags, ProtFlags, mmap};
    let rights = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: The kernel chooses an address at which nothing is mapped, and nothing accesses the mapping.
    unsafe { mmap(std::ptr::null_mut(), len, rights, MapFlags::SHARED, fd, 0) }.unwrap();
}

fn own(fd: impl std::os::fd::AsFd) -> String {
    format!("{}:{}", std::process::id(), fd.as_fd().as_raw_fd())
}

#[test]
fn a_name_is_listed_with_its_processes() {
    let (name, memory) = named("listed", 8192);
    let waiter = Running::waiter("thread", &name, 0);
    until_waiters(&memory.word(0).unwrap(), 1);
    waiter.signal(Signal::STOP);
    let listed = json(["ls", "--json"]);
    let line = find(&listed, "object", name.as_str()).unwrap();
    assert_eq!((&line["kind"], &line["name"]), (&"name".into(), &name.as_str().into()));
    assert_eq!((&line["length_bytes"], &line["allocated_bytes"]), (&8192.into(), &8192.into()));
    let uid = rustix::process::geteuid().as_raw();
    assert_eq!((&line["mode"], &line["owner_uid"]), (&"0600".into(), &uid.into()));
    assert_eq!(line["words_with_waiters"], Value::Null, "nobody asked for them");
    let holder = find(&line["processes"], "pid", waiter.id()).unwrap();
    assert_eq!((&holder["state"], &holder["is_mapped"]), (&"stopped".into(), &true.into()));
    assert!(!holder["descriptors"].as_array().unwrap().is_empty());

    let people = text(["ls"]);
    let line = people.lines().find(|line| line.starts_with(&name)).unwrap();
    assert!(line.contains(" 8K ") && line.contains(" 0600 "), "{line}");
    assert!(line.contains(&format!("{} futex (stopped)", waiter.id())), "{line}");
}

#[test]
fn words_with_waiters_are_counted_on_each_backend() {
    for backend in backends() {
        let (name, memory) = named("counted", 4096);
        let _waiters = [0, 64, 64, 4092].map(|offset| Running::waiter(backend, &name, offset));
        // Waits of the backend `thread` begin anew from time to time, so a count can miss one.
        until(|| {
            let listed = json(["ls", "--waiters", "--json", "--limit", "20s"]);
            let line = find(&listed, "object", name.as_str()).unwrap();
            assert_eq!((&line["error"], &line["not_counted"]), (&Value::Null, &Value::Null), "{backend}");
            let count = line["words_with_waiters"].as_u64().unwrap();
            assert!(count <= 3, "{backend}: {count}");
            count == 3 && memory.word(64).unwrap().waiters().unwrap() == 2
        });
    }
}

#[test]
fn what_was_not_counted_is_said() {
    let (name, _memory) = named("not-counted", 4096);
    // Pages that were never touched are not looked into, so one is.
    _memory.word(0).unwrap().store(0, std::sync::atomic::Ordering::Relaxed);
    let listed = json(["ls", "--waiters", "--json", "--limit", "0s"]);
    let line = find(&listed, "object", name.as_str()).unwrap();
    assert_eq!(line["not_counted"], serde_json::json!({ "start": 0, "end": 4096 }));
    let people = text(["ls", "--waiters", "--limit", "0s"]);
    assert!(
        people.contains(&format!("{name}: the time was up: not all words of 0x0..0x1000 were counted")),
        "{people}"
    );
    assert!(people.contains("0 or more"), "{people}");
}

#[test]
fn memory_without_a_name_is_listed_by_a_descriptor() {
    let memfd_name = unique("memfd");
    let fd = memfd_create(memfd_name.as_str(), MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&fd, 4096).unwrap();
    let memfd = SharedMemory::from_fd(fd).unwrap();
    let name = unique("gone");
    let unlinked = SharedMemory::create(&name, 4096).unwrap();
    SharedMemory::unlink(&name).unwrap();

    let listed = json(["ls", "--json"]);
    let line = find(&listed, "name", memfd_name.as_str()).unwrap();
    assert_eq!((&line["kind"], &line["object"]), (&"memfd".into(), &own(&memfd).into()));
    assert!(find(&line["processes"], "pid", std::process::id()).is_some());
    let line = find(&listed, "object", own(&unlinked)).unwrap();
    assert_eq!(line["kind"], "unlinked");
    // What is listed can be shown.
    text(["show", line["object"].as_str().unwrap()]);
}

#[test]
fn an_unlinked_object_is_listed_with_the_name_that_it_had() {
    // Its creator made it without a name, and so do its maps show it. Those of who opened it have the name.
    let name = unique("had");
    let memory = SharedMemory::create(&name, 4096).unwrap();
    let waiter = Running::waiter("thread", &name, 0);
    until_waiters(&memory.word(0).unwrap(), 1);
    SharedMemory::unlink(&name).unwrap();
    let listed = json(["ls", "--json"]);
    let line = find(&listed, "name", format!("/dev/shm/{name}")).unwrap();
    assert_eq!(line["kind"], "unlinked");
    for pid in [waiter.id(), std::process::id()] {
        assert!(find(&line["processes"], "pid", pid).is_some());
    }
}

#[test]
fn memory_that_is_nowhere_open_is_listed_by_its_mapping() {
    let name = unique("closed");
    let fd = memfd_create(name.as_str(), MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&fd, 4096).unwrap();
    let value = 0x1234_u32;
    rustix::io::pwrite(&fd, &value.to_ne_bytes(), 8).unwrap();
    map_for_good(&fd, 4096);
    drop(fd);
    let listed = json(["ls", "--json", "--waiters"]);
    let line = find(&listed, "name", name.as_str()).unwrap();
    assert!(find(&line["processes"], "pid", std::process::id()).is_some());
    match &line["object"] {
        Value::String(object) => {
            assert!(object.starts_with(&format!("/proc/{}/map_files/", std::process::id())), "{object}");
            let shown = json(["show", object, "--json"]);
            assert_eq!(find(&shown["words"], "offset", 8).unwrap()["value"], value);
        }
        // Without the right to open it, which a sentence says.
        object => {
            assert_eq!((object, &line["length_bytes"]), (&Value::Null, &Value::Null));
            assert!(line["error"].as_str().unwrap().contains("it is nowhere open"), "{line}");
        }
    }
}

#[test]
fn files_of_disks_are_listed_only_if_they_are_asked_for() {
    // If the directory of temporary files is on memory, the file is listed in both cases.
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(4096).unwrap();
    let memory = SharedMemory::open_path(file.path()).unwrap();
    let path = file.path().canonicalize().unwrap();
    let path = path.to_str().unwrap();
    let all = json(["ls", "--json", "--all", "--waiters"]);
    let line = find(&all, "object", path).unwrap();
    assert_eq!((&line["kind"], &line["length_bytes"]), (&"file".into(), &4096.into()));
    assert_eq!((&line["words_with_waiters"], &line["error"]), (&0.into(), &Value::Null));
    const TMPFS_MAGIC: i64 = 0x0102_1994;
    let is_memory = rustix::fs::fstatfs(&memory).unwrap().f_type as i64 == TMPFS_MAGIC;
    assert_eq!(find(&json(["ls", "--json"]), "object", path).is_some(), is_memory);
}

#[test]
fn a_name_that_looks_like_a_descriptor_is_listed_with_a_slash() {
    let name = format!("{}:7", std::process::id());
    let _memory = futex_sys::NamedMemory::create(&name, 4096).unwrap();
    let listed = json(["ls", "--json"]);
    let line = find(&listed, "name", name.as_str()).unwrap();
    assert_eq!(line["object"], format!("/{name}"));
    assert_eq!(json(["show", line["object"].as_str().unwrap(), "--json"])["length_bytes"], 4096);
}

#[test]
fn a_name_with_odd_bytes_is_listed_and_can_be_shown() {
    let name = format!("{} \u{1b}[7m\n{}", unique("odd"), "é".repeat(20));
    let _memory = futex_sys::NamedMemory::create(&name, 4096).unwrap();
    let listed = json(["ls", "--json"]);
    let object = find(&listed, "name", name.as_str()).unwrap()["object"].as_str().unwrap();
    assert_eq!(object, name, "JSON has the name as it is");
    assert!(text(["show", object]).starts_with(&name[..name.find(' ').unwrap()]));
    let people = text(["ls"]);
    assert!(people.contains("\\u{1b}[7m\\n") && !people.contains('\u{1b}'), "{people}");
}

#[test]
fn objects_that_come_and_go_are_listed_or_left_out() {
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let name = unique("coming");
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let memory = SharedMemory::create(&name, 4096).unwrap();
                    SharedMemory::unlink(&name).unwrap();
                    ftruncate(memory.as_fd(), 0).unwrap();
                }
            });
        }
        for _ in 0..30 {
            let output = run(["ls", "--waiters", "--limit", "100ms"]);
            assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
