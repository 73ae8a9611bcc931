//! Queues that misbehave, behind a backend that does what a test says.

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

/// What all queues of an engine do.
#[derive(Default)]
struct Script {
    /// The kernel drops the completions of all queues that are open: as in a ring, their waits end as possibly woken, and what
    /// they were to free is never freed.
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
        self.unreaped += 1; // its completion was dropped, and frees nothing
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
    (Engine::new(queues).expect("it opens"), script)
}

fn word() -> Word {
    Word::from(Arc::new(AtomicU32::new(0)))
}

fn poll(engine: &Engine<Word>, waiter: &mut RawWaiter<Word>, word: &Word, waker: &Waker) -> Poll<io::Result<Outcome>> {
    waiter.poll_wait(engine, word, 0, MATCH_ANY, &mut Context::from_waker(waker))
}

/// Want of memory makes the kernel drop completions. A ring that lost some takes no more waits. It counted as open for as long as
/// the reactor lived, although it had no waits, and once there were as many of them as there may be rings, no wait could begin.
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
    assert_eq!(open, 0, "queues are open that take no waits");
}

/// It opened one, with a real wait and a real cancel, and closed it again: about 50 µs for each wait on a reactor that is closed.
#[test]
fn a_wait_on_an_engine_that_was_closed_opens_no_queue() {
    let (engine, script) = engine(usize::MAX);
    engine.close();
    let opened = script.opened.load(Ordering::Relaxed);
    let polled = poll(&engine, &mut RawWaiter::new(), &word(), Waker::noop());
    assert!(matches!(&polled, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe), "{polled:?}");
    assert_eq!(script.opened.load(Ordering::Relaxed), opened);
}
