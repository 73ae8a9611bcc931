//! Waits that the kernel ends unasked.

use crate::model::Refusal;
use crate::outcome::Outcome;
use crate::tests::world::{World, exhaustive_model, join, model, spawn};

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
        // A wake without a change may come while the wait is not armed. The next wake finds the wait.
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
        assert_eq!(world.kernel.waiters(&word), 0, "a wait without an owner was armed again");
        assert_eq!(second.finish(), None);
        world.check();
    });
}

#[test]
fn closing_the_engine_ends_waits_that_the_kernel_ended_unasked() {
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
        // If the kernel has ended the wait but not posted that, the wait may end as woken.
        let seen = owner.finish();
        assert!(matches!(seen, Some(Err(std::io::ErrorKind::BrokenPipe) | Ok(Outcome::Woken))), "{seen:?}");
        world.check();
    });
}

/// The owner returns like after a wake. Otherwise it would sleep for ever.
#[test]
fn a_wait_that_cannot_be_armed_again_ends_as_woken() {
    for refusal in [Refusal::Refused, Refusal::Unsubmitted] {
        model("unprompted end, arming again fails | wake(1)", move || {
            let world = World::new();
            let word = world.word();
            let owner = world.armed(&word);
            world.kernel.refuse_next(refusal);
            let kernel = world.kernel.clone();
            let exiting = spawn(move || {
                kernel.thread_exits();
                kernel.drive();
            });
            let woken = word.wake(1);
            join(exiting);
            assert_eq!(owner.finish(), Some(Ok(Outcome::Woken)));
            world.check_with(1 - woken);
        });
    }
}

#[test]
fn a_wait_that_cannot_be_armed_again_does_not_harm_another_wait() {
    for refusal in [Refusal::Refused, Refusal::Unsubmitted] {
        model("unprompted end of two, arming one again fails | wake(1) of the first", move || {
            let world = World::new();
            let (word, other) = (world.word(), world.word());
            let (first, second) = (world.armed(&word), world.armed(&other));
            world.kernel.refuse_next(refusal);
            let kernel = world.kernel.clone();
            let exiting = spawn(move || {
                kernel.thread_exits();
                kernel.drive();
            });
            word.wake(1);
            join(exiting);
            world.settle();
            assert_eq!(first.finish(), Some(Ok(Outcome::Woken)));
            // If the first wait was woken before the unasked end, the second one could not be armed again.
            let armed = world.kernel.waiters(&other);
            assert_eq!(second.finish(), (armed == 0).then_some(Ok(Outcome::Woken)));
            world.check_with(1);
        });
    }
}

#[test]
fn a_wait_that_could_not_be_armed_again_may_be_dropped() {
    for refusal in [Refusal::Refused, Refusal::Unsubmitted] {
        model("unprompted end, arming again fails | drop, a second waiter", move || {
            let world = World::new();
            let word = world.word();
            let (first, second) = (world.armed(&word), world.armed(&word));
            world.kernel.refuse_next(refusal);
            let (kernel, lost) = (world.kernel.clone(), word.clone());
            let exiting = spawn(move || {
                kernel.loses(&lost, 0);
                kernel.drive();
            });
            first.abandon();
            join(exiting);
            // The end of the first wait may have been a wake, so a wake was handed on. Or the second wait was the lost one.
            assert_eq!(second.finish(), Some(Ok(Outcome::Woken)));
            world.check_with(1 - world.kernel.counts().spurious);
        });
    }
}
