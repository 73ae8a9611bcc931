//! The model kernel: futexes, and queues whose waits get completions.
//!
//! `docs/loom.md` lists its assumptions about Linux: the kernel compares and queues in one step, wakes first in first out, counts
//! wakes, lets either the wake or the cancel win, may end waits unasked, and posts completions at once or later. The model
//! asserts its own guarantees to the engine and the obligations of the engine.

mod queue;
mod word;

use self::queue::ModelQueue;
pub(crate) use self::word::ModelWord;
use crate::engine::{Engine, Queues};
use crate::queue::{Completion, Ending, Queue, READY, Ready};
use crate::sync::{AtomicBool, Mutex, Ordering, lock};
use arrayvec::ArrayVec;
use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroU32;
// Not loom's type, because this atomic orders nothing.
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock, Weak};

/// The behaviour of a model kernel and its queues.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// True if completions are decided at once but posted only by [`Kernel::task_work`], like those of io_uring.
    pub(crate) delayed: bool,
    /// Number of waits that a queue takes before the engine opens the next one.
    pub(crate) room: usize,
    /// Number of unsubmitted waits that a queue holds. With more, the queue submits them unasked.
    pub(crate) entries: usize,
    /// True if the engine learns from edges which queues have completions.
    pub(crate) epoll: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { delayed: false, room: usize::MAX, entries: usize::MAX, epoll: false }
    }
}

/// The model kernel.
pub(crate) struct Kernel {
    bucket: Mutex<Bucket>,
    /// The model of an eventfd. It is set when a completion is posted, and cleared by the thread that turns the engine for it.
    signal: AtomicBool,
    engine: OnceLock<Weak<Engine<ModelWord>>>,
    options: Options,
    /// Number of queues that are lost, from the first one on.
    lost: AtomicUsize,
}

/// The data that the lock of a hash bucket guards. There is one bucket.
#[derive(Default)]
struct Bucket {
    /// The waits that wakes find, the longest waiting first.
    queued: VecDeque<Queued>,
    /// The ended waits whose completion was not posted yet.
    task_work: VecDeque<Ended>,
    queues: Vec<QueueState>,
    /// Keys of the watched queues that got completions since the engine last asked.
    ready: VecDeque<usize>,
    counts: Counts,
    /// The kind of step that will fail, and the number of such steps that succeed first.
    refusal: Option<(Refusal, usize)>,
}

/// A wait in the bucket, where wakes find it.
struct Queued {
    queue: usize,
    handle: u32,
    slot: u32,
    word: ModelWord,
    mask: NonZeroU32,
}

/// A wait whose end is decided.
struct Ended {
    queue: usize,
    handle: u32,
    /// `None` if a later cancel has already returned the completion. Reaping then only frees the handle.
    completion: Option<Completion<ModelWord>>,
}

#[derive(Default)]
struct QueueState {
    posted: VecDeque<Ended>,
    /// Handles of the waits whose completion was not reaped.
    pending: BTreeSet<u32>,
    /// Handle that was freed last.
    freed: Option<u32>,
    /// The pending handles whose wait was cancelled in the kernel. Reaping their completion only frees the handle.
    settled: BTreeSet<u32>,
    /// The pending handles whose wait was cancelled before the kernel had it. The next submission passes such a wait to the
    /// kernel and then cancels it there, unless a wake is faster. Its completion has no slot.
    withdrawn: BTreeSet<u32>,
    /// Key under which the engine learns of completions, if the queue is watched.
    watched: Option<usize>,
    closed: bool,
}

/// The numbers of wakes, by their fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Wakes that the kernel counted for callers of [`ModelWord::wake`].
    pub(crate) counted: u32,
    /// Wakes that were handed on and found a waiter.
    pub(crate) handed_on: u32,
    /// Wakes that were handed on and found nobody.
    pub(crate) evaporated: u32,
    /// Cancelled waits that are reported as woken, because the kernel had ended them unasked but not posted that yet.
    pub(crate) spurious: u32,
}

/// The step at which an arming fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The queue does not take the wait.
    Refused,
    /// The kernel does not take the queue's waits.
    Unsubmitted,
}

impl Kernel {
    pub(crate) fn new(options: Options) -> Arc<Self> {
        Arc::new(Self {
            bucket: Mutex::new(Bucket::default()),
            signal: AtomicBool::new(false),
            engine: OnceLock::new(),
            options,
            lost: AtomicUsize::new(0),
        })
    }

    /// Makes an engine on this kernel. Completions cause no turns.
    pub(crate) fn idle_engine(self: &Arc<Self>, spread: usize) -> Arc<Engine<ModelWord>> {
        let kernel = self.clone();
        let ready = self.options.epoll.then(|| Box::new(ReadyQueues(self.clone())) as Box<dyn Ready>);
        let room = self.options.room;
        let queues = Queues { open: Box::new(move || Ok(kernel.open())), room, spread, ready };
        Arc::new(Engine::new(queues).expect("the first queue opens"))
    }

    /// Makes an engine on this kernel. Each completion causes a turn.
    pub(crate) fn engine(self: &Arc<Self>, spread: usize) -> Arc<Engine<ModelWord>> {
        let engine = self.idle_engine(spread);
        assert!(self.engine.set(Arc::downgrade(&engine)).is_ok(), "a kernel of the models has one engine");
        engine
    }

    /// Returns the number of waits of each queue.
    #[cfg(not(loom))]
    pub(crate) fn waits(&self) -> Vec<usize> {
        lock(&self.bucket).queues.iter().map(|queue| queue.pending.len()).collect()
    }

    /// Makes the first `count` queues lost: they take no more waits.
    #[cfg(not(loom))]
    pub(crate) fn lose_queues(&self, count: usize) {
        self.lost.store(count, Ordering::Relaxed);
    }

    /// Makes a word of value 0.
    pub(crate) fn word(self: &Arc<Self>) -> ModelWord {
        self.word_of(None)
    }

    /// Makes a word of value 0. The last handle to the word drops `owner`.
    pub(crate) fn word_of(self: &Arc<Self>, owner: Option<Arc<dyn Send + Sync>>) -> ModelWord {
        ModelWord::new(self, owner)
    }

    /// Posts the completions of ended waits. (In Linux the thread that submitted the wait does this.)
    pub(crate) fn task_work(&self) {
        let mut bucket = lock(&self.bucket);
        let work = std::mem::take(&mut bucket.task_work);
        let any = !work.is_empty();
        for ended in work {
            bucket.post(ended);
        }
        drop(bucket);
        if any {
            self.signal();
        }
    }

    /// Ends all queued waits unasked, like the exit of the thread that armed them.
    pub(crate) fn thread_exits(&self) {
        let mut bucket = lock(&self.bucket);
        let posted = bucket.cancel_where(&self.options, |_| true);
        drop(bucket);
        if posted {
            self.signal();
        }
    }

    /// Ends one wait on `word` unasked: the one with `nth` others on the word in front of it.
    pub(crate) fn loses(&self, word: &ModelWord, nth: usize) {
        let mut bucket = lock(&self.bucket);
        let mut seen = 0;
        let posted = bucket.cancel_where(&self.options, |queued| {
            let here = queued.word.same(word);
            seen += usize::from(here);
            here && seen == nth + 1
        });
        drop(bucket);
        if posted {
            self.signal();
        }
    }

    /// Makes the next arming fail at the step `refusal`.
    pub(crate) fn refuse_next(&self, refusal: Refusal) {
        self.refuse_after(0, refusal);
    }

    /// Makes an arming fail at the step `refusal`, after `count` such steps have succeeded.
    pub(crate) fn refuse_after(&self, count: usize, refusal: Refusal) {
        lock(&self.bucket).refusal = Some((refusal, count));
    }

    /// Turns the engine while the signal is set, like a driver that polls the eventfd.
    pub(crate) fn drive(&self) {
        // Ordering: AcqRel. The partner is the swap in `signal`: a thread that finds the signal set sees all that happened
        // before the completion was posted.
        while self.signal.swap(false, Ordering::AcqRel) {
            if let Some(engine) = self.engine.get().and_then(Weak::upgrade) {
                engine.turn();
            }
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        lock(&self.bucket).counts
    }

    /// Returns the number of waits on `word` that a wake can find.
    pub(crate) fn waiters(&self, word: &ModelWord) -> usize {
        lock(&self.bucket).queued.iter().filter(|queued| queued.word.same(word)).count()
    }

    /// Asserts that the kernel has no wait and no completion.
    pub(crate) fn assert_empty(&self) {
        let bucket = lock(&self.bucket);
        assert!(bucket.queued.is_empty(), "a wait is left in the kernel");
        assert!(bucket.task_work.is_empty(), "a wait is left in the kernel's task work");
        for queue in &bucket.queues {
            // The bucket is empty, so the withdrawn waits were never passed to the kernel.
            assert!(queue.pending == queue.withdrawn && queue.posted.is_empty(), "completions were not reaped");
        }
    }

    fn signal(&self) {
        // A swap and not a store: writing an eventfd is a read-modify-write too, and loom 0.7 may order a store before a swap
        // that did not see it.
        self.signal.swap(true, Ordering::AcqRel);
    }

    fn open(self: &Arc<Self>) -> Box<dyn Queue<ModelWord>> {
        let mut bucket = lock(&self.bucket);
        bucket.queues.push(QueueState::default());
        Box::new(ModelQueue::new(self.clone(), bucket.queues.len() - 1))
    }

    fn wake(&self, word: &ModelWord, n: u32, mask: NonZeroU32, user: bool) -> u32 {
        let mut bucket = lock(&self.bucket);
        let mut woken = 0;
        while woken < n {
            let found =
                bucket.queued.iter().position(|queued| queued.word.same(word) && queued.mask.get() & mask.get() != 0);
            let Some(queued) = found.and_then(|position| bucket.queued.remove(position)) else { break };
            bucket.end(&self.options, queued, Ending::Woken);
            woken += 1;
        }
        match (user, woken) {
            (true, _) => bucket.counts.counted += woken,
            (false, 0) => bucket.counts.evaporated += 1,
            (false, _) => bucket.counts.handed_on += woken,
        }
        drop(bucket);
        if woken > 0 && !self.options.delayed {
            self.signal();
        }
        woken
    }
}

impl Bucket {
    /// Ends a wait that was taken out of the bucket.
    fn end(&mut self, options: &Options, queued: Queued, ending: Ending) {
        let Queued { queue, handle, slot, word, mask } = queued;
        let ended = Ended { queue, handle, completion: Some(Completion { slot: Some(slot), word, mask, ending }) };
        if options.delayed {
            self.task_work.push_back(ended);
        } else {
            self.post(ended);
        }
    }

    fn post(&mut self, ended: Ended) {
        let queue = ended.queue;
        let queue = &mut self.queues[queue];
        queue.posted.push_back(ended);
        if let Some(index) = queue.watched.filter(|index| !self.ready.contains(index)) {
            self.ready.push_back(index);
        }
    }

    /// Returns true if this step must fail.
    fn refuses(&mut self, step: Refusal) -> bool {
        match &mut self.refusal {
            Some((refusal, left)) if *refusal == step && *left > 0 => {
                *left -= 1;
                false
            }
            Some((refusal, _)) if *refusal == step => {
                self.refusal = None;
                true
            }
            _ => false,
        }
    }

    /// Takes the completion of a wait that has ended and was not reaped.
    fn take_ended(&mut self, queue: usize, handle: u32) -> Option<Completion<ModelWord>> {
        let mut all = self.task_work.iter_mut().chain(&mut self.queues[queue].posted);
        all.find(|ended| ended.queue == queue && ended.handle == handle)?.completion.take()
    }

    /// Cancels the queued waits that are `chosen`. Returns true if a completion was posted.
    fn cancel_where(&mut self, options: &Options, mut chosen: impl FnMut(&Queued) -> bool) -> bool {
        let mut any = false;
        for queued in std::mem::take(&mut self.queued) {
            if chosen(&queued) {
                self.end(options, queued, Ending::Cancelled);
                any = true;
            } else {
                self.queued.push_back(queued);
            }
        }
        any && !options.delayed
    }
}

/// The model of an epoll of the queues.
struct ReadyQueues(Arc<Kernel>);

impl Ready for ReadyQueues {
    fn take(&self) -> ArrayVec<usize, READY> {
        let mut bucket = lock(&self.0.bucket);
        let count = bucket.ready.len().min(READY);
        bucket.ready.drain(..count).collect()
    }
}
