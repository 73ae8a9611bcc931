//! A queue of waits of the model kernel: what a ring is.

use super::{Kernel, ModelWord, Queued, Refusal};
use crate::backend::{Backend, Completion, Ending, Fit, Usage};
use crate::sync::{Ordering, lock};
use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;

/// One queue of waits.
pub(super) struct ModelQueue {
    kernel: Arc<Kernel>,
    index: usize,
    /// Armed and not submitted, with the values that they expect.
    unsubmitted: Vec<(u32, Queued)>,
}

impl ModelQueue {
    pub(super) fn new(kernel: Arc<Kernel>, index: usize) -> Self {
        Self { kernel, index, unsubmitted: Vec::new() }
    }
}

impl Backend<ModelWord> for ModelQueue {
    fn fit(&self, _word: &ModelWord) -> Fit {
        Fit::Good
    }

    fn room(&self) -> usize {
        self.kernel.options.room
    }

    fn arm(&mut self, id: u32, word: ModelWord, expected: u32, mask: NonZeroU32) -> io::Result<()> {
        let mut bucket = lock(&self.kernel.bucket);
        if let Some(Refusal::Refused) = bucket.refusal {
            bucket.refusal = None;
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let queue = &mut bucket.queues[self.index];
        assert!(!queue.closed, "armed on a queue that is closed");
        assert!(queue.pending.insert(id), "{id} is armed twice");
        self.unsubmitted.push((expected, Queued { queue: self.index, id, word, mask }));
        Ok(())
    }

    fn batches(&self) -> bool {
        true
    }

    fn submit(&mut self) -> io::Result<bool> {
        if self.unsubmitted.is_empty() {
            return Ok(true);
        }
        let mut bucket = lock(&self.kernel.bucket);
        if bucket.refusal.take().is_some() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let mut posted = false;
        for (expected, queued) in self.unsubmitted.drain(..) {
            // The comparison and the queueing are one step under the bucket's lock.
            if queued.word.value.load(Ordering::Acquire) == expected {
                bucket.queued.push_back(queued);
            } else {
                // Posted before the call that submits it returns, whoever runs task work.
                let Queued { id, word, mask, .. } = queued;
                bucket.queues[self.index].posted.push_back(Completion { id, word, mask, ending: Ending::Mismatch });
                posted = true;
            }
        }
        drop(bucket);
        if posted {
            self.kernel.signal();
        }
        Ok(true)
    }

    fn cancel(&mut self, id: u32) {
        assert!(self.submit().is_ok(), "the models refuse one call at a time");
        let mut bucket = lock(&self.kernel.bucket);
        assert!(bucket.queues[self.index].pending.contains(&id), "cancelled {id}, which is not armed");
        let index = self.index;
        let posted = bucket.cancel_where(&self.kernel.options, |queued| queued.queue == index && queued.id == id);
        drop(bucket);
        if posted {
            self.kernel.signal();
        }
    }

    fn reap(&mut self) -> Option<Completion<ModelWord>> {
        let _ = self.submit();
        let mut bucket = lock(&self.kernel.bucket);
        let queue = &mut bucket.queues[self.index];
        let completion = queue.posted.pop_front()?;
        assert!(queue.pending.remove(&completion.id), "a completion of no wait: {completion:?}");
        Some(completion)
    }

    fn close(&mut self, each: &mut dyn FnMut(Completion<ModelWord>)) {
        assert!(self.submit().is_ok(), "the models refuse one call at a time");
        let mut bucket = lock(&self.kernel.bucket);
        let index = self.index;
        bucket.cancel_where(&self.kernel.options, |queued| queued.queue == index);
        for (queue, completion) in std::mem::take(&mut bucket.task_work) {
            bucket.queues[queue].posted.push_back(completion);
        }
        let queue = &mut bucket.queues[index];
        queue.closed = true;
        let ended = std::mem::take(&mut queue.posted);
        for completion in &ended {
            assert!(queue.pending.remove(&completion.id), "a completion of no wait: {completion:?}");
        }
        assert!(queue.pending.is_empty(), "a wait without an end");
        // The task work of the other queues was run as well.
        let others = bucket.queues.iter().any(|queue| !queue.posted.is_empty());
        drop(bucket);
        if others {
            self.kernel.signal();
        }
        ended.into_iter().for_each(each);
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
