//! `futex watch`.

use crate::support::{
    Running, blocked, change, ended, forbidden, futex, futex_on, is_woken, name, on_each_backend, page, until,
    until_waiters, word,
};
use futex_sys::Word;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::num::NonZeroU32;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;
use std::time::{Instant, SystemTime};

/// A line without its time, which is checked: it is now.
#[track_caller]
fn at_a_time(line: &str) -> &str {
    let (time, rest) = line.split_once(' ').expect("a time and more");
    is_now(time);
    rest.trim_start()
}

#[track_caller]
fn is_now(time: &str) {
    assert_eq!(time.len(), "2026-01-01T00:00:00.000000Z".len(), "{time}");
    let time = humantime::parse_rfc3339(time).expect("a time of RFC 3339");
    let age = SystemTime::now().duration_since(time).expect("it is over");
    assert!(age.as_secs() < 600, "{age:?}");
}

#[test]
fn each_change_is_a_line_and_the_first_lines_are_the_values() {
    on_each_backend(|backend| {
        let page = page();
        let [first, second] = [0, 128].map(|offset| word(&page, offset));
        second.store(7, Ordering::SeqCst);
        // An offset that is named twice is one word.
        let watch = Running::start(&mut futex_on(backend, ["watch", name(&page), "0", "128", "0x80"]));
        assert_eq!(at_a_time(&watch.line()), "0  0");
        assert_eq!(at_a_time(&watch.line()), "128  7");
        change(&second, 8);
        assert_eq!(at_a_time(&watch.line()), "128  7 -> 8");
        change(&first, u32::MAX);
        assert_eq!(at_a_time(&watch.line()), "0  0 -> 4294967295");
        // A change that nobody wakes for is seen with the next wake.
        second.store(9, Ordering::SeqCst);
        change(&first, 1);
        let lines = [watch.line(), watch.line()];
        // A backend whose threads park anew may see the first of them by itself.
        let mut lines = lines.each_ref().map(|line| at_a_time(line));
        lines.sort_unstable();
        assert_eq!(lines, ["0  4294967295 -> 1", "128  8 -> 9"]);
        watch.signal(Signal::TERM);
        assert_eq!(watch.end(), ended(143, "", ""));
    });
}

#[test]
fn each_json_record_is_a_line() {
    let page = page();
    let watch = Running::start(&mut futex(["watch", "--json", name(&page), "4"]));
    let record = |line: String| {
        let record: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        is_now(record["time"].as_str().expect("a time"));
        assert_eq!(record.as_object().map(|record| record.len()), Some(4), "{line}");
        ["offset", "old", "new"].map(|key| record[key].as_u64())
    };
    assert_eq!(record(watch.line()), [Some(4), None, Some(0)]);
    change(&word(&page, 4), 3);
    assert_eq!(record(watch.line()), [Some(4), Some(0), Some(3)]);
    watch.signal(Signal::TERM);
    assert_eq!(watch.end(), ended(143, "", ""));
}

#[test]
fn a_watch_works_if_io_uring_is_forbidden() {
    let page = page();
    let object = name(&page).to_owned();
    let word = word(&page, 0);
    let calls = [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];
    forbidden(calls, libc::ENOSYS, move || {
        let watch = Running::start(futex(["watch", &object, "0"]).env_remove("FUTEX_BACKEND"));
        assert_eq!(at_a_time(&watch.line()), "0  0");
        change(&word, 3);
        assert_eq!(at_a_time(&watch.line()), "0  0 -> 3");
    });
}

#[test]
fn a_watch_hands_on_the_wakes_that_it_gets() {
    // A watch that came before a worker got the wake of one job, and the worker slept on: looking had made the hang that it was
    // to explain.
    on_each_backend(|backend| {
        let page = page();
        let word = word(&page, 0);
        let watch = Running::start(&mut futex_on(backend, ["watch", name(&page), "0"]));
        watch.line();
        until_waiters(&word, 1);
        let worker = blocked(&word, 2);
        assert!(word.wake_one());
        is_woken(worker);
        until_waiters(&word, 1);
    });
}

#[test]
fn what_a_watch_hands_on_does_not_find_a_watch() {
    // Two watches of one word would hand a wake on to each other for ever.
    on_each_backend(|backend| {
        let page = page();
        let word = word(&page, 0);
        let watches = [(); 2].map(|()| Running::start(&mut futex_on(backend, ["watch", name(&page), "0"])));
        for watch in &watches {
            watch.line();
        }
        until_waiters(&word, 2);
        // What a watch does: a wake under all bits but that of watches.
        let others = NonZeroU32::new(u32::MAX >> 1).expect("it is not 0");
        assert_eq!(word.wake_masked(2, others), 0);
        change(&word, 1);
        for watch in &watches {
            assert_eq!(at_a_time(&watch.line()), "0  0 -> 1");
        }
    });
}

/// Sets a flag when it is dropped, also by a panic.
struct SetAtTheEnd<'a>(&'a AtomicBool);

impl Drop for SetAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_word_that_always_changes_keeps_no_other_word_and_no_signal_from_being_seen() {
    on_each_backend(|backend| {
        let page = page();
        let [busy, other] = [0, 64].map(|offset| word(&page, offset));
        let watch = Running::start(&mut futex_on(backend, ["watch", name(&page), "0", "64"]));
        let is_over = AtomicBool::new(false);
        scope(|scope| {
            let set_at_the_end = SetAtTheEnd(&is_over);
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    busy.fetch_add(1, Ordering::SeqCst);
                    busy.wake_all();
                }
            });
            while at_a_time(&watch.line()).split_once(' ').expect("two numbers").0 == "0" {}
            change(&other, 5);
            until(|| at_a_time(&watch.line()) == "64  0 -> 5");
            watch.signal(Signal::TERM);
            let ended = watch.end();
            drop(set_at_the_end);
            assert_eq!((ended.status, &*ended.stderr), (Some(143), ""));
        });
    });
}

#[test]
fn a_watch_ends_by_a_signal_though_its_reader_does_not_read() {
    // The write into the full pipe blocked. A handler of the signal restarted it, so only SIGKILL ended the watch.
    let page = page();
    let word = word(&page, 0);
    let mut command = futex(["watch", name(&page), "0"]);
    let mut watch = command.stdout(Stdio::piped()).spawn().expect("the command starts");
    let pipe = watch.stdout.take().expect("a pipe");
    until(|| {
        let written = || rustix::io::ioctl_fionread(&pipe).expect("a pipe");
        let before = written();
        for _ in 0..1000 {
            word.fetch_add(1, Ordering::SeqCst);
            word.wake_all();
            std::thread::yield_now();
        }
        // Less than 16 pages, each of which has room for less than a line.
        before > 15 * (4096 - 100) && written() == before
    });
    kill_process(Pid::from_child(&watch), Signal::TERM).expect("it lives");
    let start = Instant::now();
    while watch.try_wait().expect("a child").is_none() && start.elapsed().as_secs() < 20 {
        std::thread::yield_now();
    }
    // It may have ended, as it should.
    let _ = watch.kill();
    let status = watch.wait().expect("a child");
    assert_eq!(status.code(), Some(143));
}

#[test]
fn a_watch_ends_when_its_reader_has_gone_though_nothing_changes() {
    on_each_backend(|backend| {
        let page = page();
        // `head` goes after the line that each watch begins with. The word never changes.
        let mut shell = Command::new("sh");
        let script = "\"$0\" watch \"$1\" 0 | head -n 1 | wc -l";
        shell.args(["-c", script, env!("CARGO_BIN_EXE_futex"), name(&page)]).env("FUTEX_BACKEND", backend);
        let ended = Running::start(shell.stdin(Stdio::null())).end();
        assert_eq!((ended.status, ended.stdout.trim(), &*ended.stderr), (Some(0), "1", ""));
    });
}

#[test]
fn a_watch_says_that_a_word_is_gone_when_the_object_is_made_shorter() {
    on_each_backend(|backend| {
        let page = page();
        let file = File::options().write(true).open(format!("/dev/shm/{}", name(&page))).expect("the object");
        let watch = Running::start(&mut futex_on(backend, ["watch", name(&page), "0", "64"]));
        let _values = [watch.line(), watch.line()];
        // It still has both words.
        file.set_len(68).expect("it can be made shorter");
        let word: Word = word(&page, 64);
        change(&word, 1);
        assert_eq!(at_a_time(&watch.line()), "64  0 -> 1");
        file.set_len(64).expect("it can be made shorter");
        let sentence = format!(
            "futex: {} was made shorter: it has 64 bytes now, and the word at offset 64 is gone\n",
            name(&page)
        );
        // The rest of the page was set to 0, which it may have seen.
        let ended = watch.end();
        assert_eq!((ended.status, ended.stderr), (Some(1), sentence));
    });
}
