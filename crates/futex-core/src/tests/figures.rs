//! The statistics of refused waits, and of waits that were armed in the same batch as a refused one.

use super::world::World;
use crate::model::{Options, Refusal};
use crate::stats::Stats;
use std::io::ErrorKind::OutOfMemory;

fn figures(world: &World) -> [u64; 5] {
    let Stats { armed, woken, cancelled, failed, .. } = world.engine.stats();
    assert_eq!(armed, woken + cancelled + failed + world.engine.stats().armed_now as u64);
    [armed, world.engine.stats().armed_now as u64, woken, cancelled, failed]
}

#[test]
fn a_refused_wait_counts_as_failed() {
    for refusal in [Refusal::Refused, Refusal::Unsubmitted] {
        let world = World::new();
        let word = world.word();
        let mut owner = world.owner(&word);
        world.kernel.refuse_next(refusal);
        assert_eq!(owner.poll(), Some(Err(OutOfMemory)), "{refusal:?}");
        assert_eq!(figures(&world), [1, 0, 0, 0, 1], "{refusal:?}");
        // The next wait is not refused, and the refused one is counted nowhere else.
        assert_eq!(owner.poll(), None);
        assert_eq!(figures(&world), [2, 1, 0, 0, 1], "{refusal:?}");
        assert_eq!(word.wake(1), 1);
        owner.finish();
        world.settle();
        assert_eq!(figures(&world), [2, 0, 1, 0, 1], "{refusal:?}");
        world.check();
    }
}

#[test]
fn waits_in_the_same_batch_as_a_refused_wait_count_as_failed() {
    // Three cases: the third wait is not taken; none is submitted; all but the third are submitted.
    for (entries, refusal, count) in
        [(usize::MAX, Refusal::Refused, 2), (usize::MAX, Refusal::Unsubmitted, 0), (1, Refusal::Unsubmitted, 2)]
    {
        let world = World::with(Options { entries, ..Options::default() }, 1);
        let words = [(); 3].map(|()| world.word());
        let mut owner = world.any_owner(&words.each_ref());
        world.kernel.refuse_after(count, refusal);
        assert_eq!(owner.poll(), Some(Err(OutOfMemory)), "{refusal:?}");
        assert_eq!(figures(&world), [3, 0, 0, 0, 3], "{refusal:?} after {count}");
        owner.abandon();
        world.check();
    }
}

/// The first queue is full with waits that were not refused.
#[test]
fn waits_that_another_queue_took_before_a_refusal_count_as_cancelled() {
    for refusal in [Refusal::Refused, Refusal::Unsubmitted] {
        let world = World::with(Options { room: 2, ..Options::default() }, 2);
        let words = [(); 3].map(|()| world.word());
        let mut owner = world.any_owner(&words.each_ref());
        world.kernel.refuse_after(if refusal == Refusal::Refused { 2 } else { 1 }, refusal);
        assert_eq!(owner.poll(), Some(Err(OutOfMemory)), "{refusal:?}");
        assert_eq!(figures(&world), [3, 0, 0, 2, 1], "{refusal:?}");
        owner.abandon();
        world.check();
    }
}
