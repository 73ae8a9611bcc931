//! A process that forks while it waits for the end of another process.
#![expect(unsafe_code, reason = "fork, waitpid and _exit")]

use crate::answer::{Result, ok, outcome, report};
use futex_tests::is_pending;
use futex_tokio::{ProcessId, process_end};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::runtime::Builder;

/// Watches a process and forks. The child polls its copy of the future and drops it. When the child has ended, the parent awaits
/// its copy.
pub(crate) fn fork_watching(pid: u32) -> Result<String> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut end = runtime.block_on(async { process_end(ProcessId::from_pid(pid)?) })?;
    if !runtime.block_on(is_pending(&mut end)) {
        return Err("the process has ended already".into());
    }
    // SAFETY: The child must not need a lock that another thread holds. The process has no other thread.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error().into()),
        0 => {
            let child = catch_unwind(AssertUnwindSafe(|| {
                let fresh = Builder::new_current_thread().enable_all().build().expect("a runtime");
                report("fork", outcome(fresh.block_on(&mut end)));
                drop(end);
            }));
            // SAFETY: `_exit` is safe to call. It ends the process without the exit handlers of the parent.
            unsafe { libc::_exit(child.is_err().into()) }
        }
        child => {
            let mut status = 0;
            // SAFETY: `status` is valid for the write.
            if unsafe { libc::waitpid(child, &raw mut status, 0) } != child {
                return Err(io::Error::last_os_error().into());
            }
            report("fork-status", status);
            let pending = runtime.block_on(is_pending(&mut end));
            report("parent", if pending { "pending" } else { "over" });
            report("parent", outcome(runtime.block_on(end)));
            ok()
        }
    }
}
