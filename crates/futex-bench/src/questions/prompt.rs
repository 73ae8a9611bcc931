//! `prompt`: from a wake until the task runs, by what the thread that armed its wait does.
//!
//! A task of a runtime with two workers starts another task and then arms its wait. The worker runs the other task next: it
//! computes or blocks. The second worker has nothing to do. Then the wake comes that is measured.

use crate::answer::Answer;
use crate::contestant::{Contestant, Figures};
use crate::directory::directory;
use crate::ours::Config;
use crate::population;
use crate::question::{Chart, Effort, Question, Unit};
use crate::stage::pin;
use crate::verdict::Verdict;
use futex_tokio::{AsyncFutex, Word};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvError, Sender, channel};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

pub(super) const QUESTION: Question = Question {
    name: "prompt",
    asks: "How long does it take from a wake until the task runs, by what the thread does that armed its wait?",
    unit: Unit::Nanoseconds,
    reference: Some("ours, uring"),
    seconds: (18, 5),
    contestants,
    verdicts,
    charts: &[Chart::Bars(ASLEEP), Chart::Bars(SHORT), Chart::Bars(LONG), Chart::Bars(POLLED), Chart::Bars(FSYNC)],
};

const ASLEEP: &str = "asleep in epoll";
const SHORT: &str = "computes for 1 ms";
const LONG: &str = "computes for 10 ms";
const POLLED: &str = "computes for 10 ms, the other worker in epoll";
const FSYNC: &str = "in fsync of 16 MiB";

/// The cases, with the number of wakes in a turn.
const CASES: [(&str, Work, Start, usize); 5] = [
    (ASLEEP, Work::Nothing, Start::Futex, 30),
    (SHORT, Work::Compute(Duration::from_millis(1)), Start::Futex, 20),
    (LONG, Work::Compute(Duration::from_millis(10)), Start::Futex, 10),
    (POLLED, Work::Compute(Duration::from_millis(10)), Start::Notify, 10),
    (FSYNC, Work::Fsync, Start::Futex, 10),
];

/// Bytes that an fsync writes.
const WRITTEN: usize = 16 << 20;
/// Workers without a task are asleep after this time.
const PAUSE: Duration = Duration::from_micros(500);
/// The processor of the work, and that of everything else: no thread that is woken queues behind the work.
const WORK_CPU: usize = 0;
const OTHER_CPU: usize = 1;

fn contestants(_: Effort) -> Vec<Contestant> {
    let contestant = |config: Config| {
        let start = move || {
            let scene = Scene::new(config)?;
            Ok(move |figures: &mut Figures| scene.turn(figures))
        };
        Contestant::new(config.to_string(), start).on(Some(OTHER_CPU))
    };
    Config::KINDS.map(contestant).into()
}

/// None: the answer is a choice between kinds of rings and backends.
fn verdicts(_: &Answer) -> Vec<Verdict> {
    Vec::new()
}

/// What the worker does after the task has armed its wait.
#[derive(Clone, Copy)]
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

impl Work {
    fn carry_out(self, file: &File) {
        match self {
            Self::Nothing => {}
            Self::Compute(time) => {
                let start = Instant::now();
                while start.elapsed() < time {}
            }
            // One that fails is over at once, and its wake is not counted.
            Self::Fsync => drop(file.sync_all()),
        }
    }
}

/// The side that wakes, and what it learns from the task.
struct Scene {
    _runtime: Runtime,
    word: Word,
    notify: Arc<Notify>,
    file: Arc<File>,
    works: Sender<Work>,
    /// The worker that begins the work.
    begun: Receiver<ThreadId>,
    /// When the work was done.
    done: Receiver<Instant>,
    /// When the task ran, and the worker on which it had armed its wait.
    ran: Receiver<(Instant, ThreadId)>,
}

impl Scene {
    fn new(config: Config) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let word = population::words(1)?.remove(0);
        let (notify, file) = (Arc::new(Notify::new()), Arc::new(unnamed_file()?));
        let (works, wanted) = channel();
        let (begins, begun) = channel();
        let (ends, done) = channel();
        let (runs, ran) = channel();
        let futex = {
            let _entered = runtime.enter();
            AsyncFutex::with_reactor(&config.reactor()?, &word)
        };
        let task = Task { futex, notify: notify.clone(), file: file.clone(), wanted, begins, ends, runs };
        runtime.spawn(task.run());
        Ok(Self { _runtime: runtime, word, notify, file, works, begun, done, ran })
    }

    fn turn(&self, figures: &mut Figures) -> io::Result<()> {
        for (case, work, start, count) in CASES {
            for _ in 0..count {
                if let Work::Fsync = work {
                    self.file.write_all_at(&vec![1; WRITTEN], 0)?;
                }
                figures.many(case, self.wake(work, start).map_err(io::Error::other)?);
            }
        }
        Ok(())
    }

    /// Nanoseconds from a wake until the task runs. `None` if the work was another worker's, or over before the wake.
    fn wake(&self, work: Work, start: Start) -> Result<Option<f64>, RecvError> {
        thread::sleep(PAUSE);
        let _ = self.works.send(work); // if the task has ended, nothing is received below
        match start {
            Start::Futex => self.change(),
            Start::Notify => self.notify.notify_one(),
        }
        let worker = self.begun.recv()?;
        if let Work::Nothing = work {
            thread::sleep(PAUSE);
        }
        let woken = Instant::now();
        self.change();
        let ((ran, armed_by), done) = (self.ran.recv()?, self.done.recv()?);
        let counts = armed_by == worker && (matches!(work, Work::Nothing) || done > woken);
        Ok(counts.then(|| ran.duration_since(woken).as_nanos() as f64))
    }

    /// Changes the word, then wakes.
    fn change(&self) {
        self.word.fetch_add(1, Ordering::Release);
        self.word.wake(1);
    }
}

/// The task that is woken.
struct Task {
    futex: AsyncFutex,
    notify: Arc<Notify>,
    file: Arc<File>,
    wanted: Receiver<Work>,
    begins: Sender<ThreadId>,
    ends: Sender<Instant>,
    runs: Sender<(Instant, ThreadId)>,
}

impl Task {
    /// Runs until a wait fails.
    async fn run(self) -> io::Result<()> {
        let mut seen = 0;
        loop {
            seen = tokio::select! {
                value = self.futex.wait_until(|value| value != seen) => value?,
                () = self.notify.notified() => seen,
            };
            let Ok(work) = self.wanted.try_recv() else { return Ok(()) };
            let (begins, ends, file) = (self.begins.clone(), self.ends.clone(), self.file.clone());
            // The next task of this worker. Tokio does not wake another worker for a single one.
            tokio::spawn(async move {
                let _ = pin(WORK_CPU); // a call into the kernel, so it comes before the wake
                let _ = begins.send(thread::current().id());
                work.carry_out(&file);
                let _ = ends.send(Instant::now());
                let _ = pin(OTHER_CPU);
            });
            let worker = thread::current().id();
            seen = self.futex.wait_until(|value| value != seen).await?;
            let _ = self.runs.send((Instant::now(), worker));
        }
    }
}

/// A file beside the report: a directory for temporary files may be in memory, where `fsync` has nothing to wait for.
fn unnamed_file() -> io::Result<File> {
    let path = directory().join("prompt.tmp");
    let file = File::create(&path)?;
    fs::remove_file(path)?;
    Ok(file)
}
