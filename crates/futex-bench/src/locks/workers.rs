//! Processes whose threads, or tasks, compete for one lock.

use super::lock::{Lock, NAME, reopen};
use crate::hull::Hull;
use crate::ours::run;
use crate::robust_mutex::RobustMutex;
use anyhow::{Result, ensure};
use futex_ipc::{Mutex, Region};
use futex_tokio::{AsyncFutex, SharedMemory, Word};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Number of processes.
pub(crate) const PROCESSES: usize = 2;
/// Number of threads or tasks per process.
const WORKERS: usize = 2;
const ALL: usize = PROCESSES * WORKERS;

/// A worker that does not answer for this long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Words of the control memory. Each has a cache line of its own.
#[derive(Clone)]
pub(crate) struct Control {
    /// Odd while the workers compete.
    pub(crate) phase: Word,
    /// Number of workers that have started, or have ended their turn.
    done: Word,
    /// The value that the lock protects, with plain loads and stores.
    pub(crate) value: Word,
    /// Number of sections of each worker in the last turn.
    pub(crate) sections: [Word; ALL],
}

impl Control {
    pub(crate) fn of(memory: &SharedMemory) -> Result<Self> {
        let word = |line: usize| memory.word(128 * line);
        let sections = (0..ALL).map(|worker| word(3 + worker)).collect::<Result<Vec<_>, _>>()?;
        let sections = sections.try_into().map_err(|_| anyhow::anyhow!("the number of workers differs"))?;
        Ok(Self { phase: word(0)?, done: word(1)?, value: word(2)?, sections })
    }

    /// Waits until all workers have come to the end of what they do.
    pub(crate) fn all_done(&self) -> Result<()> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let done = self.done.load(Acquire);
            if done == ALL as u32 {
                self.done.store(0, Relaxed);
                return Ok(());
            }
            ensure!(Instant::now() < give_up, "a worker does not answer");
            self.done.wait(done, Some(PATIENCE))?;
        }
    }

    fn note_done(&self) {
        self.done.fetch_add(1, AcqRel);
        self.done.wake(1);
    }

    /// Waits until the phase is another one, and returns it.
    fn next_phase(&self, phase: u32) -> Result<u32> {
        while self.phase.load(Acquire) == phase {
            self.phase.wait(phase, None)?;
        }
        Ok(self.phase.load(Acquire))
    }

    #[inline]
    fn section(&self) {
        self.value.store(self.value.load(Relaxed).wrapping_add(1), Relaxed);
    }
}

/// Plays the workers of one process, until it is killed.
pub(crate) fn work(lock: Lock, process: usize, mut hull: Hull) -> Result<()> {
    let control = Control::of(&SharedMemory::from_fd(hull.take_fd()?)?)?;
    let object = hull.take_fd()?;
    let workers = (0..WORKERS).map(|worker| process * WORKERS + worker);
    match lock {
        Lock::Blocking => {
            let mutex = Arc::new(Mutex::open_or_create(&Region::builder().from_fd(&object)?, NAME, ())?);
            join(workers.map(|worker| {
                let (control, mutex) = (control.clone(), mutex.clone());
                thread::spawn(move || {
                    compete(&control, worker, || {
                        let _guard = mutex.blocking_lock()?;
                        control.section();
                        Ok(())
                    })
                })
            }))
        }
        Lock::Tasks => {
            let mutex = Arc::new(Mutex::open_or_create(&Region::builder().from_fd(&object)?, NAME, ())?);
            // The runtime of this function's caller has one thread per processor, perhaps fewer than workers.
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
            let tasks: Vec<_> =
                workers.map(|worker| runtime.spawn(tasks(control.clone(), worker, mutex.clone()))).collect();
            tasks.into_iter().try_for_each(|task| run(&runtime, task)?)
        }
        Lock::Robust => {
            let mutex = RobustMutex::of(SharedMemory::from_fd(object)?);
            join(workers.map(|worker| {
                let (control, mutex) = (control.clone(), mutex.clone());
                thread::spawn(move || {
                    compete(&control, worker, || {
                        mutex.lock()?;
                        control.section();
                        mutex.unlock()
                    })
                })
            }))
        }
        Lock::Flock => {
            let file = File::from(object);
            let files = workers.map(|worker| Ok((worker, reopen(&file)?))).collect::<Result<Vec<_>>>()?;
            join(files.into_iter().map(|(worker, file)| {
                let control = control.clone();
                thread::spawn(move || {
                    compete(&control, worker, || {
                        flock(&file, FlockOperation::LockExclusive)?;
                        control.section();
                        Ok(flock(&file, FlockOperation::Unlock)?)
                    })
                })
            }))
        }
    }
}

/// Waits for the threads, which end only if they fail.
fn join(threads: impl Iterator<Item = thread::JoinHandle<Result<()>>>) -> Result<()> {
    let threads: Vec<_> = threads.collect();
    threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

/// Competes in each odd phase.
fn compete(control: &Control, worker: usize, section: impl Fn() -> Result<()>) -> Result<()> {
    let mut phase = 0;
    control.note_done();
    loop {
        phase = control.next_phase(phase)?;
        let mut sections = 0;
        while control.phase.load(Relaxed) == phase {
            section()?;
            sections += 1;
        }
        control.sections[worker].store(sections, Relaxed);
        phase = control.next_phase(phase)?;
        control.note_done();
    }
}

/// The same, as a task.
async fn tasks(control: Control, worker: usize, mutex: Arc<Mutex<()>>) -> Result<()> {
    let phases = AsyncFutex::new(control.phase.clone())?;
    let mut phase = 0;
    control.note_done();
    loop {
        phase = next_phase(&phases, phase).await?;
        let mut sections = 0;
        while control.phase.load(Relaxed) == phase {
            let _guard = mutex.lock().await?;
            control.section();
            sections += 1;
        }
        control.sections[worker].store(sections, Relaxed);
        phase = next_phase(&phases, phase).await?;
        control.note_done();
    }
}

/// A task must not block its thread: another task may wait for what this thread has to report.
async fn next_phase(phases: &AsyncFutex, phase: u32) -> Result<u32> {
    while phases.word().load(Acquire) == phase {
        phases.wait_async(phase).await?;
    }
    Ok(phases.word().load(Acquire))
}
