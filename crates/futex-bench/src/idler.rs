//! The process that `idle` looks at: it waits for what never happens.

use crate::executor::Executor;
use crate::hull::Hull;
use crate::ours::Config;
use crate::population;
use futex_tokio::SharedMemory;
use std::fmt;
use std::future::pending;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{interval, sleep};

/// How many waits there are.
const WAITS: usize = 10_000;

/// How it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idler {
    /// It looks at each word again and again.
    Polling,
    Ours(Config),
}

impl Idler {
    pub(crate) const ALL: [Self; 4] =
        [Self::Polling, Self::Ours(Config::URING), Self::Ours(Config::WAITV), Self::Ours(Config::THREAD)];

    /// Waits for ever, and says by the memory's first word when all waits are armed.
    pub(crate) fn play(self, executor: &Executor, hull: Hull) -> io::Result<()> {
        let ready = SharedMemory::from_fd(hull.stdin)?.word(0)?;
        if let Self::Ours(config) = self {
            let futexes = executor.enter(|| population::kept_futexes(&config.reactor()?, WAITS))?;
            for futex in futexes {
                executor.spawn(async { drop(futex.wait_async(0).await) });
            }
            executor.block_on(async {
                while futexes[0].reactor().stats().armed_now < WAITS {
                    sleep(Duration::from_millis(10)).await;
                }
            });
        }
        ready.store(1, Ordering::Release);
        ready.wake(1);
        match self {
            Self::Polling => {
                let words = population::words(WAITS)?;
                executor.run(async move {
                    let mut ticks = interval(Duration::from_millis(1));
                    while words.iter().all(|word| word.load(Ordering::Acquire) == 0) {
                        ticks.tick().await;
                    }
                });
                Ok(())
            }
            Self::Ours(_) => executor.run(pending()),
        }
    }
}

impl fmt::Display for Idler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Polling => f.write_str("polling every 1 ms"),
            Self::Ours(config) => config.fmt(f),
        }
    }
}
