//! Which queue takes a wait where all have as many as they have room for, and no further one is to be opened.

use crate::engine::Engine;
use crate::model::{Kernel, ModelWord, Options};
use crate::shard::Request;
use crate::waiter::RawWaiter;
use futex_sys::futex::MATCH_ANY;
use std::sync::Arc;
use std::task::{Context, Waker};

const ROOM: usize = 4;

/// Waits, and the engine that has them.
struct Crowd {
    kernel: Arc<Kernel>,
    engine: Arc<Engine<ModelWord>>,
    word: ModelWord,
    waits: Vec<RawWaiter<ModelWord>>,
}

impl Crowd {
    fn new(queues: usize) -> Self {
        let kernel = Kernel::new(Options { room: ROOM, ..Options::default() });
        let (engine, word) = (kernel.idle_engine(queues), kernel.word());
        Self { kernel, engine, word, waits: Vec::new() }
    }

    /// Arms further waits. Returns how many each queue has then.
    fn grow(&mut self, count: usize) -> Vec<usize> {
        let request = Request { word: &self.word, expected: 0, mask: MATCH_ANY };
        for _ in 0..count {
            let mut wait = RawWaiter::new();
            let polled = wait.poll_wait(&self.engine, &request, &mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending(), "{polled:?}");
            self.waits.push(wait);
        }
        self.kernel.waits()
    }
}

#[test]
fn a_crowded_queue_takes_as_many_more_as_it_has_room_for_before_another_one_does() {
    const QUEUES: usize = 3;
    let mut crowd = Crowd::new(QUEUES);
    assert_eq!(crowd.grow(QUEUES * ROOM), [ROOM; QUEUES]);
    for times in 2..5 {
        for crowded in 1..=QUEUES {
            let grown = crowd.grow(1);
            assert_eq!(crowd.grow(ROOM - 2).iter().zip(&grown).filter(|(now, before)| now != before).count(), 1);
            let mut counts = crowd.grow(1);
            counts.sort_unstable();
            let expected = |queue| if queue < QUEUES - crowded { (times - 1) * ROOM } else { times * ROOM };
            assert_eq!(counts, (0..QUEUES).map(expected).collect::<Vec<_>>());
        }
    }
}

#[test]
fn every_crowded_queue_gets_its_turn() {
    for queues in [1, 2, 3, 64, 65, 66, 130, 195] {
        let mut crowd = Crowd::new(queues);
        for times in 1..4 {
            assert_eq!(crowd.grow(queues * ROOM), vec![times * ROOM; queues]);
        }
    }
}

#[test]
fn room_that_came_free_is_soon_found() {
    for queues in [8, 66, 130, 195] {
        let mut crowd = Crowd::new(queues);
        crowd.grow(queues * ROOM);
        // The first half is crowded, and one wait more, when all waits of the last queues leave.
        crowd.grow(queues / 2 * ROOM + 1);
        let emptied = queues / 4;
        crowd.waits.drain((queues - emptied) * ROOM..queues * ROOM);
        crowd.engine.turn();
        let is_empty = |&&waits: &&usize| waits == 0;
        assert_eq!(crowd.kernel.waits().iter().filter(is_empty).count(), emptied);
        // With each wait two queues are looked at.
        crowd.grow(queues.div_ceil(2) + emptied * ROOM);
        assert!(crowd.kernel.waits().iter().all(|&waits| waits >= ROOM), "{:?}", crowd.kernel.waits());
    }
}
