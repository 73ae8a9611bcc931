//! `futex show`.

use crate::support::{
    FUTEX, Running, backends, blocks, find, finish, json, named, refusal, run, text, unique, until, until_attributed,
    until_waiters,
};
use futex_sys::SharedMemory;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::process::Signal;
use serde_json::Value;
use std::os::fd::AsRawFd as _;
use std::process::{Command, Output};
use std::sync::atomic::Ordering;

#[test]
fn who_waits_is_shown_on_each_backend() {
    for backend in backends() {
        let (name, memory) = named("who", 4096);
        let word = memory.word(0x40).unwrap();
        let waiter = Running::waiter(backend, &name, 0x40);
        until_waiters(&word, 1);

        let show = || json(["show", &name, "--json"]);
        let shown = if backend == "uring" { show() } else { until_attributed(show, 0x40, waiter.id()) };
        let found = find(&shown["words"], "offset", 0x40).unwrap();
        assert_eq!((&found["value"], &found["waiters"]), (&0.into(), &1.into()), "{backend}");
        assert_eq!((&shown["words_with_waiters"], &shown["not_counted"]), (&1.into(), &Value::Null));
        let holder = find(&shown["processes"], "pid", waiter.id()).unwrap();
        assert_eq!((&holder["is_mapped"], &holder["is_writable"]), (&true.into(), &true.into()));
        assert_eq!((&holder["command"], &holder["state"]), (&"futex".into(), &"sleeping".into()));
        let line = [FUTEX, "wait", &name, "64", "0"];
        assert_eq!(holder["command_line"], serde_json::json!(line));
        let people = text(["show", &name]);
        assert!(people.contains("COMMAND LINE"), "{people}");
        if backend == "uring" {
            assert_eq!((&found["sleepers"], &found["unattributed"]), (&serde_json::json!([]), &1.into()));
            assert_eq!(holder["has_ring"], true);
            let candidate = format!("A process with a ring maps it: {} futex.", waiter.id());
            assert!(people.contains("1 unattributed") && people.contains(&candidate), "{people}");
        } else {
            let sleeper = find(&found["sleepers"], "pid", waiter.id()).unwrap();
            assert_eq!((&sleeper["state"], &sleeper["is_queued"]), (&"sleeping".into(), &true.into()), "{backend}");
            assert!(sleeper["tid"].as_u64().unwrap() > waiter.id().into(), "a thread of its own waits");
            assert_eq!((&found["unattributed"], &holder["has_ring"]), (&0.into(), &false.into()), "{backend}");
            if backend == "waitv" {
                assert!(people.contains(&format!("{}/{}", sleeper["pid"], sleeper["tid"])), "{people}");
                assert!(!people.contains("unattributed"), "{people}");
            }
        }
    }
}

#[test]
fn a_look_wakes_nobody_and_changes_neither_order_nor_memory() {
    let (name, memory) = named("still", 1 << 18);
    let word = memory.word(4096).unwrap();
    // Waits of the backend `thread` are left out, because they begin anew from time to time. A thread that blocks takes their
    // place.
    let kinds: Vec<_> =
        backends().into_iter().map(|backend| if backend == "thread" { "block" } else { backend }).collect();
    let mut waiters = Vec::new();
    for kind in kinds.iter().chain(&kinds) {
        waiters.push(match *kind {
            "block" => Waiter::Thread(std::thread::spawn({
                let word = word.clone();
                move || word.wait(0, None).unwrap()
            })),
            backend => Waiter::Process(Running::waiter(backend, &name, 4096)),
        });
        until_waiters(&word, u32::try_from(waiters.len()).unwrap());
        // The first look is at one waiter only, and the last one at all.
        text(["show", &name, "--limit", "1h"]);
    }
    text(["ls", "--waiters"]);
    let before = blocks(&memory);
    for _ in 0..5 {
        let shown = json(["show", &name, "--json", "--limit", "1h"]);
        assert_eq!(find(&shown["words"], "offset", 4096).unwrap()["waiters"], waiters.len());
        assert_eq!((&shown["words_with_waiters"], &shown["not_counted"]), (&1.into(), &Value::Null));
    }
    assert_eq!((blocks(&memory), word.load(Ordering::Relaxed)), (before, 0));
    // They are woken in the order in which they came.
    for (woken, waiter) in waiters.iter_mut().enumerate() {
        assert_eq!(word.waiters().unwrap() as usize, 2 * kinds.len() - woken);
        assert!(word.wake_one());
        until(|| waiter.has_ended());
    }
}

enum Waiter {
    Process(Running),
    Thread(std::thread::JoinHandle<futex_sys::WaitOutcome>),
}

impl Waiter {
    fn has_ended(&mut self) -> bool {
        match self {
            Self::Process(process) => process.0.try_wait().unwrap().is_some_and(|status| status.success()),
            Self::Thread(thread) => thread.is_finished(),
        }
    }
}

#[test]
fn a_sparse_object_is_shown_at_once_and_gets_no_page() {
    let fd = memfd_create("sparse", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&fd, 1 << 30).unwrap();
    rustix::io::pwrite(&fd, &7_u32.to_ne_bytes(), 512 << 20).unwrap();
    let before = rustix::fs::fstat(&fd).unwrap().st_blocks;
    let object = format!("{}:{}", std::process::id(), fd.as_raw_fd());
    let shown = json(["show", &object, "--json", "--limit", "1h"]);
    assert_eq!(shown["words"].as_array().unwrap().len(), 1);
    assert_eq!(find(&shown["words"], "offset", 512 << 20).unwrap()["value"], 7);
    assert_eq!((&shown["not_counted"], &shown["has_name"]), (&Value::Null, &false.into()));
    assert_eq!(rustix::fs::fstat(&fd).unwrap().st_blocks, before);
    let holder = find(&shown["processes"], "pid", std::process::id()).unwrap();
    assert_eq!((&holder["is_mapped"], &holder["descriptors"][0]), (&false.into(), &fd.as_raw_fd().into()));
    // A hole that is asked for by its offset stays one, too.
    let shown = json(["show", &object, "4096", "--json"]);
    assert_eq!(find(&shown["words"], "offset", 4096).unwrap()["waiters"], 0);
    assert_eq!(rustix::fs::fstat(&fd).unwrap().st_blocks, before);
}

#[test]
#[ignore = "systems seldom have huge pages: sysctl vm.nr_hugepages=1"]
fn an_object_of_huge_pages_is_shown_within_the_time_limit() {
    // It took minutes: the search for pages that are not 0 read all of the object, and did not look at the clock.
    let fd = memfd_create("huge", MemfdFlags::CLOEXEC | MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB).unwrap();
    ftruncate(&fd, 1 << 40).unwrap();
    // A page that is all 0, so that the search goes on after it.
    rustix::fs::fallocate(&fd, rustix::fs::FallocateFlags::empty(), 0, 2 << 20).unwrap();
    let mut command = Command::new(FUTEX);
    command.args(["show", &format!("{}:{}", std::process::id(), fd.as_raw_fd()), "--limit", "1s", "--json"]);
    let mut show = Running::start(command);
    // Reading a TiB takes longer than a minute.
    until(|| show.0.try_wait().unwrap().is_some_and(|status| status.success()));
}

#[test]
fn a_stopped_process_stands_out() {
    if !backends().contains(&"waitv") {
        return;
    }
    let (name, memory) = named("stopped", 4096);
    let word = memory.word(0).unwrap();
    let waiter = Running::waiter("waitv", &name, 0);
    let show = || json(["show", &name, "--json"]);
    until_attributed(show, 0, waiter.id());
    waiter.signal(Signal::STOP);
    // A thread leaves the queue when it stops.
    until_waiters(&word, 0);
    let shown = show();
    assert_eq!(find(&shown["processes"], "pid", waiter.id()).unwrap()["state"], "stopped");
    if cfg!(target_arch = "aarch64") {
        // There a thread that stops forgets its system call, so nothing shows that it is in a wait (Linux 6.12).
        assert!(text(["show", &name]).contains(" is stopped."));
        return;
    }
    let found = find(&shown["words"], "offset", 0).unwrap();
    let sleeper = find(&found["sleepers"], "pid", waiter.id()).unwrap();
    assert_eq!((&sleeper["state"], &sleeper["is_queued"]), (&"stopped".into(), &false.into()));
    assert_eq!((&found["waiters"], &found["unattributed"]), (&0.into(), &0.into()));
    let people = text(["show", &name]);
    assert!(people.contains("(stopped, so no wake reaches it)"), "{people}");
    assert!(people.contains(&format!("{} futex is stopped.", waiter.id())), "{people}");

    waiter.signal(Signal::CONT);
    let shown = until_attributed(show, 0, waiter.id());
    assert_eq!(find(&shown["words"], "offset", 0).unwrap()["sleepers"][0]["state"], "sleeping");
    assert!(word.wake_one());
}

#[test]
fn a_stopped_process_with_a_ring_stays_in_the_queue() {
    if !backends().contains(&"uring") {
        return;
    }
    let (name, memory) = named("stopped-ring", 4096);
    let word = memory.word(0).unwrap();
    let waiter = Running::waiter("uring", &name, 0);
    until_waiters(&word, 1);
    waiter.signal(Signal::STOP);
    let shown = json(["show", &name, "--json"]);
    assert_eq!(find(&shown["words"], "offset", 0).unwrap()["unattributed"], 1);
    let holder = find(&shown["processes"], "pid", waiter.id()).unwrap();
    assert_eq!((&holder["state"], &holder["has_ring"]), (&"stopped".into(), &true.into()));
    let people = text(["show", &name]);
    assert!(people.contains(&format!("A process with a ring maps it: {} futex (stopped).", waiter.id())), "{people}");
}

#[test]
fn an_object_without_a_name_is_shown_by_a_descriptor() {
    let name = unique("unlinked");
    let memory = SharedMemory::create(&name, 4096).unwrap();
    let word = memory.word(8).unwrap();
    let waiter = Running::waiter("thread", &name, 8);
    until_waiters(&word, 1);
    SharedMemory::unlink(&name).unwrap();
    let object = format!("{}:{}", std::process::id(), memory.as_raw_fd());
    let shown = until_attributed(|| json(["show", &object, "--json"]), 8, waiter.id());
    assert_eq!((&shown["has_name"], &shown["object"]), (&false.into(), &object.into()));
    let sentence = refusal(run(["show", &name]));
    assert!(sentence.starts_with("futex: cannot open") && sentence.lines().count() == 1, "{sentence}");
}

#[test]
fn a_part_is_shown_and_a_word_outside_is_refused() {
    let (name, memory) = named("part", 4096);
    for offset in [0, 64, 128] {
        memory.word(offset).unwrap().store(u32::MAX, Ordering::Relaxed);
    }
    let offsets = |range: &str| {
        let shown = json(["show", &name, range, "--json"]);
        let words = shown["words"].as_array().unwrap().iter();
        words.map(|word| word["offset"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(offsets("0..0x80"), [0, 64]);
    assert_eq!(offsets("64.."), [64, 128]);
    assert_eq!(offsets("4..64"), [0; 0]);
    assert_eq!(offsets("4"), [4], "a word that is asked for is shown although it is 0");
    assert!(text(["show", &name, "64"]).contains("0x40  4294967295  0xffffffff        0"));
    for range in ["4096", "8192.."] {
        let sentence = refusal(run(["show", &name, range]));
        assert!(sentence.contains("because it has 4096 bytes") && sentence.lines().count() == 1, "{sentence}");
    }
}

#[test]
fn what_was_left_out_is_said() {
    let (name, memory) = named("cut", 1 << 16);
    for word in memory.as_words() {
        word.store(0x1b5b_324a, Ordering::Relaxed);
    }
    let shown = json(["show", &name, "--json"]);
    assert_eq!((shown["words"].as_array().unwrap().len(), &shown["is_cut"]), (1000, &true.into()));
    let shown = json(["show", &name, "--json", "--max", "20000"]);
    assert_eq!((shown["words"].as_array().unwrap().len(), &shown["is_cut"]), (1 << 14, &false.into()));
    assert!(text(["show", &name, "--max", "1"]).contains("The table ends after 1 row."));
    let none = text(["show", &name, "--max", "0"]);
    assert!(none.contains("\nNo word is shown, because --max is 0.\n") && !none.contains("table"), "{none}");
    assert!(text(["show", &name, "--max", "10"]).contains("The table ends after 10 rows."));

    let shown = json(["show", &name, "--json", "--limit", "0s", "--max", "3"]);
    assert_eq!(shown["not_counted"], serde_json::json!({ "start": 0, "end": 1 << 16 }));
    assert_eq!(shown["words"][0]["waiters"], Value::Null);
    assert!(text(["show", &name, "--limit", "0s"]).contains("not all words of 0x0..0x10000 were counted"));
}

#[test]
fn nothing_is_said_about_words_that_were_not_inspected() {
    // It said that no word with waiters was found, although none was counted.
    let (name, _memory) = named("zero", 4096);
    assert!(text(["show", &name]).contains("\nAll words of 0x0..0x1000 are 0, and none has waiters.\n"));
    let shown = text(["show", &name, "8", "--limit", "0s"]);
    assert!(shown.contains("\nAll words of 0x8..0xc are 0. Not all of them were inspected for waiters.\n"), "{shown}");
}

#[test]
fn a_sleeper_is_counted_although_there_is_little_time() {
    // 2 MiB of zero, and one of half a million words has a waiter.
    let (name, memory) = named("large", 2 << 20);
    for page in memory.as_words().chunks(1024) {
        page[0].store(0, Ordering::Relaxed);
    }
    let offset = (2 << 20) - 4;
    let waiter = Running::waiter("thread", &name, offset);
    let shown = until_attributed(|| json(["show", &name, "--json", "--limit", "1ms"]), offset, waiter.id());
    assert!(shown["not_counted"]["start"].as_u64().unwrap() < offset as u64);
}

#[test]
fn names_that_others_choose_do_not_reach_the_terminal() {
    let fd = memfd_create("evil\u{1b}[2J\n", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&fd, 4096).unwrap();
    let memory = SharedMemory::from_fd(fd.try_clone().unwrap()).unwrap();
    let object = format!("{}:{}", std::process::id(), fd.as_raw_fd());
    let word = memory.word(0).unwrap();
    let waiter = std::thread::Builder::new().name("a\u{1b}[31m".into()).spawn({
        let word = word.clone();
        move || word.wait(0, None).unwrap()
    });
    until_attributed(|| json(["show", &object, "--json"]), 0, std::process::id());
    for text in [text(["show", &object]), text(["ls"])] {
        assert!(!text.contains(|letter: char| letter.is_control() && letter != '\n'), "{text:?}");
    }
    assert!(text(["show", &object]).contains("a\\u{1b}[31m"));
    assert!(word.wake_one());
    waiter.unwrap().join().unwrap();
}

#[test]
fn processes_that_end_while_they_are_shown_are_left_out() {
    let (name, memory) = named("ending", 4096);
    let backends = backends();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Whatever fails below, this ends.
            for round in 0..40 {
                let waiter = |backend: &&str| Running::waiter(backend, &name, round % 8 * 4);
                let waiters: Vec<_> = backends.iter().map(waiter).collect();
                waiters.into_iter().for_each(Running::kill);
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            let shown = json(["show", &name, "--json"]);
            assert!(find(&shown["processes"], "pid", std::process::id()).is_some());
            text(["ls", "--waiters", "--limit", "50ms"]);
        }
    });
    assert!(memory.as_words().iter().all(|word| word.load(Ordering::Relaxed) == 0));
}

#[test]
fn an_object_that_grows_and_shrinks_while_it_is_shown_is_shown_or_refused() {
    let fd = memfd_create("changing", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&fd, 1 << 20).unwrap();
    let object = format!("{}:{}", std::process::id(), fd.as_raw_fd());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for length in [0, 2, 4096, 1 << 20] {
                    ftruncate(&fd, length).unwrap();
                    let _ = rustix::io::pwrite(&fd, &[1; 64], length.saturating_sub(64));
                }
            }
        });
        for _ in 0..30 {
            let output = finish(Command::new(FUTEX).args(["show", &object, "--json"]));
            let errors = String::from_utf8(output.stderr).unwrap();
            match output.status.code() {
                Some(0) => assert!(serde_json::from_slice::<Value>(&output.stdout).is_ok()),
                code => assert!(code == Some(1) && errors.lines().count() == 1, "{code:?} {errors}"),
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn what_is_not_memory_is_refused_in_one_sentence() {
    let (name, _memory) = named("absent", 4096);
    let empty = memfd_create("empty", MemfdFlags::CLOEXEC).unwrap();
    let empty = (format!("{}:{}", std::process::id(), empty.as_raw_fd()), empty);
    for object in [&format!("{name}-not"), "/dev/null", "/", "1:99999", "999999999:1", "./nothing", &empty.0] {
        let sentence = refusal(run(["show", object]));
        assert!(sentence.starts_with("futex: ") && sentence.lines().count() == 1, "{object}: {sentence}");
    }
}

#[test]
fn processes_that_are_not_seen_for_lack_of_descriptors_are_mentioned() {
    // It said that no process maps the object.
    let (name, memory) = named("descriptors", 4096);
    let waiter = Running::waiter("thread", &name, 0);
    until_waiters(&memory.word(0).unwrap(), 1);
    let output = |limit: u32| {
        let script = format!("ulimit -n {limit}; exec \"$0\" show \"$1\"");
        finish(Command::new("sh").args(["-c", &script, FUTEX, &name]))
    };
    for limit in 4..=16 {
        let Output { stdout, stderr, .. } = output(limit);
        let [shown, errors] = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
        assert!(
            shown.contains(&format!("{}  futex", waiter.id())) || errors.contains("ulimit -n"),
            "{limit}: {errors}"
        );
    }
}
