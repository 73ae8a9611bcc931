//! Waits that reach the kernel with a flush, against everything that may come before it.

use crate::model::Refusal;
use crate::tests::world::{World, exhaustive_model, join, model, spawn};
use crate::waiter::Outcome;
use std::io::ErrorKind::BrokenPipe;

#[test]
fn a_change_before_the_flush_is_seen() {
    exhaustive_model("flush | change, wake(1)", || {
        let world = World::new();
        let word = world.word();
        let owner = world.deferred(&word);
        assert_eq!(world.kernel.waiters(&word), 0);
        let flushing = world.flushing();
        word.set(1);
        let woken = word.wake(1);
        join(flushing);
        world.settle();
        assert_eq!(owner.finish(), Some(Ok(if woken == 1 { Outcome::Woken } else { Outcome::Mismatch })));
        world.check();
    });
}

#[test]
fn a_flush_arms_each_wait_once_whoever_flushes() {
    model("flush | flush, arm | wake(3)", || {
        let world = World::new();
        let word = world.word();
        let owners = [world.deferred(&word), world.deferred(&word)];
        let flushing = world.flushing();
        // It does not overtake them, so it flushes too.
        let third = world.armed(&word);
        join(flushing);
        assert_eq!(word.wake(3), 3);
        world.settle();
        for owner in owners.into_iter().chain([third]) {
            assert_eq!(owner.finish(), Some(Ok(Outcome::Woken)));
        }
        world.check();
    });
}

#[test]
fn a_drop_that_meets_the_flush_loses_no_wake() {
    model("flush | drop | wake(1), a second deferred wait", || {
        let world = World::new();
        let word = world.word();
        let (first, second) = (world.deferred(&word), world.deferred(&word));
        let flushing = world.flushing();
        let dropping = spawn(move || first.abandon());
        let woken = word.wake(1);
        join(flushing);
        join(dropping);
        world.settle();
        // One flush arms both, so a wake that the first had finds the second.
        assert_eq!(second.finish(), (woken == 1).then_some(Ok(Outcome::Woken)));
        world.check();
    });
}

#[test]
fn a_wait_that_is_deferred_while_another_thread_flushes_is_not_forgotten() {
    model("flush | defer, flush", || {
        let world = World::new();
        let word = world.word();
        let first = world.deferred(&word);
        let flushing = world.flushing();
        let second = world.deferred(&word);
        assert!(world.engine.flush().is_ok());
        join(flushing);
        assert_eq!(word.wake(2), 2);
        world.settle();
        for owner in [first, second] {
            assert_eq!(owner.finish(), Some(Ok(Outcome::Woken)));
        }
        world.check();
    });
}

#[test]
fn closing_ends_the_waits_that_the_kernel_never_had() {
    exhaustive_model("close | flush", || {
        let world = World::new();
        let word = world.word();
        let owner = world.deferred(&word);
        let flushing = world.flushing();
        world.engine.close();
        join(flushing);
        world.kernel.assert_empty();
        assert_eq!(owner.finish(), Some(Err(BrokenPipe)));
        world.check();
    });
}

#[test]
fn waits_that_the_kernel_has_no_memory_for_are_flushed_again() {
    model("flush without memory, flush | wake(1)", || {
        let world = World::new();
        let word = world.word();
        let owner = world.deferred(&word);
        world.kernel.refuse_next(Refusal::Unsubmitted);
        assert!(world.engine.flush().is_err());
        let flushing = world.flushing();
        word.set(1);
        word.wake(1);
        join(flushing);
        world.settle();
        assert!(matches!(owner.finish(), Some(Ok(_))));
        world.check();
    });
}

#[test]
fn many_deferred_waits_are_flushed_at_once() {
    model("defer, defer, defer", || {
        let world = World::new();
        let word = world.word();
        let owners = [(); 3].map(|()| world.deferred(&word));
        // Under loom three are many.
        if !cfg!(loom) {
            assert!(world.engine.flush().is_ok());
        }
        assert_eq!(word.wake(3), 3);
        for owner in owners {
            assert_eq!(owner.finish(), Some(Ok(Outcome::Woken)));
        }
        world.check();
    });
}
