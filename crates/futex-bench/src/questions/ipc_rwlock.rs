//! `ipc_rwlock`: readers of a read-write lock between processes.

use crate::batch::{each, each_async};
use crate::hull::Hull;
use crate::locks::{READ, READS, REST, Reader, SharedRwLock};
use crate::ours::Kind;
use crate::peer::{Peer, Role};
use crate::question::{Contestant, Figures, Question, Turn, Unit, Verdict};
use anyhow::{Result, ensure};
use futex_ipc::{Mutex, Region, RwLock};
use futex_tokio::{SharedMemory, Word};
use std::hint::black_box;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

pub(super) const QUESTION: Question = Question {
    name: "ipc_rwlock",
    asks: "What does it cost to begin and to end reading, alone and beside a process that reads without rest?",
    unit: Unit::Nanoseconds,
    reference: Some(STD),
    seconds: [20, 5],
    contestants: |_| {
        vec![
            Contestant::new(STD, || {
                let lock = std::sync::RwLock::new(());
                Ok(alone(move || each(|| drop(black_box(&lock).read()))))
            }),
            Contestant::new("parking_lot", || {
                let lock = parking_lot::RwLock::new(());
                Ok(alone(move || each(|| drop(black_box(&lock).read()))))
            }),
            Contestant::new("tokio", || {
                let (runtime, lock) = (Kind::CurrentThread.runtime()?, tokio::sync::RwLock::new(()));
                Ok(alone(move || each_async(&runtime, async || drop(black_box(&lock).read().await))))
            }),
            Contestant::new("pthread rwlock", pthread),
            Contestant::new(THREADS, ours),
            Contestant::new(TASKS, || {
                let (runtime, region) = (Kind::CurrentThread.runtime()?, Region::builder().anonymous()?);
                let lock = RwLock::create(&region, "lock", ())?;
                Ok(alone(move || each_async(&runtime, async || drop(black_box(&lock).read().await))))
            }),
        ]
    },
    verdicts: |answer| {
        let ratio = |case, other| answer.series(THREADS, case)?.ratio(answer.series(THREADS, other)?);
        vec![
            Verdict::at_most(format!("{THREADS}: {ALONE} ÷ {MUTEX}"), ratio(ALONE, MUTEX), 0.6),
            Verdict::at_most(format!("{THREADS}: {BESIDE} ÷ {ALONE}"), ratio(BESIDE, ALONE), 2.0),
        ]
    },
};

const STD: &str = "std";
const THREADS: &str = "ours, threads";
const TASKS: &str = "ours, tasks";

const MUTEX: &str = "Mutex<()>";
const ALONE: &str = "read alone";
const BESIDE: &str = "read beside another process";

/// Number of figures of a turn.
const BATCHES: usize = 50;

fn add(figures: &mut Figures, case: &str, mut batch: impl FnMut() -> f64) {
    figures.add(case, (0..BATCHES).map(|_| batch()));
}

fn alone(mut batch: impl FnMut() -> f64 + 'static) -> Turn {
    Box::new(move |figures| {
        add(figures, ALONE, &mut batch);
        Ok(())
    })
}

fn ours() -> Result<Turn> {
    let region = Region::builder().anonymous()?;
    let (mutex, lock) = (Mutex::create(&region, "mutex", ())?, RwLock::create(&region, "lock", ())?);
    let pair = Pair::start(Reader::Ours, &region.share()?)?;
    Ok(Box::new(move |figures| {
        let read = || each(|| drop(black_box(&lock).blocking_read()));
        add(figures, MUTEX, || each(|| drop(black_box(&mutex).blocking_lock())));
        add(figures, ALONE, read);
        pair.beside(|| add(figures, BESIDE, read))
    }))
}

fn pthread() -> Result<Turn> {
    let memory = SharedRwLock::make()?;
    let pair = Pair::start(Reader::Pthread, &memory.as_fd().try_clone_to_owned()?)?;
    let lock = SharedRwLock::of(memory);
    Ok(Box::new(move |figures| {
        add(figures, ALONE, || each(|| lock.read()));
        pair.beside(|| add(figures, BESIDE, || each(|| lock.read())))
    }))
}

/// A process that reads when it is asked to.
struct Pair {
    word: Word,
    _peer: Peer,
}

impl Pair {
    /// Starts the process. `object` is the region or the memory with the lock.
    fn start(reader: Reader, object: &OwnedFd) -> Result<Self> {
        let memory = SharedMemory::anonymous(4096)?;
        let hull = Hull::of([&memory as &dyn AsFd, object])?;
        Ok(Self { word: memory.word(0)?, _peer: Peer::start(Role::Read(reader), Kind::CurrentThread, None, hull)? })
    }

    /// Runs `work` while the other process reads.
    fn beside<T>(&self, work: impl FnOnce() -> T) -> Result<T> {
        self.word.store(READ, Release);
        self.word.wake(1);
        self.word.wait(READ, Some(Duration::from_secs(10)))?;
        ensure!(self.word.load(Acquire) == READS, "the other process does not read");
        let result = work();
        self.word.store(REST, Release);
        Ok(result)
    }
}
