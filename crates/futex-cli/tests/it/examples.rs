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
