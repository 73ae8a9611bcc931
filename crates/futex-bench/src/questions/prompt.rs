//! `prompt`: from a wake until the task runs, by what the thread that armed its wait does.
//!
//! A task of a runtime with two workers starts another task and then arms its wait. The worker runs the other task next: it
//! computes or blocks. The second worker has nothing to do. Then comes the wake that is measured.

use crate::ours::Config;
use crate::population::words;
use crate::question::{Contestant, Figures, Question, Unit};
use crate::report::directory;
use crate::rounds::pin;
use anyhow::Result;
use futex_tokio::AsyncFutex;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

pub(super) const QUESTION: Question = Question {
    name: "prompt",
    asks: "How long does it take from a wake until the task runs, by what the thread does that armed its wait?",
    unit: Unit::Nanoseconds,
    reference: Some("ours, uring"),
    seconds: [18, 5],
    contestants: |_| {
        let contestant = |config: Config| {
            let start = move || {
                let scene = Scene::new(config)?;
                Ok(Box::new(move |figures: &mut Figures| scene.turn(figures)) as _)
            };
            Contestant { cpu: Some(OTHER_CPU), ..Contestant::new(config, start) }
        };
        [Config::Uring, Config::Interrupting, Config::Waitv, Config::Thread].map(contestant).into()
    },
    // The answer is a choice between kinds of rings and backends.
    verdicts: |_| Vec::new(),
};

/// The cases, with the number of wakes in a turn.
const CASES: [(&str, Work, Start, usize); 5] = [
    ("asleep in epoll", Work::Nothing, Start::Futex, 30),
    ("computes for 1 ms", Work::Compute(Duration::from_millis(1)), Start::Futex, 20),
    ("computes for 10 ms", Work::Compute(Duration::from_millis(10)), Start::Futex, 10),
    ("computes for 10 ms, the other worker in epoll", Work::Compute(Duration::from_millis(10)), Start::Notify, 10),
    ("in fsync of 16 MiB", Work::Fsync, Start::Futex, 10),
];

/// Number of bytes that an fsync writes.
const WRITTEN: usize = 16 << 20;
/// Workers without a task are asleep after this time.
const PAUSE: Duration = Duration::from_micros(500);
/// The processor of the work, and that of everything else: no thread that is woken queues behind the work.
const WORK_CPU: usize = 0;
const OTHER_CPU: usize = 1;

/// What the worker does after the task has armed its wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Nothing,
    Compute(Duration),
    Fsync,
}

/// How the task is woken to arm its wait. It decides where the other worker of a `Uring` reactor sleeps meanwhile.
#[derive(Clone, Copy)]
enum Start {
    /// By the futex, so by the worker that was in epoll. The other one stays asleep on a condition variable.
    Futex,
    /// From a thread outside the runtime, which wakes the worker on the condition variable. The other one polls epoll.
    Notify,
}

struct Scene {
    runtime: Runtime,
    futex: AsyncFutex,
    notify: Arc<Notify>,
    file: Arc<File>,
}

impl Scene {
    fn new(config: Config) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let futex = {
            let _entered = runtime.enter();
            AsyncFutex::with_reactor(&config.reactor()?, words(1)?.remove(0))
        };
        // Beside the report: a directory for temporary files may be in memory, and then `fsync` does not wait.
        let file = Arc::new(tempfile::tempfile_in(directory())?);
        Ok(Self { runtime, futex, notify: Arc::default(), file })
    }

    fn turn(&self, figures: &mut Figures) -> Result<()> {
        for (case, work, start, count) in CASES {
            for _ in 0..count {
                if work == Work::Fsync {
                    self.file.write_all_at(&vec![1; WRITTEN], 0)?;
                }
                figures.add(case, self.wake(work, start)?);
            }
        }
        Ok(())
    }

    /// Nanoseconds from a wake until the task runs. `None` if the work was another worker's, or over before the wake.
    fn wake(&self, work: Work, start: Start) -> Result<Option<f64>> {
        let change = || {
            self.futex.word().fetch_add(1, Ordering::Release);
            self.futex.wake(1);
        };
        let (begins, begun) = channel();
        let seen = self.futex.word().load(Ordering::Acquire);
        let task = task(self.futex.clone(), seen, self.notify.clone(), self.file.clone(), work, begins);
        let task = self.runtime.spawn(task);
        thread::sleep(PAUSE);
        match start {
            Start::Futex => change(),
            Start::Notify => self.notify.notify_one(),
        }
        begun.recv()?;
        if work == Work::Nothing {
            thread::sleep(PAUSE);
        }
        let woken = Instant::now();
        change();
        let Some((ran, work_done)) = self.runtime.block_on(task)?? else { return Ok(None) };
        let counts = work == Work::Nothing || work_done > woken;
        Ok(counts.then(|| ran.duration_since(woken).as_nanos() as f64))
    }
}

/// The task that is woken. `seen` is the value of the word before the first wake. Returns when the task ran and when the work
/// was over, or `None` if the work was another worker's.
async fn task(
    futex: AsyncFutex,
    seen: u32,
    notify: Arc<Notify>,
    file: Arc<File>,
    work: Work,
    begins: Sender<()>,
) -> Result<Option<(Instant, Instant)>> {
    let seen = tokio::select! {
        value = futex.wait_until(|value| value != seen) => value?,
        () = notify.notified() => seen,
    };
    // The next task of this worker. Tokio does not wake another worker for a single one.
    let work = tokio::spawn(async move {
        let _ = pin(WORK_CPU); // a call into the kernel, so it comes before the wake
        let _ = begins.send(());
        let start = Instant::now();
        match work {
            Work::Nothing => {}
            Work::Compute(time) => while start.elapsed() < time {},
            // If it fails it is over at once, and its wake is not counted.
            Work::Fsync => drop(file.sync_all()),
        }
        let done = Instant::now();
        let _ = pin(OTHER_CPU);
        (done, thread::current().id())
    });
    let armed_by = thread::current().id();
    futex.wait_until(|value| value != seen).await?;
    let ran = Instant::now();
    let (work_done, worked_by) = work.await?;
    Ok((armed_by == worked_by).then_some((ran, work_done)))
}
