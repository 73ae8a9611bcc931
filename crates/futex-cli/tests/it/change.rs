//! `futex wake`, `set`, `add` and `cas`.

use crate::support::{
    Running, blocked, ended, futex, futex_on, name, on_each_backend, page, run, until, until_waiters, word,
};
use futex_sys::{WaitOutcome, Word};
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

#[test]
fn set_add_and_cas_change_the_word_and_end_waits_of_every_backend() {
    on_each_backend(|backend| {
        let page = page();
        let waits = [
            ("0", ["set", "5"].as_slice(), "5\n"),
            ("5", &["add", "-7"], "4294967294\n"),
            ("0xfffffffe", &["cas", "-2", "0x10"], "16\n"),
        ];
        for (expected, change, value) in waits {
            let waiter = Running::start(&mut futex_on(backend, ["wait", name(&page), "4", expected]));
            until_waiters(&word(&page, 4), 1);
            let mut command = futex([change[0], name(&page), "4"]);
            let changed = run(command.args(&change[1..]));
            assert_eq!((changed.status, &*changed.stderr), (Some(0), ""));
            // A thread that parks anew is not counted, and sees the change.
            assert!(changed.stdout == "1\n" || changed.stdout == "0\n" && backend != "uring", "{changed:?}");
            assert_eq!(waiter.end(), ended(0, value, ""));
        }
    });
}

/// Threads that wait while `word` is 0. The word stays 0 in these tests: the kernel may wake a thread without a cause, and that
/// waits again, but not if the word has changed.
struct Waiters(Vec<JoinHandle<WaitOutcome>>);

impl Waiters {
    fn of(word: &Word, count: u32) -> Self {
        Self((1..=count).map(|count| blocked(word, count)).collect())
    }

    /// Waits until `woken` of them are, and the others wait.
    #[track_caller]
    fn until_woken(&self, word: &Word, woken: usize) {
        until(|| self.0.iter().filter(|thread| thread.is_finished()).count() == woken);
        until_waiters(word, u32::try_from(self.0.len() - woken).expect("a few"));
    }
}

#[test]
fn wake_wakes_as_many_as_it_is_told_and_prints_the_count() {
    let page = page();
    let word = word(&page, 0);
    let waiters = Waiters::of(&word, 5);
    assert_eq!(run(&mut futex(["wake", name(&page), "0"])), ended(0, "1\n", ""));
    waiters.until_woken(&word, 1);
    assert_eq!(run(&mut futex(["wake", name(&page), "0", "0"])), ended(0, "0\n", ""));
    assert_eq!(run(&mut futex(["wake", name(&page), "0", "2"])), ended(0, "2\n", ""));
    waiters.until_woken(&word, 3);
    assert_eq!(run(&mut futex(["wake", name(&page), "0", "all"])), ended(0, "2\n", ""));
    waiters.until_woken(&word, 5);
    assert_eq!(run(&mut futex(["wake", name(&page), "0", "all"])), ended(0, "0\n", ""));
}

#[test]
fn a_change_wakes_all_waiters_or_as_many_as_it_is_told() {
    let page = page();
    let word = word(&page, 0);
    let waiters = Waiters::of(&word, 4);
    assert_eq!(run(&mut futex(["set", name(&page), "0", "0", "--wake", "0"])), ended(0, "0\n", ""));
    waiters.until_woken(&word, 0);
    assert_eq!(run(&mut futex(["add", name(&page), "0", "0", "--wake", "1"])), ended(0, "1\n", ""));
    waiters.until_woken(&word, 1);
    assert_eq!(run(&mut futex(["cas", name(&page), "0", "0", "0"])), ended(0, "3\n", ""));
    waiters.until_woken(&word, 4);
}

#[test]
fn cas_changes_nothing_and_wakes_nobody_if_the_word_has_another_value() {
    let page = page();
    let word = word(&page, 0);
    let waiters = Waiters::of(&word, 1);
    let other = ended(3, "", "futex: the word is 0, and was not changed\n");
    assert_eq!(run(&mut futex(["cas", name(&page), "0", "1", "2"])), other);
    assert_eq!(word.load(Ordering::SeqCst), 0);
    waiters.until_woken(&word, 0);
    assert_eq!(run(&mut futex(["cas", name(&page), "0", "0", "2", "--wake", "0"])), ended(0, "0\n", ""));
    assert_eq!(word.load(Ordering::SeqCst), 2);
    word.wake_all();
    waiters.until_woken(&word, 1);
}

#[test]
fn get_prints_values_and_gives_an_object_no_memory() {
    let fd = rustix::fs::memfd_create("sparse", rustix::fs::MemfdFlags::CLOEXEC).expect("a memfd");
    rustix::fs::ftruncate(&fd, 8192).expect("it grows");
    rustix::io::pwrite(&fd, &u32::MAX.to_ne_bytes(), 4).expect("a value is written");
    let blocks = || rustix::fs::fstat(&fd).expect("metadata").st_blocks;
    let before = blocks();
    let object = format!("{}:{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&fd));
    assert_eq!(run(&mut futex(["get", &object, "4"])), ended(0, "4294967295\n", ""));
    assert_eq!(run(&mut futex(["get", &object, "0x1000", "4", "0"])), ended(0, "0\n4294967295\n0\n", ""));
    assert_eq!(blocks(), before);
    let sentence =
        format!("futex: cannot read {object}: there is no word at offset 0x2000, because it has 8192 bytes\n");
    assert_eq!(run(&mut futex(["get", &object, "0", "8192"])), ended(1, "", &sentence));
}
