//! No foreign code runs under a lock. The wakers and words of these models call the engine when they are called or dropped,
//! which deadlocks if the thread holds a lock.

use crate::model::Refusal;
use crate::outcome::Outcome;
use crate::tests::world::{World, join, model, polling, spawn};
use std::io::ErrorKind::OutOfMemory;

#[test]
fn wakers_are_called_and_dropped_without_a_lock() {
    model("poll with another waker | wake, wakers that call the engine", || {
        let world = World::new();
        let word = world.word();
        let mut owner = world.owner(&word);
        owner.reentrant = true;
        assert!(owner.poll().is_none());
        let polling = spawn(move || {
            let seen = owner.poll();
            (owner, seen)
        });
        assert_eq!(word.wake(1), 1);
        let (owner, seen) = join(polling);
        match seen {
            Some(_) => owner.abandon(),
            None => assert_eq!(owner.finish(), Some(Ok(Outcome::Woken))),
        }
        world.check();
    });
}

#[test]
fn the_waker_of_a_wait_that_is_dropped_is_dropped_without_a_lock() {
    model("drop | turn, wakers that call the engine", || {
        let world = World::delayed();
        let word = world.word();
        let mut owner = world.owner(&word);
        owner.reentrant = true;
        assert!(owner.poll().is_none());
        let dropping = spawn(move || owner.abandon());
        world.settle();
        join(dropping);
        world.check();
    });
}

#[test]
fn wakers_are_called_without_a_lock_when_the_engine_is_closed() {
    model("close | turn, wakers that call the engine", || {
        let world = World::new();
        let word = world.word();
        let mut owners = [world.owner(&word), world.owner(&word)];
        for owner in &mut owners {
            owner.reentrant = true;
            assert!(owner.poll().is_none());
        }
        let turning = world.turning();
        world.engine.close();
        join(turning);
        for owner in owners {
            assert!(owner.finish().is_some());
        }
        world.check();
    });
}

#[test]
fn the_waker_of_a_wait_that_cannot_be_armed_is_dropped_without_a_lock() {
    for refusal in [Refusal::Refused, Refusal::Unsubmitted] {
        model("arm, which fails | turn, wakers that call the engine", move || {
            let world = World::new();
            let word = world.word();
            let mut owner = world.owner(&word);
            owner.reentrant = true;
            world.kernel.refuse_next(refusal);
            let engine = world.engine.clone();
            let turning = spawn(move || engine.turn());
            assert_eq!(owner.poll(), Some(Err(OutOfMemory)));
            owner.abandon();
            join(turning);
            world.check();
        });
    }
}

#[test]
fn the_waker_of_a_wait_that_begins_during_a_close_is_dropped_without_a_lock() {
    model("arm | close, wakers that call the engine", || {
        let world = World::new();
        let word = world.word();
        let mut owner = world.owner(&word);
        owner.reentrant = true;
        let arming = spawn(move || {
            let seen = owner.poll();
            (owner, seen)
        });
        world.engine.close();
        let (owner, seen) = join(arming);
        match seen {
            Some(_) => owner.abandon(),
            None => assert!(owner.finish().is_some()),
        }
        world.check();
    });
}

#[test]
fn the_last_handle_to_a_word_is_dropped_without_a_lock() {
    model("drop | task work, a word whose owner calls the engine", || {
        let world = World::delayed();
        let word = world.kernel.word_of(Some(world.reenter_on_drop()));
        let owner = world.armed(&word);
        drop(word);
        let dropping = spawn(move || owner.abandon());
        world.settle();
        join(dropping);
        world.check();
    });
}

#[test]
fn the_last_handle_to_a_word_whose_wait_was_closed_is_dropped_without_a_lock() {
    model("drop | close, a word whose owner calls the engine", || {
        let world = World::new();
        let word = world.kernel.word_of(Some(world.reenter_on_drop()));
        let owner = world.armed(&word);
        drop(word);
        let dropping = spawn(move || owner.abandon());
        world.engine.close();
        join(dropping);
        world.check();
    });
}

/// The queue keeps the word of a refused wait until the kernel has had the wait, or until the queue is closed.
#[test]
fn the_last_handle_to_a_word_whose_wait_was_refused_is_dropped_without_a_lock() {
    model("arm, after a refusal | turn, a word whose owner calls the engine", || {
        let world = World::new();
        let word = world.kernel.word_of(Some(world.reenter_on_drop()));
        let mut refused = world.owner(&word);
        drop(word);
        world.kernel.refuse_next(Refusal::Unsubmitted);
        assert_eq!(refused.poll(), Some(Err(OutOfMemory)));
        refused.abandon();
        let other = world.word();
        let arming = polling(world.owner(&other));
        world.engine.turn();
        let (next, seen) = join(arming);
        assert_eq!(next.end(seen), None);
        world.check();
    });
}

#[test]
fn the_last_handle_to_a_word_is_dropped_without_a_lock_by_the_poll_that_sees_the_wake() {
    model("poll | wake(1), a word whose owner calls the engine", || {
        let world = World::new();
        let word = world.kernel.word_of(Some(world.reenter_on_drop()));
        let mut owner = world.armed(&word);
        owner.words = vec![world.word()]; // not used while a wait is armed
        let polling = polling(owner);
        assert_eq!(word.wake(1), 1);
        drop(word);
        let (owner, seen) = join(polling);
        assert_eq!(owner.end(seen), Some(Ok(Outcome::Woken)));
        world.check();
    });
}
