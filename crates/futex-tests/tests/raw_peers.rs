//! The other process does not use this library. It only makes the system call.

use futex_tests::{arm, check_count, on_each_runtime, skip, until_waiters, within};
use futex_tokio::{AsyncFutex, SharedMemory, Word};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use tempfile::TempDir;

const OFFSET: usize = 128;

/// Environment variable with the path of the compiled C program, for machines without a compiler.
const COMPILED: &str = "FUTEX_TESTS_RAW_PEER";

/// Returns the command of each program that is available here: one in C, and one in Python.
fn programs() -> &'static [Vec<String>] {
    static PROGRAMS: OnceLock<Vec<Vec<String>>> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/raw");
        let mut programs = Vec::new();
        // Compiled under a unique name and then renamed, so that two runs of the tests don't disturb each other.
        let program = concat!(env!("CARGO_TARGET_TMPDIR"), "/raw-peer");
        let fresh = format!("{program}-{}", std::process::id());
        let compile = || Command::new("cc").args(["-O2", "-Wall", "-o", &fresh, &format!("{sources}/peer.c")]).status();
        if let Ok(compiled) = std::env::var(COMPILED) {
            programs.push(vec![compiled]);
        } else if let Ok(status) = compile() {
            assert!(status.success(), "cc does not compile peer.c");
            std::fs::rename(&fresh, program).expect("rename");
            programs.push(vec![program.to_owned()]);
        }
        let python = Command::new("python3").args(["-c", "import ctypes, mmap"]).status();
        if python.is_ok_and(|status| status.success()) {
            programs.push(vec!["python3".to_owned(), format!("{sources}/peer.py")]);
        }
        programs
    })
}

/// For each program, with memory by descriptor and then by name, calls `test` with the word and a function that starts the
/// program.
async fn with_each(test: impl AsyncFn(&Word, &dyn Fn(&str, u32) -> Child)) {
    if programs().is_empty() {
        return skip("there is neither a C compiler (cc) nor Python with ctypes");
    }
    for program in programs() {
        for by_name in [false, true] {
            eprintln!("{program:?} {}", if by_name { "by name" } else { "by descriptor" });
            // The name of a temporary directory is unique.
            let unique = TempDir::new().expect("a directory");
            let name = unique.path().file_name().expect("a name").to_str().expect("plain letters").to_owned();
            let memory = match by_name {
                true => SharedMemory::create(&name, 4096).expect("memory"),
                false => SharedMemory::anonymous(4096).expect("memory"),
            };
            let start = |what: &str, value: u32| {
                let inherited = rustix::io::dup(memory.as_fd()).expect("a copy of the descriptor");
                let mut command = Command::new(&program[0]);
                command.args(&program[1..]);
                match by_name {
                    true => command.args(["name", &name]),
                    false => command.arg("fd").arg(inherited.as_raw_fd().to_string()),
                };
                command.arg(OFFSET.to_string()).arg(what).arg(value.to_string());
                command.stdout(Stdio::piped()).spawn().expect("the program starts")
            };
            test(&memory.word(OFFSET).expect("a word"), &start).await;
            if by_name {
                SharedMemory::unlink(&name).expect("unlink");
            }
        }
    }
}

/// Waits until a program has succeeded, and returns its output.
fn output(program: Child) -> String {
    let output = program.wait_with_output().expect("the program ends");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("a number").trim().to_owned()
}

#[test]
fn a_program_that_uses_only_the_system_call_wakes_a_task() {
    on_each_runtime(async || {
        with_each(async |word, start| {
            let futex = AsyncFutex::new(word).expect("a futex");
            let mut wait = futex.wait_async(0);
            arm(&mut wait).await;
            until_waiters(word, 1);
            check_count(output(start("wake", 7)).parse().expect("a number"), 1);
            within(wait).await.expect("a wake");
            assert_eq!(word.load(Ordering::Acquire), 7);
        })
        .await;
    });
}

#[test]
fn a_program_that_uses_only_the_system_call_is_woken() {
    on_each_runtime(async || {
        with_each(async |word, start| {
            let futex = AsyncFutex::new(word).expect("a futex");
            let program = start("wait", 0);
            until_waiters(word, 1);
            word.store(9, Ordering::Release);
            assert!(futex.wake_one());
            assert_eq!(output(program), "9");
        })
        .await;
    });
}
