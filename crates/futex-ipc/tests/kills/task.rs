//! What the tasks and threads of a child have in common.

use crate::side::{Figure, Id, PerTask, Side, now};
use futex_tests::load::{Rng, turns};
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// A task, or a thread that blocks.
pub(crate) struct Task {
    pub(crate) side: Arc<Side>,
    pub(crate) id: Id,
    rng: Mutex<Rng>,
}

impl Task {
    pub(crate) fn new(side: Arc<Side>, id: Id, seed: usize) -> Self {
        Self { side, id, rng: Mutex::new(Rng::new(seed as u64)) }
    }

    pub(crate) fn below(&self, n: usize) -> usize {
        self.rng.lock().expect("no panic").below(n)
    }

    /// Reports what must not happen, and ends the process.
    pub(crate) fn violation(&self, what: impl fmt::Display) -> ! {
        let sentence = format!("VIOLATION: {:?}: {what}", self.id);
        eprintln!("{sentence}");
        self.side.count(Figure::Violations);
        std::process::abort();
    }

    /// The value of an operation, which never fails here.
    pub(crate) fn expect<T>(&self, what: &str, result: io::Result<T>) -> T {
        result.unwrap_or_else(|error| self.violation(format_args!("{what}: {error}")))
    }

    /// Notes that the task waits, until the result is dropped.
    pub(crate) fn waits(&self, object: Waits) -> Waiting<'_> {
        self.side.per_task(PerTask::Waits, self.id.child, self.id.task).store(object.since(), SeqCst);
        Waiting(self)
    }

    /// True if another task that was inside is in a process that was killed. Otherwise two are inside.
    pub(crate) fn is_dead(&self, other: u64) -> bool {
        self.side.is_doomed(Id::life_of(other))
    }

    /// Gives others the chance to come between, or a kill.
    pub(crate) async fn dawdles(&self) {
        match self.below(4) {
            0 => turns(1 + self.below(4)).await,
            1 => self.spins(),
            _ => {}
        }
    }

    /// As [`dawdles`](Self::dawdles), for a thread.
    pub(crate) fn blocks(&self) {
        match self.below(4) {
            0 => std::thread::yield_now(),
            1 => self.spins(),
            _ => {}
        }
    }

    fn spins(&self) {
        (0..self.below(5_000)).for_each(|_| std::hint::spin_loop());
    }

    /// Awaits a future, or drops it after a random time.
    pub(crate) async fn or_gives_up<F: Future>(&self, future: F) -> Option<F::Output> {
        let output = if self.below(2) == 0 {
            timeout(self.some_time(), future).await.ok()
        } else {
            tokio::select! {
                biased;
                output = future => Some(output),
                () = turns(self.below(6)) => None,
            }
        };
        if output.is_none() {
            self.side.count(Figure::Cancelled);
        }
        output
    }

    /// A deadline in the near future.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.some_time()
    }

    fn some_time(&self) -> Duration {
        Duration::from_micros(self.below(3_000) as u64)
    }

    /// The value of a blocking operation with a deadline. `None` if the deadline has passed.
    pub(crate) fn in_time<T>(&self, what: &str, result: io::Result<T>) -> Option<T> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                self.side.count(Figure::Cancelled);
                None
            }
            result => Some(self.expect(what, result)),
        }
    }
}

/// What a task waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Waits {
    Mutex = 1,
    Read,
    Write,
    Permits,
    Event,
    Pass,
    Cell,
    Barrier,
    Condition,
}

impl Waits {
    const ALL: [Self; 9] = [
        Self::Mutex,
        Self::Read,
        Self::Write,
        Self::Permits,
        Self::Event,
        Self::Pass,
        Self::Cell,
        Self::Barrier,
        Self::Condition,
    ];

    fn since(self) -> u64 {
        (self as u64) << 56 | now()
    }

    /// What a word says, and for how many seconds.
    pub(crate) fn of_word(word: u64) -> Option<(Self, u64)> {
        let object = Self::ALL.into_iter().find(|&object| object as u64 == word >> 56)?;
        Some((object, now().saturating_sub(word << 8 >> 8) / 1000))
    }
}

/// See [`Task::waits`].
pub(crate) struct Waiting<'a>(&'a Task);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Task { side, id, .. } = self.0;
        side.per_task(PerTask::Waits, id.child, id.task).store(0, SeqCst);
    }
}
