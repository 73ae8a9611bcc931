//! Turns of several threads, and more completions than a batch holds (two under loom).

use crate::outcome::Outcome;
use crate::tests::world::{World, join, model, spawn};

#[test]
fn turns_of_two_threads_take_each_completion_once() {
    model("turn | turn, two completions", || {
        let world = World::delayed();
        let word = world.word();
        let owners = [world.armed(&word), world.armed(&word)];
        assert_eq!(word.wake(2), 2);
        world.kernel.task_work();
        let turning = world.turning();
        world.engine.turn();
        join(turning);
        for owner in owners {
            assert_eq!(owner.finish(), Some(Ok(Outcome::Woken)));
        }
        world.check();
    });
}

#[test]
fn a_turn_takes_more_completions_than_a_batch_holds() {
    model("wake(5) | turn", || {
        let world = World::new();
        let word = world.word();
        let owners = [(); 5].map(|()| world.armed(&word));
        let turning = world.turning();
        assert_eq!(word.wake(5), 5);
        join(turning);
        for owner in owners {
            assert_eq!(owner.finish(), Some(Ok(Outcome::Woken)));
        }
        world.check();
    });
}

#[test]
fn an_arming_that_finds_more_completions_than_a_batch_holds_leaves_the_rest_to_a_turn() {
    model("wake(3) | arm, which reaps as well", || {
        let world = World::new();
        let (word, other) = (world.word(), world.word());
        let owners = [(); 3].map(|()| world.armed(&word));
        other.set(1);
        let mut late = world.owner(&other);
        late.expected = 1;
        let arming = spawn(move || {
            let seen = late.poll();
            (late, seen)
        });
        assert_eq!(word.wake(3), 3);
        other.set(2);
        other.wake(1);
        let (late, seen) = join(arming);
        world.settle();
        match seen {
            Some(_) => late.abandon(),
            None => assert!(late.finish().is_some()),
        }
        for owner in owners {
            assert_eq!(owner.finish(), Some(Ok(Outcome::Woken)));
        }
        world.check();
    });
}

#[test]
fn a_drop_that_finds_more_completions_than_a_batch_holds_leaves_the_rest_to_a_turn() {
    model("wake(4) | drop of one of four, which reaps as well", || {
        let world = World::new();
        let word = world.word();
        let first = world.armed(&word);
        let owners = [(); 3].map(|()| world.armed(&word));
        let dropping = spawn(move || first.abandon());
        let woken = word.wake(4);
        join(dropping);
        assert!(woken >= 3);
        for owner in owners {
            assert_eq!(owner.finish(), Some(Ok(Outcome::Woken)));
        }
        world.check();
    });
}
