//! Waits whose owner leaves while a wake arrives.

use crate::outcome::Outcome;
use crate::tests::world::{World, join, model, spawn};
use std::num::NonZeroU32;

#[test]
fn a_wake_that_meets_a_drop_reaches_the_second_waiter() {
    model("drop | wake(1), a second waiter", || {
        let world = World::new();
        let word = world.word();
        let (first, second) = (world.armed(&word), world.armed(&word));
        let dropping = spawn(move || first.abandon());
        assert_eq!(word.wake(1), 1, "there is always a waiter");
        join(dropping);
        world.settle();
        assert_eq!(second.finish(), Some(Ok(Outcome::Woken)));
        world.check();
    });
}

#[test]
fn a_wake_that_meets_a_drop_reaches_the_second_waiter_if_completions_come_late() {
    model("drop | wake(1) | task work, a second waiter", || {
        let world = World::delayed();
        let word = world.word();
        let (first, second) = (world.armed(&word), world.armed(&word));
        let dropping = spawn(move || first.abandon());
        let kernel = world.kernel.clone();
        let work = spawn(move || {
            kernel.task_work();
            kernel.drive();
        });
        assert_eq!(word.wake(1), 1, "there is always a waiter");
        join(dropping);
        join(work);
        // The completion of the handed-on wake is posted late too.
        world.settle();
        world.settle();
        assert_eq!(second.finish(), Some(Ok(Outcome::Woken)));
        world.check();
    });
}

#[test]
fn a_wake_that_was_decided_before_the_drop_is_handed_on() {
    model("drop | task work of a wake, a second waiter", || {
        let world = World::delayed();
        let word = world.word();
        let (first, second) = (world.armed(&word), world.armed(&word));
        assert_eq!(word.wake(1), 1);
        // From here on the first wait owns the wake, although its completion is posted later.
        let dropping = spawn(move || first.abandon());
        world.settle();
        join(dropping);
        world.settle();
        world.settle();
        assert_eq!(second.finish(), Some(Ok(Outcome::Woken)));
        world.check();
    });
}

#[test]
fn a_wake_of_two_waiters_of_which_one_leaves_is_not_lost() {
    model("wake(1) | drop of the second | poll of the first", || {
        let world = World::new();
        let word = world.word();
        let (mut first, second) = (world.armed(&word), world.armed(&word));
        let dropping = spawn(move || second.abandon());
        let polling = spawn(move || {
            let seen = first.poll();
            (first, seen)
        });
        assert_eq!(word.wake(1), 1);
        join(dropping);
        let (first, seen) = join(polling);
        world.settle();
        match seen {
            Some(_) => first.abandon(),
            // The first waiter is woken first.
            None => assert_eq!(first.finish(), Some(Ok(Outcome::Woken))),
        }
        world.check();
    });
}

#[test]
fn a_wake_passes_two_owners_that_leave_and_reaches_a_third_waiter() {
    model("drop | drop | wake(1), a third waiter", || {
        let world = World::new();
        let word = world.word();
        let (first, second, third) = (world.armed(&word), world.armed(&word), world.armed(&word));
        let dropping = [first, second].map(|owner| spawn(move || owner.abandon()));
        assert_eq!(word.wake(1), 1);
        let [(), ()] = dropping.map(join);
        world.settle();
        assert_eq!(third.finish(), Some(Ok(Outcome::Woken)));
        world.check();
    });
}

#[test]
fn a_wake_is_handed_on_under_the_mask_of_the_wait_that_consumed_it() {
    model("drop | wake of its mask, waiters of both masks", || {
        let world = World::new();
        let word = world.word();
        let (one, two) = (NonZeroU32::new(1).unwrap(), NonZeroU32::new(2).unwrap());
        let mut owners = [one, two, one].map(|mask| world.owner_with(&word, mask));
        assert!(owners.iter_mut().all(|owner| owner.poll().is_none()));
        let [first, other, second] = owners;
        let dropping = spawn(move || first.abandon());
        assert_eq!(word.wake_with(1, one), 1);
        join(dropping);
        world.settle();
        assert_eq!(other.finish(), None, "the wake was for another mask");
        assert_eq!(second.finish(), Some(Ok(Outcome::Woken)));
        world.check();
    });
}

#[test]
fn the_end_of_a_wait_does_not_end_the_next_wait_in_its_slot() {
    model("drop, arm | wake(1) | task work", || {
        let world = World::delayed();
        let (word, other) = (world.word(), world.word());
        let first = world.armed(&word);
        let mut next = world.owner(&other);
        let dropping = spawn(move || {
            first.abandon();
            assert!(next.poll().is_none());
            next
        });
        let kernel = world.kernel.clone();
        let work = spawn(move || {
            kernel.task_work();
            kernel.drive();
        });
        word.wake(1);
        let next = join(dropping);
        join(work);
        world.settle();
        assert_eq!(next.finish(), None, "the end of the first wait has ended the next one");
        world.check();
    });
}
