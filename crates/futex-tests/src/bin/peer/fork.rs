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

/// The state of a process before it forks.
struct Before {
    runtime: Runtime,
    /// Futex on the word at offset 0, with the reactor of the runtime.
    own: AsyncFutex,
    /// A wait on that futex, and a wait on the word at offset 64. The second wait has the last handle of another reactor.
    waits: [Pin<Box<dyn Future<Output = io::Result<()>>>>; 2],
}

/// Forks. The child uses its parent's reactors, which must fail, and then a reactor of its own. When the child has ended, the
/// parent awaits its waits.
pub(crate) fn fork(memory: &SharedMemory, drop_runtime: bool) -> Result<String> {
    let before = before(memory)?;
    // SAFETY: The child must not need a lock that another thread holds. The other threads are parked in the kernel, because the
    // waiters were counted. A thread that parks again takes the lock of its backend, but in the child the library takes no lock
    // of the parent's reactors.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error().into()),
        0 => {
            let end = catch_unwind(AssertUnwindSafe(|| child(memory, before, drop_runtime)));
            report("child", end.map_or("panicked".to_owned(), outcome));
            // SAFETY: `_exit` is safe to call. It ends the process without the exit handlers of the parent.
            unsafe { libc::_exit(0) }
        }
        child => {
            let mut status = 0;
            // SAFETY: `status` is valid for the write.
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
    // SAFETY: The call has no pointers. The kernel kills the child when its parent ends, which a test kills if it fails.
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
