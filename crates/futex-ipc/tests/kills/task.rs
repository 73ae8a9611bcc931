//! What the tasks and threads of a child have in common.

use crate::chance::Chance;
use crate::side::{Figure, Id, PerTask, Side, now};
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

/// A task, or a thread that blocks.
pub(crate) struct Task {
    pub(crate) side: Arc<Side>,
    pub(crate) id: Id,
    pub(crate) chance: Chance,
}

impl Task {
    pub(crate) fn new(side: Arc<Side>, id: Id, seed: usize) -> Self {
        Self { side, id, chance: Chance::new(seed as u64) }
    }

    /// Reports a violation, and ends the process.
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

    /// Awaits a future, or drops it after a random time.
    pub(crate) async fn or_gives_up<F: Future>(&self, future: F) -> Option<F::Output> {
        let output = self.chance.or_gives_up(future).await;
        if output.is_none() {
            self.side.count(Figure::Cancelled);
        }
        output
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
