//! The examples check themselves.

use crate::support::{ended, on_each_backend, run};
use std::process::Command;

#[test]
fn two_shell_scripts_hand_work_to_each_other_through_a_word() {
    on_each_backend(|backend| {
        let mut script = Command::new("sh");
        script.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/relay/run.sh"));
        script.env("FUTEX", env!("CARGO_BIN_EXE_futex")).env("FUTEX_BACKEND", backend);
        assert_eq!(run(&mut script), ended(0, "verified: 20 jobs\n", ""));
    });
}

#[test]
fn the_lock_of_the_manual_is_taken_over_from_a_dead_holder_and_excludes_others() {
    let page = crate::support::page();
    let manual =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md")).expect("the manual");
    let (_, section) = manual.split_once("## A lock whose holder died").expect("the section");
    let (_, script) = section.split_once("```sh\n").expect("the script");
    let (script, _) = script.split_once("```").expect("its end");
    let script = script.replace(" jobs ", &format!(" {} ", crate::support::name(&page)));
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_futex")).parent().expect("a directory");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("a path"));
    let sh = |script: String| {
        let mut command = Command::new("sh");
        command.args(["-c", &script]).env("PATH", &path);
        command
    };
    // A process that has ended holds the lock.
    let mut dead = Command::new("true").spawn().expect("it starts");
    dead.wait().expect("it ends");
    crate::support::word(&page, 0).store(dead.id(), std::sync::atomic::Ordering::SeqCst);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("count");
    std::fs::write(&file, "0\n").expect("it is written");
    let count = file.display();
    let turns = format!(
        "{script}\nfor n in 1 2 3; do lock || exit 1; read -r count <{count}; echo $((count + 1)) >{count}; unlock; done"
    );
    let workers: Vec<_> = (0..3).map(|_| crate::support::Running::start(&mut sh(turns.clone()))).collect();
    for worker in workers {
        assert_eq!(worker.end(), ended(0, "", ""));
    }
    assert_eq!(std::fs::read_to_string(&file).expect("it is read"), "9\n");
    assert_eq!(crate::support::word(&page, 0).load(std::sync::atomic::Ordering::SeqCst), 0);
}
