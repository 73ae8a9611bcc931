//! Waits that the kernel ends although nobody asked.

use crate::tests::world::{World, exhaustive_model, join, model, spawn};
use crate::waiter::Outcome;

#[test]
fn a_wait_that_the_kernel_ended_still_sees_the_change_and_its_wake() {
    exhaustive_model("unprompted end | change, then wake", || {
        let world = World::new();
        let word = world.word();
        let owner = world.armed(&word);
        let kernel = world.kernel.clone();
        let exiting = spawn(move || {
            kernel.thread_exits();
            kernel.drive();
        });
        word.set(1);
        word.wake(1);
        join(exiting);
        assert!(owner.finish().is_some_and(|seen| seen.is_ok()));
        world.check();
    });
}

#[test]
fn a_wait_that_the_kernel_ended_is_armed_again() {
    model("unprompted end | wake(1)", || {
        let world = World::new();
        let word = world.word();
        let owner = world.armed(&word);
        let kernel = world.kernel.clone();
        let exiting = spawn(move || {
            kernel.thread_exits();
            kernel.drive();
        });
        let woken = word.wake(1);
        join(exiting);
        // Without a change, a wake may come while the wait is being armed again. The next one finds it.
        assert_eq!(world.kernel.waiters(&word), usize::from(woken == 0));
        assert_eq!(word.wake(1), 1 - woken);
        assert_eq!(owner.finish(), Some(Ok(Outcome::Woken)));
        world.check();
    });
}

#[test]
fn a_wait_that_the_kernel_ended_may_be_dropped() {
    model("unprompted end | drop | wake(1), a second waiter", || {
        let world = World::delayed();
        let (word, other) = (world.word(), world.word());
        let (first, second) = (world.armed(&word), world.armed(&other));
        let kernel = world.kernel.clone();
        let lost = word.clone();
        let exiting = spawn(move || {
            kernel.loses(&lost, 0);
            kernel.task_work();
            kernel.drive();
        });
        let dropping = spawn(move || first.abandon());
        word.wake(1);
        join(exiting);
        join(dropping);
        world.settle();
        assert_eq!(world.kernel.waiters(&word), 0, "nobody is there to be armed again for");
        assert_eq!(second.finish(), None);
        world.check();
    });
}

#[test]
fn waits_that_the_kernel_ended_are_over_when_the_engine_is_closed() {
    model("unprompted end | close", || {
        let world = World::new();
        let word = world.word();
        let owner = world.armed(&word);
        let kernel = world.kernel.clone();
        let exiting = spawn(move || {
            kernel.thread_exits();
            kernel.drive();
        });
        world.engine.close();
        world.kernel.assert_empty();
        join(exiting);
        world.kernel.assert_empty();
        // If the kernel has ended the wait and not posted how, it may be taken for woken.
        let seen = owner.finish();
        assert!(matches!(seen, Some(Err(std::io::ErrorKind::BrokenPipe) | Ok(Outcome::Woken))), "{seen:?}");
        world.check();
    });
}
