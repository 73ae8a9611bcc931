//! What a model is made of: a kernel, an engine on it, and owners of waits; and the accounts that must be even at the end.

use crate::engine::Engine;
use crate::model::{Kernel, ModelWord, Options};
use crate::shard::Request;
use crate::sync::thread;
use crate::waiter::{Outcome, RawWaiter};
use std::io;
use std::num::NonZeroU32;
// None of this orders anything: it is read when all threads are joined, or by the thread that wrote it.
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::panicking;

/// Runs a model: under loom in every order of its steps with up to three preemptions (`LOOM_MAX_PREEMPTIONS` changes
/// that), else many times.
#[cfg(loom)]
pub(crate) fn model(name: &str, body: impl Fn() + Send + Sync + 'static) {
    explore(name, Some(3), body);
}

/// [`model`], in every order of its steps whatever the number of preemptions.
#[cfg(loom)]
pub(crate) fn exhaustive_model(name: &str, body: impl Fn() + Send + Sync + 'static) {
    explore(name, None, body);
}

#[cfg(loom)]
fn explore(name: &str, preemptions: Option<usize>, body: impl Fn() + Send + Sync + 'static) {
    let executions = Arc::new(AtomicU32::new(0));
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 20_000;
    if std::env::var_os("LOOM_MAX_PREEMPTIONS").is_none() {
        builder.preemption_bound = preemptions;
    }
    let start = std::time::Instant::now();
    builder.check({
        let executions = executions.clone();
        move || {
            executions.fetch_add(1, Ordering::Relaxed);
            body();
        }
    });
    let executions = executions.load(Ordering::Relaxed);
    println!(
        "{name}: {executions} executions, at most {:?} preemptions, {:.1?}",
        builder.preemption_bound,
        start.elapsed()
    );
}

#[cfg(not(loom))]
pub(crate) fn model(_name: &str, body: impl Fn() + Send + Sync + 'static) {
    let times = if cfg!(miri) { 5 } else { 500 };
    (0..times).for_each(|_| body());
}

#[cfg(not(loom))]
pub(crate) use model as exhaustive_model;

/// A kernel and an engine on it.
pub(crate) struct World {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) engine: Arc<Engine<ModelWord>>,
    /// Wakes that owners saw.
    seen: Arc<AtomicU32>,
}

impl World {
    /// A kernel that posts completions at once, with an engine of one queue.
    pub(crate) fn new() -> Self {
        Self::with(Options::default(), 1)
    }

    /// A kernel that posts completions when [`Kernel::task_work`] is called.
    pub(crate) fn delayed() -> Self {
        Self::with(Options { delayed: true, ..Options::default() }, 1)
    }

    pub(crate) fn with(options: Options, spread: usize) -> Self {
        let kernel = Kernel::new(options);
        let engine = kernel.engine(spread);
        Self { kernel, engine, seen: Arc::new(AtomicU32::new(0)) }
    }

    pub(crate) fn word(&self) -> ModelWord {
        self.kernel.word()
    }

    /// An owner of a wait on `word` while it is 0, which it has not begun.
    pub(crate) fn owner(&self, word: &ModelWord) -> Owner {
        self.owner_with(word, NonZeroU32::MAX)
    }

    pub(crate) fn owner_with(&self, word: &ModelWord, mask: NonZeroU32) -> Owner {
        Owner {
            engine: self.engine.clone(),
            kernel: self.kernel.clone(),
            seen: self.seen.clone(),
            waiter: RawWaiter::new(),
            word: word.clone(),
            expected: 0,
            mask,
            task: None,
            reentrant: false,
        }
    }

    /// An owner whose wait is armed.
    pub(crate) fn armed(&self, word: &ModelWord) -> Owner {
        let mut owner = self.owner(word);
        assert!(owner.poll().is_none());
        owner
    }

    /// Something that was dropped calls the engine, which hangs if a lock of the engine is held.
    pub(crate) fn reenter_on_drop(&self) -> Arc<ReenterOnDrop> {
        Arc::new(ReenterOnDrop(Arc::downgrade(&self.engine)))
    }

    /// A thread that closes the engine.
    pub(crate) fn closing(&self) -> thread::JoinHandle<()> {
        let engine = self.engine.clone();
        spawn(move || engine.close())
    }

    /// A thread that turns the engine.
    pub(crate) fn turning(&self) -> thread::JoinHandle<()> {
        let engine = self.engine.clone();
        spawn(move || engine.turn())
    }

    /// What the kernel was still to do, it does; and who polls the eventfd, turns.
    pub(crate) fn settle(&self) {
        self.kernel.task_work();
        self.kernel.drive();
    }

    /// Wakes that owners saw.
    pub(crate) fn seen(&self) -> u32 {
        self.seen.load(Ordering::Relaxed)
    }

    /// The accounts at the end, when all owners are gone: no wake is lost or invented, and nothing is left behind.
    pub(crate) fn check(&self) {
        self.settle();
        let counts = self.kernel.counts();
        assert_eq!(
            counts.counted + counts.spurious,
            self.seen() + counts.evaporated,
            "wakes that the kernel counted, and those that were seen or found nobody: {counts:?}"
        );
        let stats = self.engine.stats();
        assert_eq!(stats.armed_now, 0, "a slot is taken: {stats:?}");
        assert_eq!(u64::from(counts.handed_on + counts.evaporated), stats.handed_on);
        self.kernel.assert_empty();
        self.engine.close();
        self.kernel.assert_empty();
        assert_eq!(self.kernel.counts(), counts, "closing an idle engine wakes nobody");
    }
}

/// Spawns a thread of a model.
pub(crate) fn spawn<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
    thread::spawn(body)
}

/// Joins a thread of a model.
pub(crate) fn join<T>(thread: thread::JoinHandle<T>) -> T {
    thread.join().expect("no thread of a model panics")
}

/// What an owner sees when it looks; `None` while it is to wait.
pub(crate) type Seen = Option<Result<Outcome, io::ErrorKind>>;

/// Who polls a wait.
pub(crate) struct Owner {
    engine: Arc<Engine<ModelWord>>,
    kernel: Arc<Kernel>,
    seen: Arc<AtomicU32>,
    waiter: RawWaiter<ModelWord>,
    word: ModelWord,
    pub(crate) expected: u32,
    mask: NonZeroU32,
    /// The waker of the latest poll that was pending.
    task: Option<Arc<Task>>,
    /// Wakers call the engine when they are called, and when they are dropped.
    pub(crate) reentrant: bool,
}

impl Owner {
    /// Polls with a waker that no poll had before.
    pub(crate) fn poll(&mut self) -> Seen {
        let task = Arc::new(Task {
            called: AtomicBool::new(false),
            engine: if self.reentrant { Arc::downgrade(&self.engine) } else { Weak::new() },
        });
        // The handle that is kept here is not a waker, so a waker that is dropped is the last one, and is noticed.
        let (waker, task) = (Waker::from(Arc::new(Handle(task.clone()))), task);
        let seen = self.look(&waker);
        if seen.is_none() {
            self.task = Some(task);
        }
        drop(waker);
        self.kernel.drive(); // an arming may have made the kernel signal
        seen
    }

    fn look(&mut self, waker: &Waker) -> Seen {
        let cx = &mut Context::from_waker(waker);
        let request = Request { word: &self.word, expected: self.expected, mask: self.mask };
        match self.waiter.poll_wait(&self.engine, &request, cx) {
            Poll::Pending => None,
            Poll::Ready(outcome) => {
                self.task = None;
                if matches!(outcome, Ok(Outcome::Woken)) {
                    self.seen.fetch_add(1, Ordering::Relaxed);
                }
                Some(outcome.map_err(|error| error.kind()))
            }
        }
    }

    /// What became of the wait in the end. If its task has something to see, the task was told: the waker of the latest
    /// poll was called.
    pub(crate) fn finish(mut self) -> Seen {
        let task = self.task.clone();
        let seen = self.look(Waker::noop());
        if let Some(task) = task {
            assert_eq!(
                seen.is_some(),
                task.called.load(Ordering::Relaxed),
                "the latest waker, and what was seen: {seen:?}"
            );
        }
        self.abandon();
        seen
    }

    /// Drops the wait.
    pub(crate) fn abandon(mut self) {
        self.waiter.cancel();
        self.kernel.drive();
    }
}

/// A task, as a model sees it.
struct Task {
    called: AtomicBool,
    engine: Weak<Engine<ModelWord>>,
}

/// What wakers of a task hold.
struct Handle(Arc<Task>);

impl Wake for Handle {
    fn wake(self: Arc<Self>) {
        self.0.called.store(true, Ordering::Relaxed);
        if let Some(engine) = self.0.engine.upgrade() {
            engine.turn();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        reenter(&self.0.engine);
    }
}

/// Calls the engine in its `Drop`.
pub(crate) struct ReenterOnDrop(Weak<Engine<ModelWord>>);

impl Drop for ReenterOnDrop {
    fn drop(&mut self) {
        reenter(&self.0);
    }
}

fn reenter(engine: &Weak<Engine<ModelWord>>) {
    if let Some(engine) = engine.upgrade() {
        if !panicking() {
            engine.take_locks();
        }
    }
}
