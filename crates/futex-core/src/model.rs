//! A kernel for the models: futexes, and queues of waits that get completions.
//!
//! It is what `docs/loom.md` says that it is, and no more: compare-and-queue in one step, first in first out, wakes of up
//! to `n` that are counted, cancels with one winner, waits that end although nobody asked, and completions that are posted
//! at once or later. It checks what it promises to the engine, and what the engine promises to it.

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
// What loom need not know of: it orders nothing.
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock, Weak};

/// How a kernel behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// The ends of waits are decided at once and posted by [`Kernel::task_work`], as io_uring does it.
    pub(crate) delayed: bool,
    /// Number of waits that a queue takes before the engine opens the next one.
    pub(crate) room: usize,
    /// A queue that has taken this many waits hands them to the kernel before it takes another one, without being asked.
    pub(crate) entries: usize,
    /// The engine is told which queues have completions, by edges.
    pub(crate) epoll: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { delayed: false, room: usize::MAX, entries: usize::MAX, epoll: false }
    }
}

/// The kernel.
pub(crate) struct Kernel {
    bucket: Mutex<Bucket>,
    /// What an eventfd is: set when a completion is posted, and cleared by who turns the engine for it.
    signal: AtomicBool,
    engine: OnceLock<Weak<Engine<ModelWord>>>,
    options: Options,
    /// Number of the first queues that take no more waits, because completions of theirs were lost.
    lost: AtomicUsize,
}

/// What the lock of a hash bucket guards. There is one bucket.
#[derive(Default)]
struct Bucket {
    /// The waits that wakes find, the longest waiting first.
    queued: VecDeque<Queued>,
    /// The ends that are decided and not posted.
    task_work: VecDeque<Ended>,
    queues: Vec<QueueState>,
    /// The queues that are watched and got completions since the engine asked, by the engine's numbers.
    ready: VecDeque<usize>,
    counts: Counts,
    /// The step that fails, after this many of its kind that do not.
    refusal: Option<(Refusal, usize)>,
}

/// A wait that wakes find.
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
    /// `None` if the wait was cancelled since: it only frees the handle.
    completion: Option<Completion<ModelWord>>,
}

#[derive(Default)]
struct QueueState {
    posted: VecDeque<Ended>,
    /// The waits whose completion was not reaped.
    pending: BTreeSet<u32>,
    /// The handle that was freed last.
    freed: Option<u32>,
    /// Those of them that were cancelled: their completion only frees the handle.
    settled: BTreeSet<u32>,
    /// Those that were cancelled before the kernel had them. It gets them with the next submission, which then takes them out
    /// again, unless a wake is faster. Their completion is of no slot.
    withdrawn: BTreeSet<u32>,
    /// The engine's number of this queue, if the engine is told of its completions.
    watched: Option<usize>,
    closed: bool,
}

/// What became of wakes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Wakes that the kernel counted for callers of [`ModelWord::wake`].
    pub(crate) counted: u32,
    /// Wakes that were handed on and found a waiter.
    pub(crate) handed_on: u32,
    /// Wakes that were handed on and found nobody.
    pub(crate) evaporated: u32,
    /// Waits that were cancelled and taken for woken, because the kernel had ended them and not posted how.
    pub(crate) spurious: u32,
}

/// How an arming fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The queue does not take the wait.
    Refused,
    /// The kernel does not take what the queue has.
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

    /// An engine on this kernel that nobody turns by himself.
    pub(crate) fn idle_engine(self: &Arc<Self>, spread: usize) -> Arc<Engine<ModelWord>> {
        let kernel = self.clone();
        let ready = self.options.epoll.then(|| Box::new(ReadyQueues(self.clone())) as Box<dyn Ready>);
        let room = self.options.room;
        let queues = Queues { open: Box::new(move || Ok(kernel.open())), room, spread, ready };
        Arc::new(Engine::new(queues).expect("it opens"))
    }

    /// An engine on this kernel, whose completions it is turned for.
    pub(crate) fn engine(self: &Arc<Self>, spread: usize) -> Arc<Engine<ModelWord>> {
        let engine = self.idle_engine(spread);
        assert!(self.engine.set(Arc::downgrade(&engine)).is_ok(), "a kernel of the models has one engine");
        engine
    }

    /// How many waits each queue has.
    #[cfg(not(loom))]
    pub(crate) fn waits(&self) -> Vec<usize> {
        lock(&self.bucket).queues.iter().map(|queue| queue.pending.len()).collect()
    }

    /// The first queues take no more waits from now on.
    #[cfg(not(loom))]
    pub(crate) fn lose_queues(&self, count: usize) {
        self.lost.store(count, Ordering::Relaxed);
    }

    /// A word of value 0.
    pub(crate) fn word(self: &Arc<Self>) -> ModelWord {
        self.word_of(None)
    }

    /// A word of value 0 that is somebody's, whose `Drop` is run with the last handle.
    pub(crate) fn word_of(self: &Arc<Self>, owner: Option<Arc<dyn Send + Sync>>) -> ModelWord {
        ModelWord::new(self, owner)
    }

    /// Posts what is decided. The thread that submitted a wait does it, wherever it is.
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

    /// Ends all waits that are queued, although nobody asked.
    pub(crate) fn thread_exits(&self) {
        let mut bucket = lock(&self.bucket);
        let posted = bucket.cancel_where(&self.options, |_| true);
        drop(bucket);
        if posted {
            self.signal();
        }
    }

    /// Ends one wait, although nobody asked.
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

    /// How the next arming fails.
    pub(crate) fn refuse_next(&self, refusal: Refusal) {
        self.refuse_after(0, refusal);
    }

    /// What fails after this many armings, or submissions, that do not.
    pub(crate) fn refuse_after(&self, count: usize, refusal: Refusal) {
        lock(&self.bucket).refusal = Some((refusal, count));
    }

    /// Turns the engine for completions that were posted, as whoever polls the eventfd does.
    pub(crate) fn drive(&self) {
        // Ordering: AcqRel with `signal`: whoever is told of a completion sees what was done before it was posted.
        while self.signal.swap(false, Ordering::AcqRel) {
            if let Some(engine) = self.engine.get().and_then(Weak::upgrade) {
                engine.turn();
            }
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        lock(&self.bucket).counts
    }

    /// How many waits of a word a wake would find.
    pub(crate) fn waiters(&self, word: &ModelWord) -> usize {
        lock(&self.bucket).queued.iter().filter(|queued| queued.word.same(word)).count()
    }

    /// Nothing of any wait is left.
    pub(crate) fn assert_empty(&self) {
        let bucket = lock(&self.bucket);
        assert!(bucket.queued.is_empty(), "a wait is left in the kernel");
        assert!(bucket.task_work.is_empty(), "a wait is left in the kernel's task work");
        for queue in &bucket.queues {
            // The kernel has nothing, so what was withdrawn is what it never had.
            assert!(queue.pending == queue.withdrawn && queue.posted.is_empty(), "completions were not reaped");
        }
    }

    fn signal(&self) {
        // A swap and no store, as writing an eventfd is one; and loom 0.7 may order a store before a swap that did not see
        // it.
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
    /// Decides the end of a wait.
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

    /// True if this step is the one that is to fail.
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

    /// Takes what is known of a wait whose end was decided and not reaped.
    fn take_ended(&mut self, queue: usize, handle: u32) -> Option<Completion<ModelWord>> {
        let mut all = self.task_work.iter_mut().chain(&mut self.queues[queue].posted);
        all.find(|ended| ended.queue == queue && ended.handle == handle)?.completion.take()
    }

    /// Cancels those of the queued waits that are `chosen`. Returns whether a completion was posted.
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

/// What an epoll of the queues is.
struct ReadyQueues(Arc<Kernel>);

impl Ready for ReadyQueues {
    fn take(&self) -> ArrayVec<usize, READY> {
        let mut bucket = lock(&self.0.bucket);
        let count = bucket.ready.len().min(READY);
        bucket.ready.drain(..count).collect()
    }
}
