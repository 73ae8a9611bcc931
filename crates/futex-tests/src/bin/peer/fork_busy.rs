//! A process that forks while its other threads hold locks of reactors. In the child, these locks are never released.
#![expect(unsafe_code, reason = "fork, waitpid, kill and _exit")]

use crate::answer::Result;
use futex_tests::load::zero;
use futex_tests::{is_pending, within};
use futex_tokio::{AsyncFutex, Reactor, Stats};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Handle};

/// Maximum time for a child, which is much longer than it needs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Forks `rounds` times, while two threads of the parent call functions that take locks. Each child calls functions that may take
/// the same locks. Answers `ok` if all children succeed.
pub(crate) fn fork_while_busy(runtime: &Handle, what: &str, rounds: u32) -> Result<String> {
    let _entered = runtime.enter();
    let core = futex_core::Reactor::new()?;
    let futex = AsyncFutex::with_reactor(&Reactor::builder().build()?, zero());
    let reactor = futex.reactor();
    let figures = || {
        let _ = reactor.stats();
    };
    match what {
        // The lock of a queue.
        "stats" => {
            // The parent's figures are not zero, because a wait is armed. Those of the child are zero.
            let mut wait = AsyncFutex::with_reactor(reactor, zero()).wait_async_owned(0);
            if !runtime.block_on(is_pending(&mut wait)) || reactor.stats().armed_now != 1 {
                return Err("the wait is not armed".into());
            }
            during(&figures, rounds, || {
                assert_eq!(reactor.stats(), Stats::default());
                Ok(())
            })
        }
        "wake" => during(&figures, rounds, || {
            assert_eq!(futex.wake_all(), 0);
            Ok(())
        }),
        // The lock of the list of queues. Closing a closed reactor takes it too.
        "debug" => during(&|| reactor.close(), rounds, || {
            assert!(format!("{futex:?}").starts_with("AsyncFutex"));
            Ok(())
        }),
        "is-closed" => during(&|| core.close(), rounds, || {
            let _ = core.is_closed();
            Ok(())
        }),
        // The lock of the list of reactors. Each reactor is closed, so that the next call makes a new one.
        "current" => {
            let make = || {
                let _entered = runtime.enter();
                Reactor::current().expect("a reactor").close();
            };
            during(&make, rounds, wait_in_a_fresh_runtime)
        }
        _ => Err("stats, wake, debug, is-closed or current".into()),
    }
}

/// Makes a new runtime in the child. A task of this runtime waits with the runtime's own reactor.
fn wait_in_a_fresh_runtime() -> io::Result<()> {
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let futex = AsyncFutex::new(zero())?;
        let wait = tokio::spawn({
            let futex = futex.clone();
            async move { futex.wait_until(|value| value == 1).await }
        });
        tokio::task::yield_now().await;
        futex.word().store(1, Ordering::Release);
        futex.wake_all();
        within(wait).await.expect("no panic").map(drop)
    })
}

/// Forks `rounds` times while two threads call `busy` again and again. Each child calls `body`.
fn during(busy: &(dyn Fn() + Sync), rounds: u32, body: impl Fn() -> io::Result<()>) -> Result<String> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    busy();
                }
            });
        }
        let forked = (0..rounds)
            .try_for_each(|round| fork_once(&body).map_err(|error| format!("the child of round {round} {error}")));
        over.store(true, Ordering::Relaxed);
        Ok(forked.map(|()| "ok".to_owned())?)
    })
}

/// Forks. The child calls `body`, and the parent waits for the child's end.
fn fork_once(body: impl Fn() -> io::Result<()>) -> Result<(), String> {
    // SAFETY: The child must not need a lock that another thread holds. Apart from the locks under test, it uses only the C
    // library's allocator, which handles forks, and objects that it makes itself.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error().to_string()),
        0 => {
            let end = catch_unwind(AssertUnwindSafe(body));
            let status = i32::from(!matches!(end, Ok(Ok(()))));
            // SAFETY: `_exit` is safe to call. It ends the process without the exit handlers of the parent.
            unsafe { libc::_exit(status) }
        }
        child => {
            let start = Instant::now();
            let mut status = 0;
            // SAFETY: `status` is valid for the write.
            while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == 0 {
                if start.elapsed() > PATIENCE {
                    // SAFETY: `status` is valid for the write. `child` is still the pid of the child, because nobody has waited
                    // for it.
                    unsafe {
                        libc::kill(child, libc::SIGKILL);
                        libc::waitpid(child, &raw mut status, 0);
                    }
                    return Err("hangs".to_owned());
                }
                thread::yield_now();
            }
            if status == 0 { Ok(()) } else { Err(format!("ended with the status {status}")) }
        }
    }
}
