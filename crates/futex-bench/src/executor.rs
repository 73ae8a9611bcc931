//! What polls a side's futures.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use tokio::runtime::{Builder, Runtime};

/// What is to poll a side's futures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing: its futures block the thread, and are ready at the first poll.
    Blocking,
    CurrentThread,
    MultiThread,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Blocking, Self::CurrentThread, Self::MultiThread];
    /// The runtimes of Tokio.
    pub(crate) const RUNTIMES: [Self; 2] = [Self::CurrentThread, Self::MultiThread];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blocking => "blocking",
            Self::CurrentThread => "current-thread",
            Self::MultiThread => "multi-thread",
        })
    }
}

/// Polls a side's futures.
pub(crate) struct Executor(Option<(Runtime, Kind)>);

impl Executor {
    pub(crate) fn new(kind: Kind) -> io::Result<Self> {
        let runtime = match kind {
            Kind::Blocking => return Ok(Self(None)),
            Kind::CurrentThread => Builder::new_current_thread().enable_all().build()?,
            Kind::MultiThread => Builder::new_multi_thread().enable_all().build()?,
        };
        Ok(Self(Some((runtime, kind))))
    }

    /// Runs `make` where the runtime is the current one.
    pub(crate) fn enter<T>(&self, make: impl FnOnce() -> T) -> T {
        let _entered = self.0.as_ref().map(|(runtime, _)| runtime.enter());
        make()
    }

    /// Runs a future as a user's task would run.
    pub(crate) fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        match &self.0 {
            None => at_once(future),
            Some((runtime, Kind::MultiThread)) => {
                // A task on a worker: what `block_on` itself polls is woken by a detour.
                let task = runtime.spawn(future);
                runtime.block_on(task).unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
            }
            Some((runtime, _)) => runtime.block_on(future),
        }
    }

    /// Runs a future that need not be sent on the calling thread.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        match &self.0 {
            None => at_once(future),
            Some((runtime, _)) => runtime.block_on(future),
        }
    }

    /// Has the runtime run a future beside what else it runs.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        if let Some((runtime, _)) = &self.0 {
            runtime.spawn(future);
        }
    }
}

/// The result of a future that blocks.
#[expect(clippy::panic, reason = "a bug of the lab, which ends this contestant")]
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("a future that blocks was not ready at the first poll"),
    }
}
