//! Wakes at the same time as the arming of a wait, or as its polls.

use crate::outcome::Outcome;
use crate::tests::world::{World, exhaustive_model, join, model, spawn};

#[test]
fn a_change_and_its_wake_are_seen_by_a_wait_that_begins_meanwhile() {
    exhaustive_model("change, then wake | arm", || {
        let world = World::new();
        let word = world.word();
        let mut owner = world.owner(&word);
        let arming = spawn(move || {
            let seen = owner.poll();
            (owner, seen)
        });
        word.set(1);
        word.wake(1);
        let (owner, seen) = join(arming);
        world.settle();
        let seen = match seen {
            Some(seen) => {
                owner.abandon();
                seen
            }
            None => owner.finish().expect("the word has changed, and there was a wake"),
        };
        assert!(seen.is_ok());
        world.check();
    });
}

#[test]
fn a_change_and_its_wake_are_seen_if_completions_come_late() {
    model("change, then wake | arm | task work", || {
        let world = World::delayed();
        let word = world.word();
        let mut owner = world.owner(&word);
        let arming = spawn(move || {
            let seen = owner.poll();
            (owner, seen)
        });
        let kernel = world.kernel.clone();
        let work = spawn(move || {
            kernel.task_work();
            kernel.drive();
        });
        word.set(1);
        word.wake(1);
        let (owner, seen) = join(arming);
        join(work);
        world.settle();
        match seen {
            Some(_) => owner.abandon(),
            None => assert_eq!(owner.finish(), Some(Ok(Outcome::Woken))),
        }
        world.check();
    });
}

#[test]
fn a_wake_that_is_counted_is_seen_by_the_wait_that_began_meanwhile() {
    exhaustive_model("wake | arm", || {
        let world = World::new();
        let word = world.word();
        let mut owner = world.owner(&word);
        let arming = spawn(move || {
            let seen = owner.poll();
            (owner, seen)
        });
        let woken = word.wake(1);
        let (owner, seen) = join(arming);
        world.settle();
        let seen = match seen {
            Some(seen) => {
                owner.abandon();
                Some(seen)
            }
            None => owner.finish(),
        };
        assert_eq!(seen, (woken == 1).then_some(Ok(Outcome::Woken)));
        world.check();
    });
}

#[test]
fn a_task_that_waits_until_the_word_changes_sees_each_change() {
    model("change, then wake, twice | wait, twice", || {
        let world = World::new();
        let word = world.word();
        let mut owner = world.owner(&word);
        let waiting = spawn(move || {
            let first = owner.poll();
            owner.expected = u32::from(first.is_some()); // if the owner saw the first change, it waits for the second one
            let second = owner.poll();
            (owner, first.is_some(), second)
        });
        for value in [1, 2] {
            word.set(value);
            word.wake(1);
        }
        let (owner, saw_first, second) = join(waiting);
        world.settle();
        // Both changes have been made, so the owner must not sleep.
        match second {
            Some(_) => owner.abandon(),
            None => assert!(owner.finish().is_some(), "the owner sleeps; it saw the first change: {saw_first}"),
        }
        world.check();
    });
}

#[test]
fn the_waker_of_the_latest_poll_is_called() {
    exhaustive_model("poll with another waker | wake", || {
        let world = World::new();
        let word = world.word();
        let mut owner = world.armed(&word);
        let polling = spawn(move || {
            let seen = owner.poll();
            (owner, seen)
        });
        assert_eq!(word.wake(1), 1);
        let (owner, seen) = join(polling);
        world.settle();
        match seen {
            Some(seen) => {
                assert_eq!(seen, Ok(Outcome::Woken));
                owner.abandon();
            }
            // `finish` checks that the latest waker was called.
            None => assert_eq!(owner.finish(), Some(Ok(Outcome::Woken))),
        }
        world.check();
    });
}

#[test]
fn the_waker_of_the_latest_poll_is_called_if_another_thread_turns() {
    model("poll, poll | wake | turn", || {
        let world = World::delayed();
        let word = world.word();
        let mut owner = world.armed(&word);
        assert_eq!(word.wake(1), 1);
        let polling = spawn(move || {
            let seen = owner.poll().or_else(|| owner.poll());
            (owner, seen)
        });
        let turning = world.turning();
        world.settle();
        let (owner, seen) = join(polling);
        join(turning);
        world.settle();
        match seen {
            Some(_) => owner.abandon(),
            None => assert_eq!(owner.finish(), Some(Ok(Outcome::Woken))),
        }
        world.check();
    });
}
