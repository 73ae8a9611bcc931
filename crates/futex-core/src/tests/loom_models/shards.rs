//! An engine with several queues.

use crate::model::Options;
use crate::outcome::Outcome;
use crate::tests::world::{World, join, model, spawn};

fn two_queues() -> World {
    World::with(Options { room: 1, ..Options::default() }, 2)
}

#[test]
fn a_turn_passes_no_queue_by_whose_first_wait_is_being_armed() {
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
        // Nobody settles: the turn of the wake was the last one.
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
