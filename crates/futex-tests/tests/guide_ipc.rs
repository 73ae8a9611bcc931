//! The programs of the guide to futex-ipc that run as processes.

use futex_tests::without_a_hang;
use std::process::Command;

/// The program checks its own result: the record of a process that died inside of the lock is removed by the next owner.
#[test]
fn a_lock_for_a_file_tells_the_next_owner_of_a_death() {
    let output = without_a_hang(|| Command::new(env!("CARGO_BIN_EXE_ipc_predecessor")).output().expect("a process"));
    assert!(output.status.success(), "{output:?}");
}
