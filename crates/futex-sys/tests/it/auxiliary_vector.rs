//! The auxiliary vector, in which the kernel passes the page size and the address of the vDSO to a program.

use crate::support::child::Process;
use crate::support::{sandbox, skip};
use futex_sys::__private::Origin;
use futex_sys::{Deadline, SharedMemory, WaitOutcome};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::time::{Duration, Instant};

/// Uses the crate without descriptors, and without the call that returns the auxiliary vector since Linux 6.4.
pub(crate) fn be_without_descriptors(memory: &SharedMemory) {
    const PR_GET_AUXV: u32 = 0x4155_5856;

    sandbox::forbid_if(libc::SYS_prctl, 0, PR_GET_AUXV, libc::EINVAL);
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..getrlimit(Resource::Nofile) }).expect("a lower limit");

    assert!(Origin::here().is_here());
    let word = memory.word(0).expect("a word");
    let deadline = Deadline::from(Instant::now() + Duration::from_millis(1));
    assert_eq!(word.wait_deadline(0, deadline).expect("a wait"), WaitOutcome::TimedOut);
    let error = SharedMemory::anonymous(4096).expect_err("no descriptor is left");
    assert!(error.to_string().ends_with("Too many open files (os error 24)"), "{error}");
}

#[test]
fn a_process_without_descriptors_gets_errors_and_no_panic() {
    // Regression: before Linux 6.4, rustix read the page size from /proc/self/auxv, and panicked if no descriptor was left.
    if !sandbox::is_supported() {
        return skip("no seccomp filters for this processor");
    }
    let memory = SharedMemory::anonymous(4096).unwrap();
    let status = Process::start("be-without-descriptors", &memory).end();
    assert!(status.success(), "{status}");
}
