//! The parts of a model: a kernel, an engine on it, owners of waits, and the accounts that must balance at the end.

use crate::engine::Engine;
use crate::model::{Kernel, ModelWord, Options};
use crate::stats::Stats;
use crate::sync::thread;
use crate::tests::owner::{AnyOwner, Owner, OwnerOf, ReenterOnDrop, Seen, Waits};
use crate::wait_any::RawWaitAny;
use crate::waiter::RawWaiter;
use std::num::NonZeroU32;
use std::sync::Arc;
// Not loom's type, because this atomic orders nothing: it is loaded when all threads are joined.
use std::sync::atomic::{AtomicU32, Ordering};

/// Runs a model in every order of its steps with up to three preemptions. `LOOM_MAX_PREEMPTIONS` changes that number.
#[cfg(loom)]
pub(crate) fn model(name: &str, body: impl Fn() + Send + Sync + 'static) {
    explore(name, Some(3), body);
}

/// Runs a model in every order of its steps, with any number of preemptions.
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

/// Runs the body of a model many times, with real threads.
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
    /// Number of wakes that owners saw.
    seen: Arc<AtomicU32>,
}

impl World {
    /// Makes a kernel that posts completions at once, with an engine of one queue.
    pub(crate) fn new() -> Self {
        Self::with(Options::default(), 1)
    }

    /// Makes a kernel that posts completions when [`Kernel::task_work`] is called, with an engine of one queue.
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

    /// Makes an owner that will wait on `word` while it is 0.
    pub(crate) fn owner(&self, word: &ModelWord) -> Owner {
        self.owner_of(RawWaiter::new(), &[word])
    }

    /// Like [`owner`](World::owner), but only for wakes whose mask shares a bit with `mask`.
    pub(crate) fn owner_with(&self, word: &ModelWord, mask: NonZeroU32) -> Owner {
        let mut owner = self.owner(word);
        owner.mask = mask;
        owner
    }

    /// Makes an owner that will wait on all of `words` while they are 0.
    pub(crate) fn any_owner(&self, words: &[&ModelWord]) -> AnyOwner {
        self.owner_of(RawWaitAny::new(), words)
    }

    fn owner_of<T: Waits>(&self, waits: T, words: &[&ModelWord]) -> OwnerOf<T> {
        OwnerOf::new(&self.engine, &self.kernel, &self.seen, waits, words)
    }

    /// Makes an owner whose wait is armed.
    pub(crate) fn armed(&self, word: &ModelWord) -> Owner {
        let mut owner = self.owner(word);
        assert!(owner.poll().is_none());
        owner
    }

    /// Makes an owner whose waits are armed.
    pub(crate) fn any_armed(&self, words: &[&ModelWord]) -> AnyOwner {
        let mut owner = self.any_owner(words);
        assert!(owner.poll().is_none());
        owner
    }

    /// Makes an object whose `Drop` calls the engine, which hangs if the thread holds a lock of the engine.
    pub(crate) fn reenter_on_drop(&self) -> Arc<ReenterOnDrop> {
        Arc::new(ReenterOnDrop::new(&self.engine))
    }

    /// Spawns a thread that closes the engine.
    pub(crate) fn closing(&self) -> thread::JoinHandle<()> {
        let engine = self.engine.clone();
        spawn(move || engine.close())
    }

    /// Spawns a thread that turns the engine.
    pub(crate) fn turning(&self) -> thread::JoinHandle<()> {
        let engine = self.engine.clone();
        spawn(move || engine.turn())
    }

    /// Posts all completions, and turns the engine for them.
    pub(crate) fn settle(&self) {
        self.kernel.task_work();
        self.kernel.drive();
    }

    /// Returns the number of wakes that owners saw.
    pub(crate) fn seen(&self) -> u32 {
        self.seen.load(Ordering::Relaxed)
    }

    /// Checks the accounts at the end, when all owners are gone: no wake is lost or invented, and no wait is left.
    pub(crate) fn check(&self) {
        self.check_with(0);
    }

    /// Like [`check`](World::check), with a number of wakes that the engine invented because it could not arm waits again.
    pub(crate) fn check_with(&self, invented: u32) {
        self.settle();
        let counts = self.kernel.counts();
        assert_eq!(
            counts.counted + counts.spurious + invented,
            self.seen() + counts.evaporated,
            "the counted wakes are not the wakes that were seen or found nobody: {counts:?}"
        );
        let stats = self.engine.stats();
        assert_eq!((stats.armed_now, self.engine.slots()), (0, 0), "a wait or a slot is left: {stats:?}");
        let Stats { armed, woken, mismatched, cancelled, failed, closed, .. } = stats;
        assert_eq!(armed, woken + mismatched + cancelled + failed + closed, "{stats:?}");
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

/// Spawns a thread that polls once, and returns the owner and the result.
pub(crate) fn polling<T: Waits + Send + 'static>(
    mut owner: OwnerOf<T>,
) -> thread::JoinHandle<(OwnerOf<T>, Seen<T::End>)> {
    spawn(move || {
        let seen = owner.poll();
        (owner, seen)
    })
}

/// Joins a thread of a model.
pub(crate) fn join<T>(thread: thread::JoinHandle<T>) -> T {
    thread.join().expect("no thread of a model panics")
}
