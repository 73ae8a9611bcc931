//! Closing the engine, at the same time as every other operation.

use crate::outcome::Outcome;
use crate::tests::owner::Seen;
use crate::tests::world::{World, exhaustive_model, join, model, polling, spawn};
use std::io::ErrorKind::BrokenPipe;

/// Returns true if a wait has ended like a wait whose engine is closed: with the error, or by a wake.
fn closed_or_woken(seen: &Seen) -> bool {
    matches!(seen, Some(Err(BrokenPipe) | Ok(Outcome::Woken)))
}

#[test]
fn a_wait_that_begins_while_the_engine_is_closed_ends() {
    exhaustive_model("close | arm", || {
        let world = World::new();
        let word = world.word();
        let mut owner = world.owner(&word);
        let arming = spawn(move || {
            let seen = owner.poll();
            (owner, seen)
        });
        world.engine.close();
        world.kernel.assert_empty();
        let (owner, seen) = join(arming);
        world.kernel.assert_empty();
        match seen {
            Some(seen) => {
                assert_eq!(seen, Err(BrokenPipe));
                owner.abandon();
            }
            None => assert_eq!(owner.finish(), Some(Err(BrokenPipe))),
        }
        world.check();
    });
}

#[test]
fn a_wait_that_opens_a_queue_while_the_engine_is_closed_ends() {
    model("close | arm in a second queue", || {
        let world = World::with(crate::model::Options { room: 1, ..Default::default() }, 2);
        let word = world.word();
        let first = world.armed(&word);
        let mut second = world.owner(&word);
        let arming = spawn(move || {
            let seen = second.poll();
            (second, seen)
        });
        world.engine.close();
        let (second, seen) = join(arming);
        world.kernel.assert_empty();
        match seen {
            Some(seen) => {
                assert_eq!(seen, Err(BrokenPipe));
                second.abandon();
            }
            None => assert_eq!(second.finish(), Some(Err(BrokenPipe))),
        }
        assert_eq!(first.finish(), Some(Err(BrokenPipe)));
        world.check();
    });
}

/// No further queue can be opened, but the error must be the one of a closed engine.
#[test]
fn a_wait_that_crowds_the_only_queue_while_the_engine_is_closed_ends() {
    model("close | arm, no room in the only queue", || {
        let world = World::with(crate::model::Options { room: 1, ..Default::default() }, 1);
        let word = world.word();
        let first = world.armed(&word);
        let arming = polling(world.owner(&word));
        world.engine.close();
        let (second, seen) = join(arming);
        world.kernel.assert_empty();
        assert_eq!(second.end(seen), Some(Err(BrokenPipe)));
        assert_eq!(first.finish(), Some(Err(BrokenPipe)));
        world.check();
    });
}

#[test]
fn a_wake_that_is_counted_while_the_engine_is_closed_is_seen() {
    exhaustive_model("close | wake(2), two waiters", || {
        let world = World::new();
        let word = world.word();
        let owners = [world.armed(&word), world.armed(&word)];
        let closing = world.closing();
        let woken = word.wake(2);
        join(closing);
        let seen = owners.map(|owner| owner.finish());
        assert!(seen.iter().all(closed_or_woken), "{seen:?}");
        assert_eq!(seen.iter().filter(|&&seen| seen == Some(Ok(Outcome::Woken))).count(), woken as usize);
        world.check();
    });
}

#[test]
fn a_wake_that_is_posted_late_is_seen_though_the_engine_is_closed() {
    model("close | wake(1) | task work", || {
        let world = World::delayed();
        let word = world.word();
        let owner = world.armed(&word);
        let closing = world.closing();
        let kernel = world.kernel.clone();
        let work = spawn(move || {
            kernel.task_work();
            kernel.drive();
        });
        let woken = word.wake(1);
        join(closing);
        join(work);
        assert_eq!(owner.finish(), Some(if woken == 1 { Ok(Outcome::Woken) } else { Err(BrokenPipe) }));
        world.check();
    });
}

#[test]
fn a_drop_while_the_engine_is_closed_hands_its_wake_on() {
    model("close | drop | wake(1), a waiter of another engine", || {
        let world = World::new();
        let word = world.word();
        let first = world.armed(&word);
        let closing = world.closing();
        let dropping = spawn(move || first.abandon());
        word.wake(1);
        join(closing);
        join(dropping);
        // The accounts check the rest: the wake was handed on and found nobody, or no wake was counted.
        world.check();
    });
}

#[test]
fn closing_ends_each_wait_once_whoever_turns() {
    model("close | turn | drop of one of two", || {
        let world = World::delayed();
        let word = world.word();
        let (first, second) = (world.armed(&word), world.armed(&word));
        assert_eq!(word.wake(1), 1);
        let closing = world.closing();
        let dropping = spawn(move || first.abandon());
        world.settle();
        join(closing);
        join(dropping);
        // The wake of the first wait was handed on to the second, or the second was already closed.
        let seen = second.finish();
        assert!(closed_or_woken(&seen), "{seen:?}");
        world.check();
    });
}

#[test]
fn the_engine_may_be_closed_twice_at_once() {
    model("close | close | poll", || {
        let world = World::new();
        let word = world.word();
        let mut owner = world.armed(&word);
        let closing = world.closing();
        let polling = spawn(move || {
            let seen = owner.poll();
            (owner, seen)
        });
        world.engine.close();
        world.kernel.assert_empty();
        join(closing);
        let (owner, seen) = join(polling);
        match seen {
            Some(seen) => {
                assert_eq!(seen, Err(BrokenPipe));
                owner.abandon();
            }
            None => assert_eq!(owner.finish(), Some(Err(BrokenPipe))),
        }
        world.check();
    });
}

#[test]
fn closing_waits_for_no_task_work() {
    model("close | wake(2), nothing is posted", || {
        let world = World::delayed();
        let word = world.word();
        let owners = [world.armed(&word), world.armed(&word)];
        let closing = world.closing();
        let woken = word.wake(2);
        join(closing);
        world.kernel.assert_empty();
        let seen = owners.map(|owner| owner.finish());
        assert!(seen.iter().all(closed_or_woken), "{seen:?}");
        assert_eq!(seen.iter().filter(|&&seen| seen == Some(Ok(Outcome::Woken))).count(), woken as usize);
        world.check();
    });
}

#[test]
fn closing_while_a_wait_is_dropped_waits_for_no_task_work() {
    model("close | drop | wake(2), nothing is posted", || {
        let world = World::delayed();
        let word = world.word();
        let (first, second) = (world.armed(&word), world.armed(&word));
        let closing = world.closing();
        let dropping = spawn(move || first.abandon());
        let woken = word.wake(2);
        join(closing);
        join(dropping);
        world.kernel.assert_empty();
        let seen = second.finish();
        assert!(closed_or_woken(&seen) && (woken < 2 || seen == Some(Ok(Outcome::Woken))), "{seen:?} after {woken}");
        world.check();
    });
}

#[test]
fn closing_ends_more_waits_than_a_batch_holds() {
    model("close | wake(3), five waiters", || {
        let world = World::new();
        let word = world.word();
        let owners = [(); 5].map(|()| world.armed(&word));
        let closing = world.closing();
        let woken = word.wake(3);
        join(closing);
        let seen = owners.map(|owner| owner.finish());
        assert!(seen.iter().all(closed_or_woken), "{seen:?}");
        assert_eq!(seen.iter().filter(|&&seen| seen == Some(Ok(Outcome::Woken))).count(), woken as usize);
        world.check();
    });
}
