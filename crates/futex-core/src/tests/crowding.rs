//! The rules that say which queue takes a wait, when another queue is opened, and when a queue is closed.

use crate::engine::Engine;
use crate::model::{Kernel, ModelWord, Options};
use crate::waiter::RawWaiter;
use futex_sys::futex::MATCH_ANY;
use std::sync::Arc;
use std::task::{Context, Waker};

const ROOM: usize = 4;
/// Number of empty queues that stay open beyond the number of queues in use: `pool::SPARE` in the models.
const SPARE: usize = 1;

/// Waits and their engine.
struct Crowd {
    kernel: Arc<Kernel>,
    engine: Arc<Engine<ModelWord>>,
    word: ModelWord,
    waits: Vec<RawWaiter<ModelWord>>,
}

impl Crowd {
    fn new(queues: usize) -> Self {
        Self::with(Options::default(), queues)
    }

    fn with(options: Options, queues: usize) -> Self {
        let kernel = Kernel::new(Options { room: ROOM, ..options });
        let (engine, word) = (kernel.idle_engine(queues), kernel.word());
        Self { kernel, engine, word, waits: Vec::new() }
    }

    /// Arms `count` more waits. Returns the number of waits of each queue that was ever opened.
    fn grow(&mut self, count: usize) -> Vec<usize> {
        for _ in 0..count {
            let mut wait = RawWaiter::new();
            let cx = &mut Context::from_waker(Waker::noop());
            let polled = wait.poll_wait(&self.engine, &self.word, 0, MATCH_ANY, cx);
            assert!(polled.is_pending(), "{polled:?}");
            self.waits.push(wait);
        }
        self.kernel.waits()
    }

    fn open(&self) -> usize {
        self.engine.stats().units
    }
}

#[test]
fn a_crowded_queue_takes_another_room_of_waits_before_the_next_queue_does() {
    const QUEUES: usize = 3;
    let mut crowd = Crowd::new(QUEUES);
    assert_eq!(crowd.grow(QUEUES * ROOM), [ROOM; QUEUES]);
    for times in 2..8 {
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
fn waits_are_spread_evenly_over_crowded_queues() {
    for queues in [1, 2, 3, 64, 65, 66, 130, 195] {
        let mut crowd = Crowd::new(queues);
        for times in 1..4 {
            assert_eq!(crowd.grow(queues * ROOM), vec![times * ROOM; queues]);
        }
    }
}

/// A queue of which a quarter is free takes waits before another queue is opened or crowded.
#[test]
fn free_room_is_used_before_another_queue_is_opened() {
    for queues in [1, 2, 66, 195] {
        let mut crowd = Crowd::new(queues);
        crowd.grow(queues * ROOM);
        for first in 0..ROOM {
            let mut index = 0;
            crowd.waits.retain(|_| {
                index += 1;
                index % ROOM != first
            });
            assert_eq!(crowd.grow(queues), vec![ROOM; queues]);
        }
    }
}

/// Regression: a burst of waits left all of its queues open for ever.
#[test]
fn empty_queues_are_closed_except_for_a_few() {
    let mut crowd = Crowd::new(usize::MAX);
    for _ in 0..5 {
        crowd.grow(50 * ROOM);
        assert!(crowd.open() >= 50);
        while let Some(wait) = crowd.waits.pop() {
            drop(wait);
            let used = crowd.kernel.waits().iter().filter(|&&waits| waits > 0).count();
            assert!(crowd.open() <= 2 * used + SPARE, "{} are open, of which {used} have waits", crowd.open());
        }
        assert!(crowd.open() > 0);
    }
    let stats = crowd.engine.stats();
    assert_eq!((stats.armed, stats.cancelled), (5 * 50 * 4, 5 * 50 * 4), "the statistics do not include closed queues");
}

#[test]
fn queues_whose_waits_were_woken_are_closed_by_the_polls_that_see_it() {
    let mut crowd = Crowd::new(usize::MAX);
    crowd.grow(50 * ROOM);
    assert_eq!(crowd.word.wake(u32::MAX) as usize, 50 * ROOM);
    crowd.engine.turn();
    assert_eq!(crowd.open(), 50, "the owners have not polled");
    for wait in &mut crowd.waits {
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(wait.poll_wait(&crowd.engine, &crowd.word, 0, MATCH_ANY, cx).is_ready());
    }
    assert_eq!(crowd.open(), SPARE);
}

#[test]
fn queues_of_waits_that_were_dropped_are_closed_by_the_turn_that_takes_the_last_completions() {
    let mut crowd = Crowd::with(Options { delayed: true, ..Options::default() }, usize::MAX);
    crowd.grow(50 * ROOM);
    crowd.waits.clear();
    assert_eq!(crowd.open(), 50, "the kernel has completions still to post");
    crowd.kernel.task_work();
    crowd.engine.turn();
    assert_eq!(crowd.open(), SPARE);
}

#[test]
fn queues_take_no_more_waits_than_they_have_room_for_once_a_crowd_has_left() {
    const QUEUES: usize = 3;
    let mut crowd = Crowd::new(QUEUES);
    assert_eq!(crowd.grow(QUEUES * 2 * ROOM), [2 * ROOM; QUEUES]);
    crowd.waits.clear();
    assert_eq!(crowd.open(), SPARE);
    let mut counts = crowd.grow(QUEUES * ROOM);
    counts.retain(|&count| count > 0);
    assert_eq!(counts, [ROOM; QUEUES]);
}

#[test]
fn waits_that_come_and_go_open_and_close_no_queue() {
    let mut crowd = Crowd::new(usize::MAX);
    crowd.grow(50 * ROOM);
    crowd.waits.truncate(30 * ROOM);
    let ever = crowd.kernel.waits().len();
    for _ in 0..10 {
        crowd.grow(20 * ROOM);
        crowd.waits.truncate(30 * ROOM);
    }
    assert_eq!(crowd.kernel.waits().len(), ever, "queues were opened");
    assert_eq!(crowd.open(), ever, "queues were closed");
}

/// A ring that lost completions takes no more waits.
#[test]
fn a_queue_that_is_lost_gets_no_more_waits() {
    let mut crowd = Crowd::new(3);
    crowd.grow(2);
    crowd.kernel.lose_queues(1);
    assert_eq!(crowd.grow(1), [2, 1]);
    // This holds also at the maximum number of queues.
    assert_eq!(crowd.grow(3 * ROOM), [2, ROOM + 1, 2 * ROOM]);
    crowd.kernel.lose_queues(3);
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(RawWaiter::new().poll_wait(&crowd.engine, &crowd.word, 0, MATCH_ANY, cx).is_ready());
}

/// The shards and the pool hold each other, so dropping the engine has to break the cycle.
#[test]
fn an_engine_that_is_dropped_leaves_no_queue() {
    let mut crowd = Crowd::new(usize::MAX);
    crowd.grow(5 * ROOM);
    let Crowd { kernel, engine, waits, word } = crowd;
    drop((waits, engine, word));
    assert_eq!(Arc::strong_count(&kernel), 1, "a queue of the engine still holds the kernel");
}

/// Regression: after a burst that exceeded the maximum number of queues, a queue took as many waits as in the burst before the
/// next one got any, although all queues had room. A cancel on a ring with thousands of waits takes a hundred times as long.
#[test]
fn queues_that_were_crowded_take_no_more_than_their_room_while_others_have_room() {
    const QUEUES: usize = 3;
    let mut crowd = Crowd::new(QUEUES);
    assert_eq!(crowd.grow(QUEUES * 10 * ROOM), [10 * ROOM; QUEUES]);
    // One of every `ROOM` waits stays, so each queue keeps a few.
    let mut index = 0;
    crowd.waits.retain(|_| {
        index += 1;
        index <= QUEUES * ROOM && index % ROOM == 1
    });
    let left = crowd.kernel.waits();
    let grown = crowd.grow(QUEUES * ROOM - left.iter().sum::<usize>());
    assert!(grown.iter().all(|&waits| waits <= ROOM), "{left:?} waits, and then {grown:?}");
}
