//! A process that forks while waits of its reactors are armed.
#![expect(unsafe_code, reason = "fork, waitpid, prctl and _exit")]

use crate::answer::{Result, ok, outcome, report};
use futex_sys::SharedMemory;
use futex_tests::{is_pending, until_waiters};
use futex_tokio::{AsyncFutex, Reactor};
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use tokio::runtime::{Builder, Runtime};

/// What a process has when it forks.
struct Before {
    runtime: Runtime,
    /// On word 0, with the runtime's own reactor.
    own: AsyncFutex,
    /// A wait with that reactor, and one on word 64 with a reactor beside it, whose last handle it has.
    waits: [Pin<Box<dyn Future<Output = io::Result<()>>>>; 2],
}

/// Forks, and has the child do with its parent's reactors what it should not, and then what it may. Once the child has
/// ended, the parent awaits its waits.
pub(crate) fn fork(memory: &SharedMemory, drop_runtime: bool) -> Result<String> {
    let before = before(memory)?;
    // SAFETY: The threads that the child does not have are parked in the kernel, as the waiters were counted. One that parks anew
    // takes the lock of its backend, which is of no use to the child: the library takes no lock of its parent's reactors.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error().into()),
        0 => {
            let end = catch_unwind(AssertUnwindSafe(|| child(memory, before, drop_runtime)));
            report("child", end.map_or("panicked".to_owned(), outcome));
            // SAFETY: It ends the process without running what was registered for its parent's end.
            unsafe { libc::_exit(0) }
        }
        child => {
            let mut status = 0;
            // SAFETY: The status is a place to write to.
            if unsafe { libc::waitpid(child, &raw mut status, 0) } != child {
                return Err(io::Error::last_os_error().into());
            }
            report("child-status", status);
            let Before { runtime, waits, .. } = before;
            for (label, wait) in ["own", "beside"].into_iter().zip(waits) {
                report(label, outcome(runtime.block_on(wait)));
            }
            ok()
        }
    }
}

fn before(memory: &SharedMemory) -> Result<Before> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let guard = runtime.enter();
    let own = AsyncFutex::new(memory.word(0)?)?;
    let reactor = Reactor::builder().backend(own.reactor().backend()).build()?;
    let beside = AsyncFutex::with_reactor(&reactor, memory.word(64)?);
    drop(guard);
    let mut waits = [own.clone(), beside].map(|futex| {
        let wait: Pin<Box<dyn Future<Output = _>>> = Box::pin(async move { futex.wait_async(0).await });
        wait
    });
    for wait in &mut waits {
        if !runtime.block_on(is_pending(wait)) {
            return Err("a wait is over already".into());
        }
    }
    until_waiters(&memory.word(0)?, 1);
    until_waiters(&memory.word(64)?, 1);
    Ok(Before { runtime, own, waits })
}

fn child(memory: &SharedMemory, before: Before, drop_runtime: bool) -> io::Result<()> {
    // SAFETY: It has no pointers: the child ends with its parent, which a test kills where something goes wrong.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let Before { runtime, own, waits } = before;
    let fresh = Builder::new_current_thread().enable_all().build()?;

    for wait in waits {
        report("armed-before", outcome(fresh.block_on(wait)));
    }
    report("armed-now", outcome(fresh.block_on(own.wait_async(0))));
    {
        let _guard = runtime.enter();
        let same = AsyncFutex::new(memory.word(0)?)?;
        report("of-the-old-runtime", outcome(fresh.block_on(same.wait_async(0))));
    }
    own.reactor().close();
    drop(own);
    if drop_runtime {
        drop(runtime);
    } else {
        std::mem::forget(runtime);
    }

    let value = fresh.block_on(async { AsyncFutex::new(memory.word(128)?)?.wait_until(|value| value != 0).await })?;
    report("fresh", value);
    Ok(())
}
