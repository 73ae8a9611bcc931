//! A queue of waits of the model kernel: the model of a ring.

use super::{Ended, Kernel, ModelWord, Queued, Refusal};
use crate::queue::{Completion, Ending, FutexWord as _, Queue, Usage};
use crate::sync::{Ordering, lock};
use std::collections::BTreeSet;
use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;

/// One queue of waits.
pub(super) struct ModelQueue {
    kernel: Arc<Kernel>,
    index: usize,
    /// The waits that are armed but not submitted, with their expected values.
    unsubmitted: Vec<(u32, Queued)>,
}

impl ModelQueue {
    pub(super) fn new(kernel: Arc<Kernel>, index: usize) -> Self {
        Self { kernel, index, unsubmitted: Vec::new() }
    }
}

impl ModelQueue {
    /// Cancels a wait in the kernel that was cancelled before the kernel had it.
    fn cancel_withdrawn(&self, handle: u32) {
        let mut bucket = lock(&self.kernel.bucket);
        let is_it = |queued: &Queued| queued.queue == self.index && queued.handle == handle;
        let posted = bucket.cancel_where(&self.kernel.options, is_it);
        drop(bucket);
        if posted {
            self.kernel.signal();
        }
    }
}

impl Queue<ModelWord> for ModelQueue {
    fn is_lost(&self) -> bool {
        self.index < self.kernel.lost.load(Ordering::Relaxed)
    }

    fn watch(&self, key: usize) -> io::Result<()> {
        lock(&self.kernel.bucket).queues[self.index].watched = Some(key);
        Ok(())
    }

    fn arm(&mut self, slot: u32, word: ModelWord, expected: u32, mask: NonZeroU32) -> io::Result<u32> {
        if self.unsubmitted.len() >= self.kernel.options.entries {
            self.submit()?;
        }
        let mut bucket = lock(&self.kernel.bucket);
        if bucket.refuses(Refusal::Refused) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let queue = &mut bucket.queues[self.index];
        assert!(!queue.closed, "armed on a queue that is closed");
        // The smallest free handle, so that handles are soon reused. It differs from the slot's number, and from the handle that
        // was just freed, so that a wait which is armed again gets another one.
        let is_free = |handle: &u32| !queue.pending.contains(handle) && queue.freed != Some(*handle);
        let handle = (100..).find(is_free).expect("a free handle");
        queue.pending.insert(handle);
        self.unsubmitted.push((expected, Queued { queue: self.index, handle, slot, word, mask }));
        Ok(handle)
    }

    fn submit(&mut self) -> io::Result<bool> {
        if self.unsubmitted.is_empty() {
            return Ok(true);
        }
        let mut bucket = lock(&self.kernel.bucket);
        if bucket.refuses(Refusal::Unsubmitted) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let mut posted = false;
        for (expected, queued) in self.unsubmitted.drain(..) {
            // Comparing and queueing are one step under the bucket's lock.
            if queued.word.value() == expected {
                bucket.queued.push_back(queued);
            } else {
                // The completion of a mismatch is posted before the submitting call returns, also if others are delayed.
                let Queued { queue, handle, slot, word, mask } = queued;
                let completion = Completion { slot: Some(slot), word, mask, ending: Ending::Mismatch };
                bucket.post(Ended { queue, handle, completion: Some(completion) });
                posted = true;
            }
        }
        let withdrawn = bucket.queues[self.index].withdrawn.clone();
        drop(bucket);
        if posted {
            self.kernel.signal();
        }
        // Between the submission and these cancels, a wake may find the waits.
        withdrawn.into_iter().for_each(|handle| self.cancel_withdrawn(handle));
        Ok(true)
    }

    fn cancel(&mut self, handle: u32) -> Option<Completion<ModelWord>> {
        let mut bucket = lock(&self.kernel.bucket);
        let index = self.index;
        let queue = &mut bucket.queues[index];
        assert!(
            queue.pending.contains(&handle) && !queue.settled.contains(&handle) && !queue.withdrawn.contains(&handle),
            "cancelled {handle} too late"
        );
        if let Some((_, queued)) = self.unsubmitted.iter().find(|(_, queued)| queued.handle == handle) {
            queue.withdrawn.insert(handle);
            let Queued { slot, word, mask, .. } = queued;
            return Some(Completion { slot: Some(*slot), word: word.clone(), mask: *mask, ending: Ending::Cancelled });
        }
        queue.settled.insert(handle);
        let is_it = |queued: &Queued| queued.queue == index && queued.handle == handle;
        let ending = if bucket.queued.iter().any(is_it) { Ending::Cancelled } else { Ending::Woken };
        let posted = bucket.cancel_where(&self.kernel.options, is_it);
        let decided = bucket.take_ended(index, handle).expect("the wait has ended");
        // If the wait is not queued any more, the kernel's answer is the same as after a wake.
        let spurious = matches!((&ending, &decided.ending), (Ending::Woken, Ending::Cancelled));
        bucket.counts.spurious += u32::from(spurious);
        drop(bucket);
        if posted {
            self.kernel.signal();
        }
        Some(Completion { ending, ..decided })
    }

    fn reap(&mut self) -> Option<Completion<ModelWord>> {
        let mut bucket = lock(&self.kernel.bucket);
        let queue = &mut bucket.queues[self.index];
        loop {
            let Ended { handle, completion, .. } = queue.posted.pop_front()?;
            assert!(queue.pending.remove(&handle), "a completion of no wait: {completion:?}");
            queue.freed = Some(handle);
            if queue.withdrawn.remove(&handle) {
                return completion.map(|completion| Completion { slot: None, ..completion });
            } else if !queue.settled.remove(&handle) {
                return completion;
            }
        }
    }

    fn unreaped(&self) -> usize {
        let bucket = lock(&self.kernel.bucket);
        let queue = &bucket.queues[self.index];
        queue.settled.len() + queue.withdrawn.len()
    }

    /// Does not wait for the queue's task work, but discards it.
    fn close(&mut self, each: &mut dyn FnMut(Completion<ModelWord>)) {
        while let Some(completion) = self.reap() {
            each(completion);
        }
        let (armed, withdrawn): (Vec<u32>, Vec<u32>) = {
            let mut bucket = lock(&self.kernel.bucket);
            let queue = &mut bucket.queues[self.index];
            queue.closed = true;
            let owned: BTreeSet<u32> = queue.pending.difference(&queue.settled).copied().collect();
            owned.into_iter().partition(|handle| !queue.withdrawn.contains(handle))
        };
        for handle in armed {
            self.cancel(handle).into_iter().for_each(&mut *each);
        }
        let mut bucket = lock(&self.kernel.bucket);
        for handle in withdrawn {
            // `None` if the kernel never had the wait.
            let decided = bucket.take_ended(self.index, handle);
            decided.into_iter().for_each(|decided| each(Completion { slot: None, ..decided }));
        }
        bucket.task_work.retain(|ended| ended.queue != self.index);
        let queue = &mut bucket.queues[self.index];
        queue.posted.clear();
        let settled: BTreeSet<u32> = queue.settled.union(&queue.withdrawn).copied().collect();
        assert_eq!(queue.pending, settled, "a wait without an end");
        queue.pending.clear();
        queue.settled.clear();
        queue.withdrawn.clear();
    }

    fn usage(&self) -> Usage {
        Usage { units: 1, handed_on: 0 }
    }
}

impl Drop for ModelQueue {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let bucket = lock(&self.kernel.bucket);
            assert!(bucket.queues[self.index].pending.is_empty(), "a queue was dropped with waits");
        }
    }
}
