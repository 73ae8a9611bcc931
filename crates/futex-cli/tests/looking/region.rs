//! `futex show` and `futex ls` of regions of `futex-ipc`.

use crate::support::{FUTEX, Running, blocks, find, json, run, text, unique, until};
use futex_ipc::{Mutex, Region, RwLock, Semaphore};
use futex_sys::SharedMemory;
use rustix::process::Signal;
use serde_json::Value;
use std::io::Read as _;
use std::process::{Command, Stdio};

const ROLE: &str = "FUTEX_CLI_MEMBER_OF";

/// A region with this name, which the test removes at its end: a region whose last member was killed stays.
struct Name(String);

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(format!("/dev/shm/{}", self.0));
    }
}

/// If a test has started this process: it is a member that has a lock and 2 permits, until it is killed.
fn play_role() -> bool {
    let Ok(name) = std::env::var(ROLE) else { return false };
    let region = Region::builder().label("holder").open_or_create(&name).unwrap();
    let mutex = Mutex::open_or_create(&region, "jobs", 0_u64).unwrap();
    let semaphore = Semaphore::open_or_create(&region, "slots", 3).unwrap();
    let _permits = semaphore.blocking_acquire_many(2).unwrap();
    let _guard = mutex.blocking_lock().unwrap();
    // It ends with the test.
    let _ = std::io::stdin().read(&mut [0]);
    true
}

/// Starts a process for [`play_role`], and returns when it has the lock.
fn start(test: &str, name: &str) -> Running {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("region::{test}"), "--nocapture"]).env(ROLE, name);
    let holder = Running(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap());
    until(|| {
        let output = run(["show", name, "--json"]);
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        shown["region"]["objects"].is_array()
            && find(&shown["region"]["objects"], "name", "jobs").is_some_and(|jobs| jobs["state"]["holder"].is_object())
    });
    holder
}

#[test]
fn members_and_objects_are_shown_with_the_holder_and_those_that_wait() {
    if play_role() {
        return;
    }
    let name = Name(unique("region"));
    let holder = start("members_and_objects_are_shown_with_the_holder_and_those_that_wait", &name.0);
    let region = Region::builder().label("waiter").open(&name.0).unwrap();
    let mutex = Mutex::<u64>::open(&region, "jobs").unwrap();
    let waiter = std::thread::spawn(move || drop(mutex.blocking_lock().unwrap()));

    let own = std::process::id();
    let mut shown = Value::Null;
    until(|| {
        shown = json(["show", &name.0, "--json"])["region"].clone();
        let is_asleep = |wait: &Value| find(&wait["sleepers"], "pid", own).is_some();
        let has_noted = |member: &Value| member["waits"].as_array().is_some_and(|waits| !waits.is_empty());
        find(&shown["waits"], "object", "jobs").is_some_and(is_asleep)
            && find(&shown["members"], "pid", own).is_some_and(has_noted)
    });
    let member = |pid: u32| find(&shown["members"], "pid", pid).unwrap();
    assert_eq!((&member(holder.id())["label"], &member(own)["label"]), (&"holder".into(), &"waiter".into()));
    assert_eq!((&member(own)["is_alive"], &member(holder.id())["is_alive"]), (&true.into(), &true.into()));
    assert!(member(holder.id())["process_age_seconds"].is_u64(), "{shown}");
    let noted = &member(own)["waits"][0];
    assert_eq!((&noted["object"], &noted["purpose"]), (&"jobs".into(), &"for the lock".into()));
    assert!(noted["seconds"].is_u64(), "{shown}");
    assert_eq!(member(holder.id())["waits"], serde_json::json!([]));
    let jobs = find(&shown["objects"], "name", "jobs").unwrap();
    assert_eq!((&jobs["kind"], &jobs["type_name"], &jobs["value_bytes"]), (&"mutex".into(), &"u64".into(), &8.into()));
    assert_eq!(jobs["state"]["holder"]["slot"], member(holder.id())["slot"]);
    assert_eq!(jobs["state"]["may_have_waiters"], true);
    let slots = find(&shown["objects"], "name", "slots").unwrap();
    assert_eq!((&slots["state"]["capacity"], &slots["state"]["available"]), (&3.into(), &1.into()));
    assert_eq!(slots["state"]["permits"][0]["count"], 2);
    let wait = find(&shown["waits"], "object", "jobs").unwrap();
    assert_eq!((&wait["purpose"], &wait["is_lock"]), (&"for the lock".into(), &false.into()));

    holder.signal(Signal::STOP);
    let people = text(["show", &name.0]);
    assert!(!people.contains("No member is alive"), "{people}");
    let line = |begin: &str| people.lines().find(|line| line.starts_with(begin)).unwrap_or_default();
    assert!(people.contains("A region of futex-ipc: 2 of 64 members, 2 of "), "{people}");
    assert!(line("0/1").contains("stopped") && line("0/1").contains("holder"), "{people}");
    assert!(line("1/1").contains(" jobs ") && line("1/1").contains("waiter"), "{people}");
    assert!(line("jobs ").contains(&format!("held by {} holder (stopped)", holder.id())), "{people}");
    assert!(line("jobs ").contains(&format!("for the lock: {own}/")), "{people}");
    assert!(line("slots ").contains("1 of 3 available, held 2 by"), "{people}");
    assert!(people.contains("is stopped. It does nothing until it is continued"), "{people}");

    let listed = json(["ls", "--json"]);
    let line = find(&listed, "object", name.0.as_str()).unwrap();
    assert_eq!(line["region"], serde_json::json!({ "members": 2, "dead_members": 0, "objects": 2 }));
    let people = text(["ls"]);
    let line = people.lines().find(|line| line.starts_with(&name.0)).unwrap();
    assert!(line.contains("name, region: 2 members, 2 objects"), "{line}");

    // The lock of a process that is killed becomes free.
    holder.kill();
    waiter.join().unwrap();
}

#[test]
fn the_only_member_that_was_killed_is_dead_and_not_swept() {
    if play_role() {
        return;
    }
    let name = Name(unique("dead"));
    let holder = start("the_only_member_that_was_killed_is_dead_and_not_swept", &name.0);
    let pid = holder.id();
    holder.kill();

    let memory = SharedMemory::open(&name.0).unwrap();
    let bytes =
        |memory: &SharedMemory| std::fs::read(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(memory)));
    let before = (bytes(&memory).unwrap(), blocks(&memory));
    let shown = json(["show", &name.0, "--json"]);
    let member = find(&shown["region"]["members"], "pid", pid).unwrap();
    assert_eq!((&member["is_alive"], &member["state"]), (&false.into(), &Value::Null));
    let people = text(["show", &name.0]);
    assert!(people.contains("dead, not swept"), "{people}");
    assert!(
        people.contains("\nNo member is alive. The next process that opens the name replaces this region"),
        "{people}"
    );
    assert!(people.contains(&format!("held by {pid} holder (dead)")), "{people}");
    let people = text(["ls"]);
    let line = people.lines().find(|line| line.starts_with(&name.0)).unwrap();
    assert!(line.contains("region: 1 member (1 dead), 2 objects"), "{line}");
    assert!(before == (bytes(&memory).unwrap(), blocks(&memory)), "a look has changed the region");
}

/// The story: `futex rm` listed the processes and said nothing else. The processes that opened the name later got another region, and
/// waited for nobody.
#[test]
fn the_removal_of_a_region_that_has_members_says_that_the_name_will_lead_to_another_one() {
    let name = Name(unique("removed"));
    let region = Region::builder().open_or_create(&name.0).unwrap();
    let removed = run(["rm", &name.0]);
    assert!(removed.status.success());
    assert!(String::from_utf8(removed.stdout).unwrap().contains("these processes still map it:"));
    assert_eq!(
        String::from_utf8(removed.stderr).unwrap(),
        format!(
            "futex: {} was a region with 1 living member, which keeps it: the next process that opens the name makes another region, \
             so end these processes, or let them open the name again\n",
            name.0
        )
    );
    assert_eq!(Region::builder().open(&name.0).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    drop(region);
}

#[test]
fn a_region_without_a_name_is_shown_by_a_descriptor_and_its_words_by_a_range() {
    let region = Region::builder().label("a\u{1b}[2Jb").anonymous().unwrap();
    let _mutex = Mutex::create(&region, "m\u{202e}x", ()).unwrap();
    let _lock = RwLock::create(&region, "l", ()).unwrap();
    let fd = region.share().unwrap();
    let object = format!("{}:{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&fd));
    let people = text(["show", &object]);
    assert!(people.contains("1 of 64 members") && people.contains("a\\u{1b}[2Jb"), "{people}");
    assert!(people.contains("m\\u{202e}x") && people.contains("free"), "{people}");
    assert!(people.lines().any(|line| line.starts_with("l ") && line.contains("read-write lock")), "{people}");
    assert!(!people.contains("OFFSET"), "{people}");
    let people = text(["show", &object, "0"]);
    assert!(people.contains("OFFSET") && !people.contains("A region"), "{people}");
    let shown = json(["show", &object, "--json"]);
    assert!(!shown["words"].as_array().unwrap().is_empty());
}

#[test]
fn a_region_of_another_format_and_a_damaged_one_are_shown_as_words_with_the_reason() {
    let name = unique("format");
    let memory = futex_sys::NamedMemory::create(&name, 8192).unwrap();
    let magic = b"futexipc";
    for (index, bytes) in magic.chunks(4).enumerate() {
        let word = u32::from_ne_bytes(bytes.try_into().unwrap());
        memory.word(index * 4).unwrap().store(word, std::sync::atomic::Ordering::Relaxed);
    }
    let shown = json(["show", &name, "--json"]);
    assert_eq!(shown["region"], Value::Null);
    let error = shown["region_error"].as_str().unwrap();
    assert!(error.contains("format 0") && error.contains("format 1"), "{error}");
    let people = text(["show", &name]);
    assert!(people.contains("OFFSET") && people.contains("Members and objects are not shown: "), "{people}");
    let listed = json(["ls", "--json"]);
    assert_eq!(find(&listed, "object", name.as_str()).unwrap()["region_error"], error);
    let output = Command::new(FUTEX).arg("ls").output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("name, region that can't be read"));
}
