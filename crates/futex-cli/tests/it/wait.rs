//! `futex wait`.

use crate::support::{
    Running, change, ended, forbidden, futex, futex_on, is_ignored, name, on_each_backend, page, run, skip, until,
    until_waiters, word,
};
use rustix::process::Signal;
use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

#[test]
fn a_wait_ends_when_the_word_is_changed_and_prints_the_new_value() {
    on_each_backend(|backend| {
        let page = page();
        let waiter = Running::start(&mut futex_on(backend, ["wait", name(&page), "8", "0"]));
        until_waiters(&word(&page, 8), 1);
        change(&word(&page, 8), 7);
        assert_eq!(waiter.end(), ended(0, "7\n", ""));
    });
}

#[test]
fn a_wait_for_a_value_that_the_word_does_not_have_is_over_at_once() {
    on_each_backend(|backend| {
        let page = page();
        word(&page, 0).store(5, Ordering::SeqCst);
        assert_eq!(run(&mut futex_on(backend, ["wait", name(&page), "0", "4"])), ended(0, "5\n", ""));
        assert_eq!(run(&mut futex_on(backend, ["wait", name(&page), "0", "-1"])), ended(0, "5\n", ""));
        assert_eq!(run(&mut futex_on(backend, ["wait", name(&page), "0", "--until", ">=0x5"])), ended(0, "5\n", ""));
    });
}

#[test]
fn a_wait_for_a_value_ends_by_a_wake_without_a_change() {
    on_each_backend(|backend| {
        let page = page();
        let waiter = Running::start(&mut futex_on(backend, ["wait", name(&page), "0", "0"]));
        // A thread that parks anew is not in the kernel for a moment, and is not counted then.
        until(|| word(&page, 0).wake_one());
        assert_eq!(waiter.end(), ended(0, "0\n", ""));
    });
}

#[test]
fn a_wait_until_a_condition_goes_on_while_it_is_not_met() {
    on_each_backend(|backend| {
        let page = page();
        let word = word(&page, 0);
        let waiter = Running::start(&mut futex_on(backend, ["wait", name(&page), "0", "--until", "&0x6"]));
        for value in [1, 8, 4] {
            until_waiters(&word, 1);
            change(&word, value);
        }
        assert_eq!(waiter.end(), ended(0, "4\n", ""));
    });
}

#[test]
fn a_wait_that_times_out_prints_nothing_and_has_its_own_status() {
    on_each_backend(|backend| {
        let page = page();
        for condition in [["wait", name(&page), "0", "0"], ["wait", name(&page), "0", "--until=!=0"]] {
            for time in ["0s", "20ms"] {
                let mut command = futex_on(backend, condition);
                assert_eq!(run(command.args(["--timeout", time])), ended(124, "", ""));
            }
        }
        // The condition is checked first.
        assert_eq!(run(&mut futex(["wait", name(&page), "0", "1", "--timeout", "0s"])), ended(0, "0\n", ""));
    });
}

#[test]
fn a_signal_ends_a_wait_and_leaves_nothing_in_the_kernel() {
    on_each_backend(|backend| {
        for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
            if is_ignored(signal) {
                skip(&format!("the tests were started with {signal:?} ignored (by nohup, or in the background)"));
                continue;
            }
            let page = page();
            let waiter = Running::start(&mut futex_on(backend, ["wait", name(&page), "0", "0"]));
            until_waiters(&word(&page, 0), 1);
            waiter.signal(signal);
            assert_eq!(waiter.end(), ended(status, "", ""));
            assert_eq!(word(&page, 0).waiters().expect("it is mapped"), 0);
        }
    });
}

#[test]
fn a_signal_that_was_ignored_from_the_start_stays_ignored() {
    // A shell starts the background jobs of a script so, and `nohup` its command.
    let page = page();
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' INT HUP; exec \"$0\" wait \"$1\" 0 0", env!("CARGO_BIN_EXE_futex"), name(&page)]);
    let waiter = Running::start(&mut shell);
    until_waiters(&word(&page, 0), 1);
    waiter.signal(Signal::INT);
    waiter.signal(Signal::HUP);
    change(&word(&page, 0), 1);
    assert_eq!(waiter.end(), ended(0, "1\n", ""));
}

#[test]
fn a_wait_says_that_its_word_is_gone_when_the_object_is_made_shorter() {
    // Nobody can wake a waiter on a page that is gone, and to load the word would end the process by SIGBUS.
    on_each_backend(|backend| {
        let page = page();
        let file = File::options().write(true).open(format!("/dev/shm/{}", name(&page))).expect("the object");
        let waiter = Running::start(&mut futex_on(backend, ["wait", name(&page), "64", "--until", "==1"]));
        until_waiters(&word(&page, 64), 1);
        file.set_len(0).expect("it can be made shorter");
        let sentence =
            format!("futex: {} was made shorter: it has 0 bytes now, and the word at offset 64 is gone\n", name(&page));
        assert_eq!(waiter.end(), ended(1, "", &sentence));
    });
}

#[test]
fn a_wait_says_that_the_name_is_gone_and_goes_on() {
    on_each_backend(|backend| {
        let page = page();
        let waiter = Running::start(&mut futex_on(backend, ["wait", name(&page), "0", "--until", "==1"]));
        until_waiters(&word(&page, 0), 1);
        futex_sys::SharedMemory::unlink(name(&page)).expect("the name is there");
        let sentence = "was removed or replaced; this still waits in the object that had the name";
        assert_eq!(waiter.error_line(), format!("futex: {} {sentence}", name(&page)));
        change(&word(&page, 0), 1);
        assert_eq!(waiter.end(), ended(0, "1\n", ""));
    });
}

#[test]
fn a_page_for_which_there_is_no_memory_is_an_error_and_not_sigbus() {
    let page = page();
    let arguments = ["set", name(&page), "64", "1"].map(String::from);
    forbidden([libc::SYS_fallocate], libc::ENOSPC, move || {
        let [command, name, offset, value] = &arguments;
        let ended = run(&mut futex([command, name, offset, value]));
        assert_eq!((ended.status, &*ended.stdout), (Some(1), ""));
        let sentence =
            format!("futex: {name} has no memory at offset 64 yet, and its file system or the quota is full: ");
        assert!(ended.stderr.starts_with(&sentence), "{}", ended.stderr);
    });
    assert_eq!(word(&page, 64).load(Ordering::SeqCst), 0);
}

const IO_URING: [libc::c_long; 3] = [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

#[test]
fn a_wait_works_if_io_uring_is_forbidden_and_says_why_if_it_was_asked_for() {
    let page = page();
    let object = name(&page).to_owned();
    let word = word(&page, 0);
    forbidden(IO_URING, libc::EPERM, move || {
        let waiter = Running::start(futex(["wait", &object, "0", "0"]).env_remove("FUTEX_BACKEND"));
        until_waiters(&word, 1);
        change(&word, 3);
        assert_eq!(waiter.end(), ended(0, "3\n", ""));

        let ended = run(&mut futex_on("uring", ["wait", &object, "0", "3"]));
        assert_eq!((ended.status, &*ended.stdout), (Some(1), ""));
        // Before Linux 5.16 there is no waitv.
        let sentence = ["waitv or thread", "thread"].map(|others| {
            format!("futex: the futex backend uring is not available here, but {others} can be chosen: ")
        });
        assert!(sentence.iter().any(|sentence| ended.stderr.starts_with(sentence)), "{}", ended.stderr);
    });
}

#[test]
fn a_wait_without_enough_descriptors_says_so() {
    // With some of these limits, Tokio panicked because it could not make the sockets that tell it of signals.
    let page = page();
    for limit in 4..=16 {
        let mut shell = Command::new("sh");
        let script = format!("ulimit -n {limit}; exec \"$0\" wait \"$1\" 0 1");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_futex"), name(&page)]).stdin(Stdio::null());
        let ended = run(&mut shell);
        match ended.status {
            Some(0) => assert_eq!((&*ended.stdout, &*ended.stderr), ("0\n", "")),
            status => {
                assert_eq!((status, &*ended.stdout), (Some(1), ""), "{limit}: {}", ended.stderr);
                assert!(ended.stderr.contains("ulimit -n") && ended.stderr.lines().count() == 1, "{}", ended.stderr);
            }
        }
    }
}

#[test]
fn a_backend_that_does_not_exist_is_a_clear_error() {
    let page = page();
    let ended = run(&mut futex_on("urin", ["wait", name(&page), "0", "0"]));
    assert_eq!((ended.status, &*ended.stdout), (Some(1), ""));
    assert!(ended.stderr.contains("urin") && ended.stderr.lines().count() == 1, "{}", ended.stderr);
}
