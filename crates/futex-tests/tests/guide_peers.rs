//! The guide's peers in C and Python, together with the guide's program that asks them.

use futex_tests::skip;
use std::fs;
use std::process::Command;
use tempfile::TempDir;

const ASK: &str = env!("CARGO_BIN_EXE_guide_ask");

/// The guide in each language.
const GUIDES: [(&str, &str); 2] =
    [("en", include_str!("../../../docs/guide.md")), ("zh", include_str!("../../../docs/guide.zh.md"))];

/// Returns the block of a guide whose first line begins with `first_line`.
fn block<'a>(guide: &'a str, language: &str, first_line: &str) -> &'a str {
    let begin = format!("```{language}\n{first_line}");
    let start = guide.find(&begin).unwrap_or_else(|| panic!("there is no block that begins {begin:?}"));
    let block = &guide[start + begin.len() - first_line.len()..];
    block.split_once("```").expect("the block ends").0
}

/// Returns true if the program can be started here and succeeds.
fn is_there(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// Runs the guide's program with the command of a peer, and checks the answers.
#[track_caller]
fn ask(peer: &[&str]) {
    let output = Command::new(ASK).args(peer).output().expect("the program starts");
    assert!(output.status.success(), "{peer:?}: {output:?}");
    let squares: Vec<_> = (1..=3).map(|number| format!("the square of {number} is {}\n", number * number)).collect();
    assert_eq!(String::from_utf8_lossy(&output.stdout), squares.concat(), "{peer:?}");
}

#[test]
fn the_peer_in_c_waits_for_a_task_and_wakes_it() {
    if !is_there("cc", &["--version"]) {
        return skip("there is no C compiler (cc)");
    }
    for (language, guide) in GUIDES {
        let directory = TempDir::new().expect("a directory");
        let (source, program) = (directory.path().join("peer.c"), directory.path().join("peer"));
        fs::write(&source, block(guide, "c", "/* peer.c")).expect("the source is written");
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&program).arg(&source).arg("-lrt");
        assert!(cc.status().expect("cc starts").success(), "cc does not compile the peer of the guide ({language})");
        ask(&[program.to_str().expect("a path of plain letters")]);
    }
}

#[test]
fn the_peer_in_python_waits_for_a_task_and_wakes_it() {
    if !is_there("python3", &["-c", "import ctypes, mmap"]) {
        return skip("there is no Python with ctypes (python3)");
    }
    for (_, guide) in GUIDES {
        let directory = TempDir::new().expect("a directory");
        let program = directory.path().join("peer.py");
        fs::write(&program, block(guide, "python", "# peer.py")).expect("the program is written");
        ask(&["python3", program.to_str().expect("a path of plain letters")]);
    }
}

#[test]
fn a_peer_that_ends_before_its_answer_is_an_error() {
    let output = Command::new(ASK).args(["sh", "-c", "exit 3"]).output().expect("the program starts");
    assert!(!output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("the peer has ended: exit status: 3"), "{output:?}");
}
