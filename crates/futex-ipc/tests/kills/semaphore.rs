//! Holders of permits.

use crate::side::{CHILDREN, Figure, Id, PerTask, TASKS};
use crate::task::{Task, Waits};
use futex_ipc::{Semaphore, SemaphorePermit};
use std::sync::atomic::Ordering::SeqCst;

/// Number of permits.
pub(crate) const PERMITS: u32 = 4;

/// A task that holds permits. It is dropped before them.
struct Holding<'a>(&'a Task);

/// A word of a holder: a number of the holding, the life, and the number of permits.
fn word(number: usize, life: usize, permits: u32) -> u64 {
    (number as u64) << 48 | (life as u64) << 8 | u64::from(permits)
}

impl<'a> Holding<'a> {
    fn begin(task: &'a Task, permits: u32) -> Self {
        let Id { life, child, task: index } = task.id;
        let number = task.chance.below(1 << 16);
        task.side.per_task(PerTask::Holds, child, index).store(word(number, life, permits), SeqCst);
        if let Some(sum) = sum(task) {
            if sum > PERMITS {
                task.violation(format_args!("{sum} permits of {PERMITS} are held"));
            }
        }
        task.side.count(Figure::Holds);
        Self(task)
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        let Id { child, task, .. } = self.0.id;
        self.0.side.per_task(PerTask::Holds, child, task).store(0, SeqCst);
    }
}

/// The permits that the living hold. Each word is read twice: if none has changed, all were there at one point in time.
fn sum(task: &Task) -> Option<u32> {
    let words = || -> Vec<u64> {
        let tasks = (0..CHILDREN).flat_map(|child| (0..TASKS).map(move |index| (child, index)));
        let words = tasks.map(|(child, index)| task.side.per_task(PerTask::Holds, child, index).load(SeqCst));
        words.filter(|word| !task.side.is_doomed((word << 16 >> 24) as usize)).collect()
    };
    let (first, second) = (words(), words());
    (first == second).then(|| first.iter().map(|word| (word & 0xff) as u32).sum())
}

fn end(task: &Task, mut permit: SemaphorePermit<'_>, holding: Holding<'_>) {
    let n = permit.num_permits();
    drop(holding);
    if let Some(part) = permit.split(task.chance.below(n as usize + 1) as u32) {
        if task.chance.below(2) == 0 {
            drop(part);
        } else {
            permit.merge(part);
        }
    }
}

fn demand(task: &Task) -> u32 {
    [1, 1, 1, 2, 3, PERMITS][task.chance.below(6)]
}

pub(crate) async fn hold(task: &Task, semaphore: &Semaphore) {
    let n = demand(task);
    let waits = task.waits(Waits::Permits);
    let permit = task.expect("acquire", semaphore.acquire_many(n).await);
    drop(waits);
    let holding = Holding::begin(task, n);
    task.chance.dawdles().await;
    end(task, permit, holding);
}

pub(crate) fn blocking_hold(task: &Task, semaphore: &Semaphore) {
    let n = demand(task);
    let waits = task.waits(Waits::Permits);
    let permit = match task.chance.below(4) {
        0 => Some(task.expect("acquire", semaphore.blocking_acquire_many(n))),
        1 => task.expect("try to acquire", semaphore.try_acquire_many(n)),
        _ => task.in_time("acquire", semaphore.blocking_acquire_many_deadline(n, task.chance.deadline())),
    };
    drop(waits);
    let Some(permit) = permit else { return };
    let holding = Holding::begin(task, n);
    task.chance.blocks();
    end(task, permit, holding);
}
