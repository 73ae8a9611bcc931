//! Lockers of a mutex.

use crate::section::{Inside, Traces, Value};
use crate::side::Shared;
use crate::task::{Task, Waits};
use futex_ipc::{Mutex, MutexGuard};

const TRACES: Traces = Traces { owner: Shared::MutexOwner, value: Shared::MutexValue };

fn enter<'a>(task: &'a Task, guard: &MutexGuard<'_, Value>) -> Inside<'a> {
    Inside::enter(task, TRACES, **guard, guard.predecessor_died())
}

fn change(task: &Task, guard: &mut MutexGuard<'_, Value>, inside: &mut Inside<'_>) {
    **guard = inside.next();
    if task.chance.below(8) == 0 {
        return; // Nothing is committed.
    }
    guard.checkpoint();
    inside.committed();
    if task.chance.below(2) == 0 {
        guard.settle();
    }
}

pub(crate) async fn lock(task: &Task, mutex: &Mutex<Value>) {
    let waits = task.waits(Waits::Mutex);
    let mut guard = task.expect("lock", mutex.lock().await);
    drop(waits);
    let mut inside = enter(task, &guard);
    task.chance.dawdles().await;
    change(task, &mut guard, &mut inside);
    task.chance.dawdles().await;
    drop(inside);
}

pub(crate) fn blocking_lock(task: &Task, mutex: &Mutex<Value>) {
    let waits = task.waits(Waits::Mutex);
    let guard = match task.chance.below(4) {
        0 => Some(task.expect("lock", mutex.blocking_lock())),
        1 => task.expect("try to lock", mutex.try_lock()),
        _ => task.in_time("lock", mutex.blocking_lock_deadline(task.chance.deadline())),
    };
    drop(waits);
    let Some(mut guard) = guard else { return };
    let mut inside = enter(task, &guard);
    task.chance.blocks();
    change(task, &mut guard, &mut inside);
    task.chance.blocks();
    drop(inside);
}
