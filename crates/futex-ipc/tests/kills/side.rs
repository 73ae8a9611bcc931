//! Memory outside of the region, which only this test writes: each task notes what it does, so that violations are detected.

use crate::children;
use futex_sys::__private::words64;
use futex_sys::SharedMemory;
use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

/// Number of child processes at a time.
pub(crate) const CHILDREN: usize = 4;
/// Number of tasks and threads of a child that use the objects.
pub(crate) const TASKS: usize = 6;

/// Figures that are counted over all children.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Figure {
    /// Sections of mutexes, and of the writers and the readers of read-write locks.
    Sections,
    Reads,
    /// Times that permits were held.
    Holds,
    /// Waits that were given up.
    Cancelled,
    /// Sections whose owner learned that a predecessor died, and those that found the predecessor's traces.
    ToldOfDeath,
    FoundDead,
    /// Members that left, and did not die.
    Left,
    Sets,
    Passes,
    Initialised,
    Phases,
    Given,
    Taken,
    /// Lost wakes that were found once a second.
    Rechecks,
    Violations,
}

impl Figure {
    pub(crate) const ALL: [Self; 15] = [
        Self::Sections,
        Self::Reads,
        Self::Holds,
        Self::Cancelled,
        Self::ToldOfDeath,
        Self::FoundDead,
        Self::Left,
        Self::Sets,
        Self::Passes,
        Self::Initialised,
        Self::Phases,
        Self::Given,
        Self::Taken,
        Self::Rechecks,
        Self::Violations,
    ];
}

const FIGURES: usize = Figure::Violations as usize + 1;

/// A word for each task, with the life of its process.
#[derive(Clone, Copy)]
pub(crate) enum PerTask {
    /// What the task waits for, and since when.
    Waits,
    Reads,
    Holds,
}

const PER_TASK: usize = PerTask::Holds as usize + 1;

/// A word for the whole test.
#[derive(Clone, Copy)]
pub(crate) enum Shared {
    /// True when the children should end.
    Stop,
    /// Number of kills.
    Kills,
    /// The task inside of the mutex, and the value that was committed last. The same for the writers.
    MutexOwner,
    MutexValue,
    WriteOwner,
    WriteValue,
}

const SHARED: usize = Shared::WriteValue as usize + 1;

/// The cells that are initialised: per cell the task that does it, and the value.
pub(crate) const CELLS: usize = 64;

/// See the [module](self). Words are numbered: figures, shared words, words per task, cells, and a word per life of a child.
pub(crate) struct Side {
    memory: SharedMemory,
}

impl Side {
    /// Memory for a number of lives.
    pub(crate) fn new(lives: usize) -> Self {
        let words = Self::lives() + lives;
        Self { memory: SharedMemory::anonymous(words * 8).expect("memory") }
    }

    /// The memory of the parent.
    pub(crate) fn of_parent() -> Self {
        Self { memory: SharedMemory::from_fd(children::file(1).into()).expect("memory") }
    }

    pub(crate) fn memory(&self) -> &SharedMemory {
        &self.memory
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        &words64(&self.memory)[index]
    }

    pub(crate) fn figure(&self, figure: Figure) -> &AtomicU64 {
        self.word(figure as usize)
    }

    pub(crate) fn count(&self, figure: Figure) {
        self.figure(figure).fetch_add(1, SeqCst);
    }

    pub(crate) fn shared(&self, word: Shared) -> &AtomicU64 {
        self.word(FIGURES + word as usize)
    }

    pub(crate) fn per_task(&self, word: PerTask, child: usize, task: usize) -> &AtomicU64 {
        let tasks = CHILDREN * TASKS;
        self.word(FIGURES + SHARED + word as usize * tasks + child * TASKS + task)
    }

    pub(crate) fn cell(&self, cell: usize) -> [&AtomicU64; 2] {
        let first = FIGURES + SHARED + PER_TASK * CHILDREN * TASKS;
        [0, 1].map(|part| self.word(first + cell * 2 + part))
    }

    const fn lives() -> usize {
        FIGURES + SHARED + PER_TASK * CHILDREN * TASKS + CELLS * 2
    }

    /// Notes that a life is about to end by a kill.
    pub(crate) fn doom(&self, life: usize) {
        self.word(Self::lives() + life).store(1, SeqCst);
    }

    /// True if a life was ended by a kill, or is about to.
    pub(crate) fn is_doomed(&self, life: usize) -> bool {
        self.word(Self::lives() + life).load(SeqCst) != 0
    }

    pub(crate) fn is_over(&self) -> bool {
        self.shared(Shared::Stop).load(SeqCst) != 0
    }

    pub(crate) fn kills(&self) -> u64 {
        self.shared(Shared::Kills).load(SeqCst)
    }
}

/// A task, as a word that is not 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id {
    pub(crate) life: usize,
    pub(crate) child: usize,
    pub(crate) task: usize,
}

impl Id {
    pub(crate) fn word(self) -> u64 {
        ((self.life << 16 | self.child << 8 | self.task) as u64) << 1 | 1
    }

    pub(crate) fn life_of(word: u64) -> usize {
        (word >> 17) as usize
    }
}

impl std::fmt::Debug for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "task {} of child {} in life {}", self.task, self.child, self.life)
    }
}

/// Milliseconds on a clock that all processes share.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}
