//! Waits on several words at once. The first one that ends, ends all.

use crate::model::{Options, Refusal};
use crate::outcome::Outcome;
use crate::tests::owner::Seen;
use crate::tests::world::{World, join, model, polling, spawn};
use std::io::ErrorKind::{BrokenPipe, OutOfMemory};

#[test]
fn a_wake_of_one_word_is_seen_by_the_wait_that_began_meanwhile() {
    model("arm three | wake of the second", || {
        let world = World::new();
        let words = [(); 3].map(|()| world.word());
        let arming = polling(world.any_owner(&words.each_ref()));
        let woken = words[1].wake(1);
        let (owner, seen) = join(arming);
        assert_eq!(owner.end(seen), (woken == 1).then_some(Ok((1, Outcome::Woken))));
        assert!(words.iter().all(|word| world.kernel.waiters(word) == 0), "another wait is left");
        world.check();
    });
}

#[test]
fn a_change_of_one_word_and_its_wake_are_seen_by_the_wait_that_begins_meanwhile() {
    model("arm three, in two queues | change, then wake of each", || {
        let world = World::with(Options { room: 2, ..Options::default() }, 2);
        let words = [(); 3].map(|()| world.word());
        let arming = polling(world.any_owner(&words.each_ref()));
        for word in &words {
            word.set(1);
            word.wake(1);
        }
        let (owner, seen) = join(arming);
        assert!(matches!(owner.end(seen), Some(Ok(_))));
        world.check();
    });
}

#[test]
fn changes_of_all_words_are_seen_although_other_completions_fill_the_batch() {
    model("arm three | change, then wake of each, and wake(3) of others", || {
        let world = World::new();
        let (word, others) = (world.word(), [(); 3].map(|()| world.word()));
        let owners = [(); 3].map(|()| world.armed(&word));
        let arming = polling(world.any_owner(&others.each_ref()));
        assert_eq!(word.wake(3), 3);
        for other in &others {
            other.set(1);
        }
        others[2].wake(1);
        let (owner, seen) = join(arming);
        assert!(matches!(owner.end(seen), Some(Ok(_))));
        for owner in owners {
            assert_eq!(owner.finish(), Some(Ok(Outcome::Woken)));
        }
        world.check();
    });
}

#[test]
fn wakes_of_two_words_are_seen_or_handed_on() {
    model("poll | wake of each word, a second waiter of each", || {
        let world = World::new();
        let words = [world.word(), world.word()];
        let any = world.any_armed(&words.each_ref());
        let others = words.each_ref().map(|word| world.armed(word));
        let polling = polling(any);
        for word in &words {
            assert_eq!(word.wake(1), 1);
        }
        let (any, seen) = join(polling);
        let Some(Ok((index, Outcome::Woken))) = any.end(seen) else { panic!("two wakes were counted") };
        let seen = others.map(|other| other.finish());
        assert_eq!(seen[index], None, "the wake of this word was already seen");
        assert_eq!(seen[1 - index], Some(Ok(Outcome::Woken)));
        world.check();
    });
}

#[test]
fn a_drop_hands_on_all_wakes() {
    model("drop | wake of each word, a second waiter of each", || {
        let world = World::new();
        let words = [world.word(), world.word()];
        let any = world.any_armed(&words.each_ref());
        let others = words.each_ref().map(|word| world.armed(word));
        let dropping = spawn(move || any.abandon());
        for word in &words {
            assert_eq!(word.wake(1), 1);
        }
        join(dropping);
        for other in others {
            assert_eq!(other.finish(), Some(Ok(Outcome::Woken)));
        }
        world.check();
    });
}

#[test]
fn a_drop_hands_on_all_wakes_if_completions_come_late() {
    model("drop | wake of each word, nothing is posted; a second waiter of each", || {
        let world = World::delayed();
        let words = [world.word(), world.word()];
        let any = world.any_armed(&words.each_ref());
        let others = words.each_ref().map(|word| world.armed(word));
        let dropping = spawn(move || any.abandon());
        for word in &words {
            assert_eq!(word.wake(1), 1);
        }
        join(dropping);
        world.settle();
        for other in others {
            assert_eq!(other.finish(), Some(Ok(Outcome::Woken)));
        }
        world.check();
    });
}

/// The queue submits the first waits before it takes the last one, so a wake may find the first ones.
#[test]
fn a_refusal_in_the_middle_leaves_nothing_armed_and_loses_no_wake() {
    for (refusal, count) in [(Refusal::Refused, 2), (Refusal::Unsubmitted, 1), (Refusal::Unsubmitted, 2)] {
        model("arm three, which fails | wake of the first word", move || {
            let world = World::with(Options { entries: 1, ..Options::default() }, 1);
            let words = [(); 3].map(|()| world.word());
            let mut owner = world.any_owner(&words.each_ref());
            world.kernel.refuse_after(count, refusal);
            let arming = spawn(move || {
                assert_eq!(owner.poll(), Some(Err(OutOfMemory)));
                owner
            });
            words[0].wake(1);
            let owner = join(arming);
            assert!(words.iter().all(|word| world.kernel.waiters(word) == 0), "none is left armed");
            assert_eq!(world.engine.stats().armed_now, 0);
            owner.abandon();
            world.check();
        });
    }
}

#[test]
fn a_refusal_by_the_second_queue_leaves_nothing_armed_in_the_first() {
    for refusal in [Refusal::Refused, Refusal::Unsubmitted] {
        model("arm two, in two queues, which fails | wake of the first word", move || {
            let world = World::with(Options { room: 1, ..Options::default() }, 2);
            let words = [(); 2].map(|()| world.word());
            let mut owner = world.any_owner(&words.each_ref());
            world.kernel.refuse_after(1, refusal);
            let arming = spawn(move || {
                assert_eq!(owner.poll(), Some(Err(OutOfMemory)));
                owner
            });
            words[0].wake(1);
            let owner = join(arming);
            assert!(words.iter().all(|word| world.kernel.waiters(word) == 0), "none is left armed");
            assert_eq!(world.engine.stats().armed_now, 0);
            owner.abandon();
            world.check();
        });
    }
}

/// The kernel gets a refused wait with the next wait of the queue. A wake may find it then, although its owner has returned with
/// an error.
#[test]
fn a_wake_of_a_refused_wait_is_handed_on() {
    model("arm, after a refusal | wake of what was refused | task work", || {
        let world = World::delayed();
        let words = [(); 2].map(|()| world.word());
        let mut refused = world.any_owner(&words.each_ref());
        world.kernel.refuse_next(Refusal::Unsubmitted);
        assert_eq!(refused.poll(), Some(Err(OutOfMemory)));
        refused.abandon();
        let other = world.word();
        let mut next = world.owner(&other);
        let arming = spawn(move || {
            assert!(next.poll().is_none());
            next.abandon();
        });
        words[0].wake(1);
        world.settle();
        join(arming);
        world.settle();
        world.check();
    });
}

/// Returns true if waits on unchanged words have ended like waits whose engine is closed: with the error, or by a wake.
fn closed_or_woken(seen: &Seen<(usize, Outcome)>) -> bool {
    matches!(seen, Some(Err(BrokenPipe) | Ok((_, Outcome::Woken))))
}

#[test]
fn waits_that_begin_while_the_engine_is_closed_end() {
    model("close | arm two, in two queues", || {
        let world = World::with(Options { room: 1, ..Options::default() }, 2);
        let words = [(); 2].map(|()| world.word());
        let arming = polling(world.any_owner(&words.each_ref()));
        world.engine.close();
        let (owner, seen) = join(arming);
        world.kernel.assert_empty();
        assert_eq!(owner.end(seen), Some(Err(BrokenPipe)));
        world.check();
    });
}

#[test]
fn waits_end_when_the_engine_is_closed_and_their_wakes_are_seen_or_handed_on() {
    model("close | wake of each word, in two queues", || {
        let world = World::with(Options { room: 1, ..Options::default() }, 2);
        let words = [(); 2].map(|()| world.word());
        let any = world.any_armed(&words.each_ref());
        let closing = world.closing();
        let woken: u32 = words.iter().map(|word| word.wake(1)).sum();
        join(closing);
        let seen = any.finish();
        assert!(closed_or_woken(&seen), "{seen:?} after {woken} wakes");
        world.check();
    });
}
