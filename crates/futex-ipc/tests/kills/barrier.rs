//! Tasks that take part in some phases of a barrier.

use crate::side::Figure;
use crate::task::{Task, Waits};
use futex_ipc::{Barrier, BarrierWaitResult};

fn ended(task: &Task, result: BarrierWaitResult) {
    if result.is_leader() {
        task.side.count(Figure::Phases);
    }
}

pub(crate) async fn take_part(task: &Task, barrier: &Barrier) {
    let mut participant = task.expect("attach", barrier.attach());
    for _ in 0..1 + task.chance.below(3) {
        let waits = task.waits(Waits::Barrier);
        let result = task.expect("arrive", participant.arrive_and_wait().await);
        drop(waits);
        ended(task, result);
    }
}

pub(crate) fn blocking_take_part(task: &Task, barrier: &Barrier) {
    let mut participant = task.expect("attach", barrier.attach());
    for _ in 0..1 + task.chance.below(3) {
        let waits = task.waits(Waits::Barrier);
        let result = match task.chance.below(3) {
            0 => Some(task.expect("arrive", participant.blocking_arrive_and_wait())),
            1 => task.expect("try to arrive", participant.try_arrive_and_wait()),
            _ => {
                let deadline = task.chance.deadline();
                task.in_time("arrive", participant.blocking_arrive_and_wait_deadline(deadline))
            }
        };
        drop(waits);
        let Some(result) = result else { return };
        ended(task, result);
    }
}
