//! A process that forks while its other threads hold the locks of reactors. In the child they are locked for ever.
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

/// How long a child may take, which is much longer than it needs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Forks again and again. Two threads of the parent do something meanwhile that takes locks, and the child does something that may
/// take them. Answers `ok` when all children have ended well.
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
            // The parent has figures, and a wait that is armed. Its child has neither.
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
        // The lock of the list of reactors. Each is closed, so the next one is a new one.
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

/// A runtime of the child's own has a reactor of its own, with which a task waits.
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

/// Forks while two threads do `busy` again and again, and has each child do `body`.
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

/// Forks. The child does `body`, and the parent awaits its end.
fn fork_once(body: impl Fn() -> io::Result<()>) -> Result<(), String> {
    // SAFETY: The child takes no lock that another thread of its parent may hold, but for those that this is about: it has the
    // C library's allocator, which takes care of forks, and what it makes itself.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error().to_string()),
        0 => {
            let end = catch_unwind(AssertUnwindSafe(body));
            let status = i32::from(!matches!(end, Ok(Ok(()))));
            // SAFETY: It ends the process without running what was registered for its parent's end.
            unsafe { libc::_exit(status) }
        }
        child => {
            let start = Instant::now();
            let mut status = 0;
            // SAFETY: The status is a place to write to.
            while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == 0 {
                if start.elapsed() > PATIENCE {
                    // SAFETY: The calls have no pointer but a place to write to. The child was not waited for yet.
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
