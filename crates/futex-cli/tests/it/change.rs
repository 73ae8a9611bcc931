//! `futex wake`, `set`, `add` and `cas`.

use crate::support::{
    Running, blocked, ended, futex, futex_on, is_woken, name, on_each_backend, page, run, until_waiters, word,
};
use std::sync::atomic::Ordering;

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
            assert!(changed.stdout == "1\n" || changed.stdout == "0\n" && backend == "thread", "{changed:?}");
            assert_eq!(waiter.end(), ended(0, value, ""));
        }
    });
}

#[test]
fn wake_wakes_as_many_as_it_is_told_and_prints_the_count() {
    let page = page();
    let word = word(&page, 0);
    let [first, second, third, fourth, fifth] = [1, 2, 3, 4, 5].map(|count| blocked(&word, count));
    assert_eq!(run(&mut futex(["wake", name(&page), "0"])), ended(0, "1\n", ""));
    is_woken(first);
    assert_eq!(run(&mut futex(["wake", name(&page), "0", "0"])), ended(0, "0\n", ""));
    assert_eq!(run(&mut futex(["wake", name(&page), "0", "2"])), ended(0, "2\n", ""));
    is_woken(second);
    is_woken(third);
    assert_eq!(run(&mut futex(["wake", name(&page), "0", "all"])), ended(0, "2\n", ""));
    is_woken(fourth);
    is_woken(fifth);
    assert_eq!(run(&mut futex(["wake", name(&page), "0", "all"])), ended(0, "0\n", ""));
    assert_eq!(word.load(Ordering::SeqCst), 0);
}

#[test]
fn a_change_wakes_all_waiters_or_as_many_as_it_is_told() {
    let page = page();
    let word = word(&page, 0);
    let [first, second, third, fourth] = [1, 2, 3, 4].map(|count| blocked(&word, count));
    assert_eq!(run(&mut futex(["set", name(&page), "0", "1", "--wake", "0"])), ended(0, "0\n", ""));
    assert_eq!(word.waiters().expect("it is mapped"), 4);
    assert_eq!(run(&mut futex(["add", name(&page), "0", "1", "--wake", "1"])), ended(0, "1\n", ""));
    is_woken(first);
    assert_eq!(run(&mut futex(["cas", name(&page), "0", "2", "3"])), ended(0, "3\n", ""));
    [second, third, fourth].into_iter().for_each(is_woken);
    assert_eq!(word.load(Ordering::SeqCst), 3);
}

#[test]
fn cas_changes_nothing_and_wakes_nobody_if_the_word_has_another_value() {
    let page = page();
    let word = word(&page, 0);
    let waiter = blocked(&word, 1);
    let other = ended(3, "", "futex: the word is 0, and was not changed\n");
    assert_eq!(run(&mut futex(["cas", name(&page), "0", "1", "2"])), other);
    assert_eq!((word.load(Ordering::SeqCst), word.waiters().expect("it is mapped")), (0, 1));
    assert_eq!(run(&mut futex(["cas", name(&page), "0", "0", "2"])), ended(0, "1\n", ""));
    is_woken(waiter);
}
