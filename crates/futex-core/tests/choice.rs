//! The choice of the backend. The environment belongs to the process, so each case runs this program again in a new process.
#![cfg(not(loom))]

use futex_core::{Backend, Reactor};
use std::process::Command;

/// Variable that is set in the child process, which prints the choice.
const CHILD: &str = "FUTEX_CORE_TEST_CHILD";

#[test]
fn print_the_choice() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    match Reactor::new() {
        Ok(reactor) => println!("chose {}; {:?}", reactor.backend(), reactor.passed_over().collect::<Vec<_>>()),
        Err(error) => println!("error {:?}: {error}", error.kind()),
    }
}

fn choice(variable: Option<&str>) -> String {
    let mut command = Command::new(std::env::current_exe().expect("the test's own path"));
    command.args(["--exact", "print_the_choice", "--nocapture", "--test-threads=1"]).env(CHILD, "1");
    match variable {
        Some(value) => command.env("FUTEX_BACKEND", value),
        None => command.env_remove("FUTEX_BACKEND"),
    };
    let output = command.output().expect("the child runs");
    let text = String::from_utf8(output.stdout).expect("the child prints text");
    let line = text.lines().find_map(|line| {
        ["chose ", "error "].iter().find_map(|start| line.find(start).map(|at| line[at..].to_owned()))
    });
    line.unwrap_or_else(|| panic!("the child printed no choice: {text}"))
}

#[test]
fn the_environment_names_the_backend() {
    for kind in [Backend::Uring, Backend::Waitv, Backend::Thread] {
        let available = Reactor::builder().backend(kind).build().is_ok();
        let choice = choice(Some(kind.as_str()));
        if available {
            assert_eq!(choice, format!("chose {kind}; []"));
        } else {
            let (_, others) =
                choice.split_once(&format!("the futex backend {kind} is not available here, but ")).expect(&choice);
            let (others, _) = others.split_once(" can be chosen: ").expect(others);
            assert!(
                others.split(" or ").all(|other| Reactor::builder().backend(other.parse().unwrap()).build().is_ok())
            );
        }
    }
}

#[test]
fn an_unknown_name_is_an_error_that_lists_the_choices() {
    let choice = choice(Some("epoll"));
    let expected = "error InvalidInput: cannot use FUTEX_BACKEND=epoll: \
                    \"epoll\" is not a futex backend: the backends are uring, waitv and thread";
    assert_eq!(choice, expected);
}

#[test]
fn by_default_the_first_backend_that_works_is_taken_and_better_ones_have_a_reason() {
    for variable in [None, Some("")] {
        let choice = choice(variable);
        let first = [Backend::Uring, Backend::Waitv, Backend::Thread]
            .into_iter()
            .find(|&kind| Reactor::builder().backend(kind).build().is_ok())
            .expect("Thread works everywhere");
        assert!(choice.starts_with(&format!("chose {first}; ")), "{choice}");
        assert_eq!(first == Backend::Uring, choice.ends_with("; []"), "the list of better backends is wrong: {choice}");
    }
}

#[test]
#[cfg(not(feature = "uring"))]
fn without_its_feature_uring_is_passed_over_with_the_reason() {
    let reactor = Reactor::new().expect("Thread works everywhere");
    if std::env::var_os("FUTEX_BACKEND").is_none() {
        let (kind, reason) = reactor.passed_over().next().expect("a backend was passed over");
        assert_eq!(kind, Backend::Uring);
        assert_eq!(reason.to_string(), "this program was built without the feature `uring`");
    }
}
