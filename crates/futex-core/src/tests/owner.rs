//! The owners of the waits of a model, of one or of several at once. Their wakers report that they were called.

use crate::engine::Engine;
use crate::model::{Kernel, ModelWord};
use crate::outcome::Outcome;
use crate::wait_any::{RawTarget, RawWaitAny};
use crate::waiter::RawWaiter;
use std::fmt::Debug;
use std::io;
use std::num::NonZeroU32;
// None of this orders anything: it is read when all threads are joined, or by the thread that wrote it.
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::panicking;

/// What an owner sees when it polls; `None` while it is to wait.
pub(crate) type Seen<End = Outcome> = Option<Result<End, io::ErrorKind>>;

/// An owner of one wait.
pub(crate) type Owner = OwnerOf<RawWaiter<ModelWord>>;

/// An owner of waits of which the first that is over ends all.
pub(crate) type AnyOwner = OwnerOf<RawWaitAny<ModelWord>>;

/// What an owner polls.
pub(crate) trait Waits {
    /// How it ends.
    type End: Copy + Debug + PartialEq + Send;

    fn poll(
        &mut self,
        engine: &Engine<ModelWord>,
        words: &[ModelWord],
        expected: u32,
        mask: NonZeroU32,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Self::End>>;

    fn cancel(&mut self);

    fn is_armed(&self) -> bool;

    fn outcome(end: Self::End) -> Outcome;
}

impl Waits for RawWaiter<ModelWord> {
    type End = Outcome;

    fn poll(
        &mut self,
        engine: &Engine<ModelWord>,
        words: &[ModelWord],
        expected: u32,
        mask: NonZeroU32,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Outcome>> {
        self.poll_wait(engine, &words[0], expected, mask, cx)
    }

    fn cancel(&mut self) {
        self.cancel();
    }

    fn is_armed(&self) -> bool {
        self.is_armed()
    }

    fn outcome(end: Outcome) -> Outcome {
        end
    }
}

impl Waits for RawWaitAny<ModelWord> {
    type End = (usize, Outcome);

    fn poll(
        &mut self,
        engine: &Engine<ModelWord>,
        words: &[ModelWord],
        expected: u32,
        mask: NonZeroU32,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(usize, Outcome)>> {
        let targets = words.iter().map(|word| RawTarget { engine, word, expected, mask });
        self.poll_wait(targets, cx).map_ok(|first| (first.index, first.outcome))
    }

    fn cancel(&mut self) {
        self.cancel();
    }

    fn is_armed(&self) -> bool {
        self.is_armed()
    }

    fn outcome((_, outcome): (usize, Outcome)) -> Outcome {
        outcome
    }
}

/// An owner of waits, which polls them.
pub(crate) struct OwnerOf<T: Waits> {
    engine: Arc<Engine<ModelWord>>,
    kernel: Arc<Kernel>,
    seen: Arc<AtomicU32>,
    waits: T,
    /// The words of the waits. They are loaded only while nothing is armed.
    pub(crate) words: Vec<ModelWord>,
    pub(crate) expected: u32,
    pub(crate) mask: NonZeroU32,
    /// The waker of the latest poll that was pending.
    task: Option<Arc<Task>>,
    /// Wakers call the engine when they are called, and when they are dropped.
    pub(crate) reentrant: bool,
}

impl<T: Waits> OwnerOf<T> {
    /// An owner of waits on `words` while they are 0, which it has not begun. It adds the wakes that it sees to `seen`.
    pub(crate) fn new(
        engine: &Arc<Engine<ModelWord>>,
        kernel: &Arc<Kernel>,
        seen: &Arc<AtomicU32>,
        waits: T,
        words: &[&ModelWord],
    ) -> Self {
        Self {
            engine: engine.clone(),
            kernel: kernel.clone(),
            seen: seen.clone(),
            waits,
            words: words.iter().copied().cloned().collect(),
            expected: 0,
            mask: NonZeroU32::MAX,
            task: None,
            reentrant: false,
        }
    }

    /// Polls with a waker that no poll had before.
    pub(crate) fn poll(&mut self) -> Seen<T::End> {
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

    fn look(&mut self, waker: &Waker) -> Seen<T::End> {
        let cx = &mut Context::from_waker(waker);
        match self.waits.poll(&self.engine, &self.words, self.expected, self.mask, cx) {
            Poll::Pending => None,
            Poll::Ready(end) => {
                assert!(!self.waits.is_armed(), "all waits are over");
                self.task = None;
                if matches!(end, Ok(end) if T::outcome(end) == Outcome::Woken) {
                    self.seen.fetch_add(1, Ordering::Relaxed);
                }
                Some(end.map_err(|error| error.kind()))
            }
        }
    }

    /// What became of the wait in the end. If its task has something to see, the task was told: the waker of the latest
    /// poll was called.
    pub(crate) fn finish(mut self) -> Seen<T::End> {
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

    /// What became of waits of which a poll saw `seen`.
    pub(crate) fn end(self, seen: Seen<T::End>) -> Seen<T::End> {
        if seen.is_none() {
            return self.finish();
        }
        self.abandon();
        seen
    }

    /// Drops the waits, after the owner's own handles to the words.
    pub(crate) fn abandon(mut self) {
        self.words.clear();
        self.waits.cancel();
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

impl ReenterOnDrop {
    pub(crate) fn new(engine: &Arc<Engine<ModelWord>>) -> Self {
        Self(Arc::downgrade(engine))
    }
}

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
