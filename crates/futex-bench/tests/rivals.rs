//! The program `rivals` observes what is known of four locks. Only kinds of outcomes are checked, no times.

#![expect(clippy::unwrap_used, reason = "the function is part of the tests")]

use serde_json::Value;
use std::process::Command;

/// Runs the program for one contestant, and returns a function from a situation to the kind and the text of its outcome.
fn observe(contestant: &str, situations: &[&str]) -> impl Fn(&str) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rivals"));
    command.args(["--json", "--patience", "5", "--only", contestant]);
    command.args(situations.iter().flat_map(|situation| ["--situation", situation]));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    move |situation| {
        let outcome = &report["contestants"][0]["outcomes"][situation];
        let text =
            |key: &str| outcome[key].as_str().unwrap_or_else(|| panic!("{situation} is missing: {report}")).to_owned();
        (text("kind"), text("text"))
    }
}

#[test]
fn the_kernel_releases_a_file_lock_of_the_dead_but_keeps_that_of_a_stopped_process() {
    let outcome = observe("flock", &["killed-holding", "killed-inside", "stopped-holding", "garbage", "leftovers"]);
    assert_eq!(outcome("killed-holding").0, "passed");
    assert_eq!(outcome("killed-inside").0, "torn");
    assert_eq!(outcome("stopped-holding").0, "waits");
    assert_eq!(outcome("garbage").0, "unharmed");
    assert_eq!(outcome("leftovers").0, "left");
}

#[test]
fn a_robust_mutex_reports_the_death_of_its_owner_and_the_value_is_torn() {
    let outcome = observe("robust pthread mutex", &["killed-holding", "killed-inside", "restart"]);
    for (situation, kind) in [("killed-holding", "passed"), ("killed-inside", "torn"), ("restart", "passed")] {
        let (observed, text) = outcome(situation);
        assert_eq!(observed, kind, "{text}");
        assert!(text.contains("EOWNERDEAD"), "{text}");
    }
}

#[test]
fn a_semaphore_loses_the_permit_of_the_dead() {
    let outcome = observe("POSIX semaphore", &["killed-holding", "killed-waiting"]);
    assert_eq!(outcome("killed-holding").0, "waits");
    assert_eq!(outcome("killed-waiting").0, "passed");
}

#[test]
fn a_mutex_of_futex_ipc_reports_the_death_of_its_owner_and_has_the_last_complete_update() {
    let situations = ["killed-holding", "killed-inside", "killed-waiting", "stopped-holding", "leftovers", "restart"];
    let outcome = observe("futex-ipc", &situations);
    for (situation, kind) in [("killed-holding", "passed"), ("killed-inside", "whole")] {
        let (observed, text) = outcome(situation);
        assert_eq!(observed, kind, "{text}");
        assert!(text.contains("predecessor_died"), "{text}");
    }
    assert_eq!(outcome("killed-waiting").0, "passed");
    assert_eq!(outcome("stopped-holding").0, "waits");
    assert_eq!(outcome("leftovers").0, "clean");
    assert_eq!(outcome("restart").0, "passed");
}
