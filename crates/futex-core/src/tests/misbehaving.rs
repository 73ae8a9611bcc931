//! An engine on queues that misbehave as a test demands.

use crate::engine::{Engine, Queues};
use crate::outcome::Outcome;
use crate::queue::{Completion, Ending, Queue, Usage};
use crate::waiter::RawWaiter;
use futex_sys::Word;
use futex_sys::futex::MATCH_ANY;
use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

/// The behaviour of all queues of an engine.
#[derive(Default)]
struct Script {
    /// True if the kernel drops the completions of all open queues. Like on a ring, their waits then end as possibly woken, and
    /// their identifiers are never freed.
    loses: AtomicBool,
    opened: AtomicUsize,
    closed: AtomicUsize,
}

struct MisbehavingQueue {
    script: Arc<Script>,
    waits: BTreeMap<u32, (Word, NonZeroU32)>,
    lost: bool,
    unreaped: usize,
}

impl Queue<Word> for MisbehavingQueue {
    fn is_lost(&self) -> bool {
        self.lost
    }

    fn arm(&mut self, slot: u32, word: Word, _expected: u32, mask: NonZeroU32) -> io::Result<u32> {
        if self.lost {
            return Err(io::Error::other("the queue takes no more waits"));
        }
        self.waits.insert(slot, (word, mask));
        Ok(slot)
    }

    fn submit(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    fn cancel(&mut self, handle: u32) -> Option<Completion<Word>> {
        let (word, mask) = self.waits.remove(&handle)?;
        Some(Completion { slot: Some(handle), word, mask, ending: Ending::Cancelled })
    }

    fn reap(&mut self) -> Option<Completion<Word>> {
        if self.script.loses.load(Ordering::Relaxed) {
            self.lost = true;
        }
        if !self.lost {
            return None;
        }
        let (slot, (word, mask)) = self.waits.pop_first()?;
        self.unreaped += 1; // its completion was dropped, so it frees nothing
        Some(Completion { slot: Some(slot), word, mask, ending: Ending::Woken })
    }

    fn unreaped(&self) -> usize {
        if self.lost { 0 } else { self.unreaped }
    }

    fn close(&mut self, each: &mut dyn FnMut(Completion<Word>)) {
        while let Some((slot, (word, mask))) = self.waits.pop_first() {
            each(Completion { slot: Some(slot), word, mask, ending: Ending::Cancelled });
        }
    }

    fn usage(&self) -> Usage {
        Usage { units: 1, handed_on: 0 }
    }
}

impl Drop for MisbehavingQueue {
    fn drop(&mut self) {
        self.script.closed.fetch_add(1, Ordering::Relaxed);
    }
}

fn engine(spread: usize) -> (Engine<Word>, Arc<Script>) {
    let script = Arc::new(Script::default());
    let of_queues = script.clone();
    let open = move || {
        of_queues.opened.fetch_add(1, Ordering::Relaxed);
        let script = of_queues.clone();
        Ok(Box::new(MisbehavingQueue { script, waits: BTreeMap::new(), lost: false, unreaped: 0 })
            as Box<dyn Queue<Word>>)
    };
    let queues = Queues { open: Box::new(open), room: 4, spread, ready: None };
    (Engine::new(queues).expect("the first queue opens"), script)
}

fn word() -> Word {
    Word::from(Arc::new(AtomicU32::new(0)))
}

fn poll(engine: &Engine<Word>, waiter: &mut RawWaiter<Word>, word: &Word, waker: &Waker) -> Poll<io::Result<Outcome>> {
    waiter.poll_wait(engine, word, 0, MATCH_ANY, &mut Context::from_waker(waker))
}

/// If memory is short, the kernel drops completions. A ring that lost completions takes no more waits. Regression: such a ring
/// stayed open for as long as the reactor lived. When the number of lost rings reached the maximum, no wait could begin.
#[test]
fn a_queue_that_is_lost_is_closed_once_its_waits_have_ended() {
    const SPREAD: usize = 3;
    let (engine, script) = engine(SPREAD);
    let word = word();
    for time in 0..2 * SPREAD {
        let mut waiter = RawWaiter::new();
        let polled = poll(&engine, &mut waiter, &word, Waker::noop());
        assert!(polled.is_pending(), "after {time} queues were lost: {polled:?}, {:?}", engine.stats());
        script.loses.store(true, Ordering::Relaxed);
        engine.turn();
        script.loses.store(false, Ordering::Relaxed);
        assert!(matches!(poll(&engine, &mut waiter, &word, Waker::noop()), Poll::Ready(Ok(Outcome::Woken))));
    }
    let open = script.opened.load(Ordering::Relaxed) - script.closed.load(Ordering::Relaxed);
    assert_eq!(open, 0, "queues that take no waits are still open");
}

/// Regression: each wait on a closed reactor opened a ring, with a trial wait and a cancel, and closed it: about 50 µs.
#[test]
fn a_wait_on_an_engine_that_was_closed_opens_no_queue() {
    let (engine, script) = engine(usize::MAX);
    engine.close();
    let opened = script.opened.load(Ordering::Relaxed);
    let polled = poll(&engine, &mut RawWaiter::new(), &word(), Waker::noop());
    assert!(matches!(&polled, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe), "{polled:?}");
    assert_eq!(script.opened.load(Ordering::Relaxed), opened);
}
