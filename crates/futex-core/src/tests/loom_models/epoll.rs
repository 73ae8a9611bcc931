//! An engine that asks which of its queues have completions. Each turn visits the first queue, and each call reports up to two
//! others.

use crate::model::Options;
use crate::outcome::Outcome;
use crate::tests::owner::Owner;
use crate::tests::world::{World, join, model, polling, spawn};

/// Makes an engine of up to `count` queues, each with room for one wait.
fn queues(count: usize) -> World {
    World::with(Options { room: 1, epoll: true, ..Options::default() }, count)
}

#[test]
fn a_turn_visits_more_queues_than_are_reported_at_once() {
    model("turn | wake(5), five queues", || {
        let world = queues(5);
        let word = world.word();
        let owners = [(); 5].map(|()| world.armed(&word));
        assert_eq!(world.engine.stats().units, 5);
        let turning = world.turning();
        assert_eq!(word.wake(5), 5);
        join(turning);
        for owner in owners {
            assert_eq!(owner.finish(), Some(Ok(Outcome::Woken)));
        }
        world.check();
    });
}

#[test]
fn two_turns_at_once_each_visit_the_queues_reported_to_them() {
    model("wake(2) | wake(2) of another word, four queues", || {
        let world = queues(4);
        let words = [world.word(), world.word()];
        let owners = [0, 1, 0, 1].map(|index: usize| world.armed(&words[index]));
        let [first, second] = words;
        let waking = spawn(move || assert_eq!(first.wake(2), 2));
        assert_eq!(second.wake(2), 2);
        join(waking);
        // The test does not settle, because a queue that was reported to one turn is not reported again.
        for owner in owners {
            assert_eq!(owner.finish(), Some(Ok(Outcome::Woken)));
        }
        world.check();
    });
}

#[test]
fn a_queue_that_is_opened_during_a_turn_is_visited() {
    model("arm in a third queue | wake(3) | turn", || {
        let world = queues(3);
        let word = world.word();
        let owners = [world.armed(&word), world.armed(&word)];
        let arming = polling(world.owner(&word));
        let turning = world.turning();
        let woken = word.wake(3);
        join(turning);
        let (late, seen) = join(arming);
        for owner in owners {
            assert_eq!(owner.finish(), Some(Ok(Outcome::Woken)));
        }
        assert_eq!(late.end(seen), (woken == 3).then_some(Ok(Outcome::Woken)));
        world.check();
    });
}

/// The next queue gets the key of a closed queue, which was watched.
#[test]
fn a_queue_that_fills_a_gap_is_visited() {
    model("arm in the place of a closed queue | wake(4)", || {
        let world = queues(8);
        let word = world.word();
        let [first, second, third, last] = [(); 4].map(|()| world.armed(&word));
        [first, second, third].into_iter().for_each(Owner::abandon);
        assert_eq!(world.engine.stats().units, 3, "one of the empty queues in front of the last one is closed");
        let owners = [world.armed(&word), world.armed(&word), last];
        let arming = polling(world.owner(&word));
        let woken = word.wake(4);
        let (late, seen) = join(arming);
        for owner in owners {
            assert_eq!(owner.finish(), Some(Ok(Outcome::Woken)));
        }
        assert_eq!(late.end(seen), (woken == 4).then_some(Ok(Outcome::Woken)));
        world.check();
    });
}
