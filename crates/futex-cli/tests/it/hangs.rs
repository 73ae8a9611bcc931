//! The hangs of the guide's section "When something hangs". (`tests/doctor.rs` has the tests of `futex doctor`.)

use crate::support::{
    Running, ended, futex, futex_on, name, on_each_backend, page, run, skip, until, until_waiters, word,
};
use futex_sys::NamedMemory;
use rustix::process::Signal;
use serde_json::Value;
use std::process::Command;
use std::sync::atomic::Ordering;

/// Takes the lock at offset 64 and is stopped. When it is continued, it unlocks, and wakes the waiters.
const HOLDER: &str = "
import mmap, os, signal, subprocess, sys
futex, name = sys.argv[1:]
words = memoryview(mmap.mmap(os.open('/dev/shm/' + name.lstrip('/'), os.O_RDWR), 4096)).cast('I')
words[16] = 1
os.kill(os.getpid(), signal.SIGSTOP)
words[16] = 0
subprocess.run([futex, 'wake', name, '64', 'all'], check=True)
";

fn show(page: &NamedMemory) -> String {
    let shown = run(&mut futex(["show", name(page)]));
    assert_eq!((shown.status, shown.stderr.as_str()), (Some(0), ""));
    shown.stdout
}

/// Returns true if a row of the table begins with these cells.
fn has_row(shown: &str, cells: &[&str]) -> bool {
    shown.lines().any(|line| line.split_whitespace().take(cells.len()).eq(cells.iter().copied()))
}

/// Returns true if a thread of this process waits, as in `1234/1236 futex-waitv`.
fn names_a_thread_of(shown: &str, pid: u32) -> bool {
    shown.split_whitespace().any(|word| word.split_once('/').is_some_and(|(process, _)| process == pid.to_string()))
}

/// Returns the processes that `futex ls` has for a page, and the number of words with waiters.
fn ls(page: &NamedMemory) -> (Vec<Value>, Value) {
    let listed = run(&mut futex(["ls", "--waiters", "--json", "--limit", "1m"]));
    let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
    let object = name(page).trim_start_matches('/');
    let mut objects = listed.as_array().expect("an array").iter();
    let found = objects.find(|found| found["object"] == object).expect("the page is listed");
    (found["processes"].as_array().expect("an array").clone(), found["words_with_waiters"].clone())
}

/// A watch of a word. Its first line has been read.
fn watch(backend: &str, page: &NamedMemory, offset: &str, value: u32) -> Running {
    let watch = Running::start(&mut futex_on(backend, ["watch", name(page), offset]));
    assert!(watch.line().ends_with(&format!("  {offset}  {value}")));
    watch
}

fn is_stopped(page: &NamedMemory, process: &Running) -> bool {
    // The name of the process follows.
    let begin = format!("{} ", process.id());
    let end = " is stopped. It does nothing until it is continued (kill -CONT).";
    show(page).lines().any(|line| line.starts_with(&begin) && line.ends_with(end))
}

#[test]
fn after_a_forgotten_wake_show_has_a_value_that_watch_has_not_printed() {
    on_each_backend(|backend| {
        let page = page();
        let word = word(&page, 0);
        let worker = Running::start(&mut futex_on(backend, ["wait", name(&page), "0", "--until", "!=0"]));
        until_waiters(&word, 1);
        let watch = watch(backend, &page, "0", 0);
        until_waiters(&word, 2);
        let pids = [worker.id(), watch.id()];
        if backend == "waitv" {
            // `/proc` reports a thread as sleeping some time after the kernel counts its wait.
            until(|| pids.iter().all(|pid| names_a_thread_of(&show(&page), *pid)));
        }
        assert_eq!(run(&mut futex(["set", name(&page), "0", "1", "--wake", "0"])), ended(0, "0\n", ""));

        match backend {
            "uring" => {
                let shown = show(&page);
                assert!(has_row(&shown, &["0x0", "1", "0x00000001", "2", "2", "unattributed"]), "{shown}");
                let (first, second) = (pids[0].min(pids[1]), pids[0].max(pids[1]));
                let rings = format!("Processes with a ring map it: {first} futex, {second} futex.");
                assert!(shown.contains(&rings), "{shown}");
                let (processes, words_with_waiters) = ls(&page);
                assert_eq!(words_with_waiters, 1);
                assert!(pids.iter().all(|pid| processes.iter().any(|process| process["pid"] == *pid)), "{processes:?}");
                assert_eq!(run(&mut futex(["wake", name(&page), "0", "all"])), ended(0, "2\n", ""));
            }
            // A thread that parks again after the change ends its wait without a wake.
            "waitv" => assert_eq!(run(&mut futex(["wake", name(&page), "0", "all"])).status, Some(0)),
            // A wait of `Thread` parks for at most 10 s, then compares the word again. So this hang ends by itself.
            _ => {}
        }
        assert!(watch.line().ends_with("  0  0 -> 1"));
        assert_eq!(worker.end(), ended(0, "1\n", ""));
    });
}

#[test]
fn a_stopped_holder_of_a_lock_is_named_and_unlocks_when_it_is_continued() {
    if !Command::new("python3").args(["-c", "import mmap"]).status().is_ok_and(|status| status.success()) {
        return skip("there is no Python (python3)");
    }
    on_each_backend(|backend| {
        let page = page();
        let lock = word(&page, 64);
        let holder =
            Running::start(Command::new("python3").args(["-c", HOLDER, env!("CARGO_BIN_EXE_futex"), name(&page)]));
        until(|| is_stopped(&page, &holder));
        let waiter = Running::start(&mut futex_on(backend, ["wait", name(&page), "64", "--until", "==0"]));
        until_waiters(&lock, 1);
        let watch = watch(backend, &page, "64", 1);
        // A wait of `Thread` leaves the kernel from time to time, so a count can miss it.
        until(|| has_row(&show(&page), &["0x40", "1", "0x00000001", "2"]));
        let (processes, _) = ls(&page);
        let listed = processes.iter().find(|process| process["pid"] == holder.id()).expect("it maps the page");
        assert_eq!(listed["state"], "stopped");

        holder.signal(Signal::CONT);
        assert!(watch.line().ends_with("  64  1 -> 0"));
        assert_eq!(waiter.end(), ended(0, "0\n", ""));
        assert_eq!(holder.end().status, Some(0));
    });
}

#[test]
fn a_stopped_waiter_takes_a_wake_on_uring_only() {
    on_each_backend(|backend| {
        let page = page();
        let word = word(&page, 0);
        let wait = || Running::start(&mut futex_on(backend, ["wait", name(&page), "0", "--until", "!=0"]));
        let first = wait();
        until_waiters(&word, 1);
        let second = wait();
        until_waiters(&word, 2);
        first.signal(Signal::STOP);
        until(|| is_stopped(&page, &first));

        if backend == "uring" {
            assert_eq!(run(&mut futex(["set", name(&page), "0", "1", "--wake", "1"])), ended(0, "1\n", ""));
            assert!(has_row(&show(&page), &["0x0", "1", "0x00000001", "1", "1", "unattributed"]));
            assert_eq!(run(&mut futex(["wake", name(&page), "0"])), ended(0, "1\n", ""), "the second waiter");
        } else {
            // A thread that is stopped leaves the queue of the kernel.
            until_waiters(&word, 1);
            assert_eq!(run(&mut futex(["set", name(&page), "0", "1", "--wake", "1"])).status, Some(0));
        }
        assert_eq!(second.end(), ended(0, "1\n", ""));
        assert_eq!(word.load(Ordering::Relaxed), 1);
        first.signal(Signal::CONT);
        assert_eq!(first.end(), ended(0, "1\n", ""));
    });
}
