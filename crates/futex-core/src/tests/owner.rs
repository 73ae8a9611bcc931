//! The owners of the waits of a model. An owner has one wait, or several at once.

use crate::engine::Engine;
use crate::model::{Kernel, ModelWord};
use crate::outcome::Outcome;
use crate::wait_any::{RawTarget, RawWaitAny};
use crate::waiter::RawWaiter;
use std::fmt::Debug;
use std::io;
use std::num::NonZeroU32;
// Not loom's types, because these atomics order nothing: they are loaded when all threads are joined, or by the thread that
// stored them.
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::panicking;

/// The result of an owner's poll. `None` is `Pending`.
pub(crate) type Seen<End = Outcome> = Option<Result<End, io::ErrorKind>>;

/// An owner of one wait.
pub(crate) type Owner = OwnerOf<RawWaiter<ModelWord>>;

/// An owner of several waits. The first one that ends, ends all.
pub(crate) type AnyOwner = OwnerOf<RawWaitAny<ModelWord>>;

/// One wait or several, polled by an owner.
pub(crate) trait Waits {
    /// The successful result.
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

/// An owner of waits.
pub(crate) struct OwnerOf<T: Waits> {
    engine: Arc<Engine<ModelWord>>,
    kernel: Arc<Kernel>,
    seen: Arc<AtomicU32>,
    waits: T,
    /// The words of the waits. They are loaded only while no wait is armed.
    pub(crate) words: Vec<ModelWord>,
    pub(crate) expected: u32,
    pub(crate) mask: NonZeroU32,
    /// Task of the latest poll that was pending.
    task: Option<Arc<Task>>,
    /// True if the wakers call the engine when they are called and when they are dropped.
    pub(crate) reentrant: bool,
}

impl<T: Waits> OwnerOf<T> {
    /// Makes an owner that will wait on `words` while they are 0. It adds the wakes that it sees to `seen`.
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

    /// Polls with a new waker.
    pub(crate) fn poll(&mut self) -> Seen<T::End> {
        let task = Arc::new(Task {
            called: AtomicBool::new(false),
            engine: if self.reentrant { Arc::downgrade(&self.engine) } else { Weak::new() },
        });
        // The owner keeps the task and not a waker, so each waker is the last handle to its `Handle`, whose `Drop` then runs.
        let (waker, task) = (Waker::from(Arc::new(Handle(task.clone()))), task);
        let seen = self.poll_with(&waker);
        if seen.is_none() {
            self.task = Some(task);
        }
        drop(waker);
        self.kernel.drive(); // because arming may have set the signal
        seen
    }

    fn poll_with(&mut self, waker: &Waker) -> Seen<T::End> {
        let cx = &mut Context::from_waker(waker);
        match self.waits.poll(&self.engine, &self.words, self.expected, self.mask, cx) {
            Poll::Pending => None,
            Poll::Ready(end) => {
                assert!(!self.waits.is_armed(), "a wait is armed after the end");
                self.task = None;
                if matches!(end, Ok(end) if T::outcome(end) == Outcome::Woken) {
                    self.seen.fetch_add(1, Ordering::Relaxed);
                }
                Some(end.map_err(|error| error.kind()))
            }
        }
    }

    /// Polls a last time, and returns the result. Asserts that the waker of the latest poll was called exactly if the result is
    /// ready.
    pub(crate) fn finish(mut self) -> Seen<T::End> {
        let task = self.task.clone();
        let seen = self.poll_with(Waker::noop());
        if let Some(task) = task {
            assert_eq!(
                seen.is_some(),
                task.called.load(Ordering::Relaxed),
                "the latest waker was called for nothing, or not called: {seen:?}"
            );
        }
        self.abandon();
        seen
    }

    /// Ends the owner after a poll that returned `seen`. Returns the final result.
    pub(crate) fn end(self, seen: Seen<T::End>) -> Seen<T::End> {
        if seen.is_none() {
            return self.finish();
        }
        self.abandon();
        seen
    }

    /// Drops the owner's handles to the words, and then the waits.
    pub(crate) fn abandon(mut self) {
        self.words.clear();
        self.waits.cancel();
        self.kernel.drive();
    }
}

/// A task of a model.
struct Task {
    called: AtomicBool,
    /// Engine that the task's wakers call. Empty if they call none.
    engine: Weak<Engine<ModelWord>>,
}

/// The data of the wakers of a task.
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

/// An object whose `Drop` calls the engine.
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
