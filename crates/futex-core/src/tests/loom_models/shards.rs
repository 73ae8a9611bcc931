//! An engine with several queues.

use crate::model::Options;
use crate::outcome::Outcome;
use crate::tests::owner::Owner;
use crate::tests::world::{World, join, model, polling, spawn};

fn two_queues() -> World {
    World::with(Options { room: 1, ..Options::default() }, 2)
}

#[test]
fn a_turn_visits_a_queue_whose_first_wait_is_being_armed() {
    model("arm | wake(1), the queue was empty", || {
        let world = World::new();
        let word = world.word();
        let mut owner = world.owner(&word);
        let arming = spawn(move || {
            let seen = owner.poll();
            (owner, seen)
        });
        let woken = word.wake(1);
        let (owner, seen) = join(arming);
        // The test does not settle: the turn of the wake must be enough.
        match seen {
            Some(_) => owner.abandon(),
            None => assert_eq!(owner.finish(), (woken == 1).then_some(Ok(Outcome::Woken))),
        }
        world.check();
    });
}

#[test]
fn a_wake_reaches_a_wait_in_a_queue_that_is_being_opened() {
    model("arm in a second queue | wake(2)", || {
        let world = two_queues();
        let word = world.word();
        let first = world.armed(&word);
        let mut second = world.owner(&word);
        let arming = spawn(move || {
            let seen = second.poll();
            (second, seen)
        });
        let woken = word.wake(2);
        let (second, seen) = join(arming);
        let second = match seen {
            Some(seen) => {
                second.abandon();
                Some(seen)
            }
            None => second.finish(),
        };
        assert_eq!(first.finish(), Some(Ok(Outcome::Woken)));
        assert_eq!(second, (woken == 2).then_some(Ok(Outcome::Woken)));
        world.check();
    });
}

#[test]
fn turns_and_drops_meet_in_two_queues() {
    model("drop in one queue | turn | wake(1), a waiter in the other", || {
        let world = two_queues();
        let word = world.word();
        let (first, second) = (world.armed(&word), world.armed(&word));
        assert_eq!(world.engine.stats().units, 2);
        let dropping = spawn(move || first.abandon());
        let turning = world.turning();
        assert_eq!(word.wake(1), 1);
        join(dropping);
        join(turning);
        world.settle();
        assert_eq!(second.finish(), Some(Ok(Outcome::Woken)));
        world.check();
    });
}

#[test]
fn two_threads_that_open_a_queue_at_once_both_arm() {
    model("arm | arm, no room in the first queue", || {
        let world = two_queues();
        let word = world.word();
        let first = world.armed(&word);
        let arming = [(); 2].map(|()| {
            let mut owner = world.owner(&word);
            spawn(move || {
                assert!(owner.poll().is_none());
                owner
            })
        });
        let [second, third] = arming.map(join);
        assert_eq!(word.wake(u32::MAX), 3);
        for owner in [first, second, third] {
            assert_eq!(owner.finish(), Some(Ok(Outcome::Woken)));
        }
        world.check();
    });
}

#[test]
fn two_threads_that_find_no_room_at_once_open_one_queue() {
    model("arm | arm, no room in the first queue, and room for both in the next one", || {
        let world = World::with(Options { room: 2, ..Options::default() }, 4);
        let word = world.word();
        let first = [(); 2].map(|()| world.armed(&word));
        let arming = [(); 2].map(|()| polling(world.owner(&word)));
        let owners = arming.map(|arming| {
            let (owner, seen) = join(arming);
            assert!(seen.is_none());
            owner
        });
        assert_eq!(world.engine.stats().units, 2);
        first.into_iter().chain(owners).for_each(Owner::abandon);
        world.check();
    });
}

#[test]
fn two_threads_that_crowd_the_only_queue_at_once_both_arm() {
    model("arm | arm, no room in the only queue", || {
        let world = World::with(Options { room: 1, ..Options::default() }, 1);
        let word = world.word();
        let first = world.armed(&word);
        let arming = [(); 2].map(|()| polling(world.owner(&word)));
        let owners = arming.map(|arming| {
            let (owner, seen) = join(arming);
            assert!(seen.is_none());
            owner
        });
        assert_eq!(world.engine.stats().units, 1);
        assert_eq!(word.wake(u32::MAX), 3);
        for owner in owners.into_iter().chain([first]) {
            assert_eq!(owner.finish(), Some(Ok(Outcome::Woken)));
        }
        world.check();
    });
}

/// When the two waits have left, their two queues are empty. That is one empty queue too many, so one is closed.
fn a_wait_begins_while_a_queue_is_closed(name: &str, epoll: bool) {
    model(name, move || {
        let world = World::with(Options { room: 1, epoll, ..Options::default() }, 4);
        let (word, other) = (world.word(), world.word());
        let leaving = [world.armed(&other), world.armed(&other)];
        let dropping = spawn(move || leaving.map(Owner::abandon));
        let owner = world.armed(&word);
        assert_eq!(word.wake(1), 1);
        join(dropping);
        // The test does not settle: the turn of the wake must be enough.
        assert_eq!(owner.finish(), Some(Ok(Outcome::Woken)));
        assert_eq!(world.engine.stats().units, 1, "one queue stays for the next wait");
        world.armed(&word).abandon();
        assert_eq!(world.engine.stats().units, 1, "the next wait is armed in it");
        world.check();
    });
}

#[test]
fn a_wait_that_begins_while_empty_queues_are_closed_is_armed_in_an_open_one() {
    a_wait_begins_while_a_queue_is_closed("drop of all waits of two queues | arm, wake(1)", false);
}

/// The next queue gets the key of the closed queue, which may have been reported.
#[test]
fn a_queue_that_gets_the_key_of_a_closed_one_is_reported() {
    a_wait_begins_while_a_queue_is_closed(
        "drop of all waits of two queues | arm, wake(1), if queues are reported",
        true,
    );
}

#[test]
fn closing_an_engine_while_it_closes_an_empty_queue_leaves_no_queue_open() {
    model("drop of all waits of two queues | close", || {
        let world = two_queues();
        let word = world.word();
        let leaving = [world.armed(&word), world.armed(&word)];
        let closing = world.closing();
        leaving.into_iter().for_each(Owner::abandon);
        join(closing);
        assert_eq!(world.engine.stats().units, 0);
        world.check();
    });
}

#[test]
fn a_wake_that_meets_the_drop_which_closes_its_queue_is_handed_on() {
    model("drop of all waits of two queues | wake(1), a waiter in a third queue", || {
        let world = World::with(Options { room: 1, ..Options::default() }, 3);
        let word = world.word();
        let [first, second, third] = [(); 3].map(|()| world.armed(&word));
        let dropping = spawn(move || [first, second].map(Owner::abandon));
        assert_eq!(word.wake(1), 1);
        join(dropping);
        assert_eq!(third.finish(), Some(Ok(Outcome::Woken)));
        world.check();
    });
}

/// Regression: both threads saw one empty queue too many, and each of them closed one.
#[test]
fn two_drops_that_empty_two_queues_at_once_close_one() {
    model("drop of all waits of a queue | drop of all waits of another", || {
        let world = two_queues();
        let word = world.word();
        let [first, second] = [(); 2].map(|()| world.armed(&word));
        let dropping = spawn(move || first.abandon());
        second.abandon();
        join(dropping);
        assert_eq!(world.engine.stats().units, 1, "one queue stays for the next wait");
        world.check();
    });
}
