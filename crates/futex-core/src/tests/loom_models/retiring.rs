//! Queues that are opened and closed at the same time as late completions, closing, crowding and unasked ends.

use crate::model::Options;
use crate::outcome::Outcome;
use crate::tests::owner::Owner;
use crate::tests::world::{World, join, model, polling, spawn};
use std::io::ErrorKind::BrokenPipe;

/// A queue is empty only when the completions of its cancelled waits were reaped.
#[test]
fn a_queue_is_closed_only_after_the_completions_of_its_cancelled_waits() {
    model("drop of all waits of two queues | task work, turn | arm, wake(1)", || {
        let world = World::with(Options { room: 1, delayed: true, ..Options::default() }, 4);
        let (word, other) = (world.word(), world.word());
        let leaving = [world.armed(&other), world.armed(&other)];
        let dropping = spawn(move || leaving.map(Owner::abandon));
        let posting = {
            let kernel = world.kernel.clone();
            spawn(move || {
                kernel.task_work();
                kernel.drive();
            })
        };
        let owner = world.armed(&word);
        assert_eq!(word.wake(1), 1);
        join(dropping);
        join(posting);
        world.settle();
        assert_eq!(owner.finish(), Some(Ok(Outcome::Woken)));
        world.check();
    });
}

#[test]
fn waits_end_in_a_crowded_queue_while_another_queue_is_closed() {
    model("arm, no room | drop of two, with queues at their limit", || {
        let world = World::with(Options { room: 1, ..Options::default() }, 3);
        let (word, other) = (world.word(), world.word());
        let leaving = [world.armed(&other), world.armed(&other)];
        let stays = world.armed(&word);
        let arming = polling(world.owner(&word));
        leaving.into_iter().for_each(Owner::abandon);
        let (owner, seen) = join(arming);
        assert!(seen.is_none());
        assert_eq!(word.wake(2), 2);
        assert_eq!(owner.finish(), Some(Ok(Outcome::Woken)));
        assert_eq!(stays.finish(), Some(Ok(Outcome::Woken)));
        world.check();
    });
}

#[test]
fn a_wait_that_begins_while_the_engine_and_a_queue_are_closed_ends() {
    model("drop of all waits of two queues | arm | close", || {
        let world = World::with(Options { room: 1, ..Options::default() }, 4);
        let (word, other) = (world.word(), world.word());
        let leaving = [world.armed(&other), world.armed(&other)];
        let dropping = spawn(move || leaving.map(Owner::abandon));
        let arming = polling(world.owner(&word));
        world.engine.close();
        world.kernel.assert_empty();
        join(dropping);
        let (owner, seen) = join(arming);
        assert_eq!(owner.end(seen), Some(Err(BrokenPipe)));
        assert_eq!(world.engine.stats().units, 0);
        world.check();
    });
}

#[test]
fn a_wait_that_the_kernel_ends_while_queues_are_closed_is_armed_again() {
    model("thread exits | drop of two | wake(1) until it finds one", || {
        let world = World::with(Options { room: 1, ..Options::default() }, 4);
        let (word, other) = (world.word(), world.word());
        let leaving = [world.armed(&other), world.armed(&other)];
        let owner = world.armed(&word);
        let dropping = spawn(move || leaving.map(Owner::abandon));
        world.kernel.thread_exits();
        join(dropping);
        world.settle();
        assert_eq!(word.wake(1), 1);
        world.settle();
        assert_eq!(owner.finish(), Some(Ok(Outcome::Woken)));
        world.check();
    });
}

#[test]
fn waits_on_several_words_hand_their_wakes_on_while_their_queues_are_closed() {
    model("drop of waits in three queues | wake of each, waiters in others", || {
        let world = World::with(Options { room: 1, epoll: true, ..Options::default() }, 8);
        let words = [(); 2].map(|()| world.word());
        let any = world.any_armed(&words.each_ref());
        let behind = words.each_ref().map(|word| world.armed(word));
        let dropping = spawn(move || any.abandon());
        for word in &words {
            assert_eq!(word.wake(1), 1);
        }
        join(dropping);
        for owner in behind {
            assert_eq!(owner.finish(), Some(Ok(Outcome::Woken)));
        }
        world.check();
    });
}

#[test]
fn each_of_two_concurrent_closes_returns_only_when_nothing_is_left() {
    model("close | close | drop", || {
        let world = World::with(Options { room: 1, ..Options::default() }, 3);
        let word = world.word();
        let [first, second] = [(); 2].map(|()| world.armed(&word));
        let dropping = spawn(move || first.abandon());
        let closing = {
            let (engine, kernel) = (world.engine.clone(), world.kernel.clone());
            spawn(move || {
                engine.close();
                kernel.assert_empty();
            })
        };
        world.engine.close();
        world.kernel.assert_empty();
        join(dropping);
        join(closing);
        assert_eq!(second.finish(), Some(Err(BrokenPipe)));
        world.check();
    });
}

/// Wakers and the owners of words call the engine when they are dropped, which deadlocks if the thread holds a lock.
#[test]
fn foreign_code_runs_without_a_lock_while_queues_are_closed() {
    model("drop of all waits of two queues | poll of a wait that is over, all reenter", || {
        let world = World::with(Options { room: 1, ..Options::default() }, 4);
        let words = [(); 3].map(|()| world.kernel.word_of(Some(world.reenter_on_drop())));
        let mut owners = words.each_ref().map(|word| {
            let mut owner = world.owner(word);
            owner.reentrant = true;
            owner
        });
        for owner in &mut owners {
            assert!(owner.poll().is_none());
        }
        assert_eq!(words[2].wake(1), 1);
        drop(words);
        let [first, second, woken] = owners;
        let dropping = spawn(move || [first, second].map(Owner::abandon));
        assert_eq!(woken.finish(), Some(Ok(Outcome::Woken)));
        join(dropping);
        world.check();
    });
}

#[test]
fn a_waker_that_turns_the_engine_while_queues_are_closed_finds_it_whole() {
    model("close | drop of two | wake(1) whose waker turns", || {
        let world = World::with(Options { room: 1, epoll: true, ..Options::default() }, 4);
        let (word, other) = (world.word(), world.word());
        let leaving = [world.armed(&other), world.armed(&other)];
        let mut owner = world.owner(&word);
        owner.reentrant = true;
        assert!(owner.poll().is_none());
        let dropping = spawn(move || leaving.map(Owner::abandon));
        let closing = world.closing();
        let woken = word.wake(1);
        join(dropping);
        join(closing);
        let end = if woken == 1 { Ok(Outcome::Woken) } else { Err(BrokenPipe) };
        assert_eq!(owner.finish(), Some(end));
        world.check();
    });
}
