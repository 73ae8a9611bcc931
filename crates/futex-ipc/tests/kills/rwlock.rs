//! Readers and writers of a read-write lock.

use crate::section::{Inside, Traces, Value};
use crate::side::{CHILDREN, TASKS};
use crate::side::{Figure, Id, PerTask, Shared};
use crate::task::{Task, Waits};
use futex_ipc::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::sync::atomic::Ordering::SeqCst;

const TRACES: Traces = Traces { owner: Shared::WriteOwner, value: Shared::WriteValue };

/// A task that reads. It is dropped before the guard.
struct Reading<'a>(&'a Task);

impl<'a> Reading<'a> {
    fn enter(task: &'a Task, value: Value) -> Self {
        let Id { child, task: index, .. } = task.id;
        task.side.per_task(PerTask::Reads, child, index).store(task.id.word(), SeqCst);
        let writer = task.side.shared(Shared::WriteOwner).load(SeqCst);
        if writer != 0 && !task.is_dead(writer) {
            task.violation(format_args!("it reads while {writer:#x} writes"));
        }
        if value != [value[0]; 4] {
            task.violation(format_args!("the value {value:?} is torn"));
        }
        task.side.count(Figure::Reads);
        Self(task)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let Id { child, task, .. } = self.0.id;
        self.0.side.per_task(PerTask::Reads, child, task).store(0, SeqCst);
    }
}

fn enter<'a>(task: &'a Task, guard: &RwLockWriteGuard<'_, Value>) -> Inside<'a> {
    let inside = Inside::enter(task, TRACES, **guard, guard.predecessor_died());
    for child in 0..CHILDREN {
        for index in 0..TASKS {
            let reader = task.side.per_task(PerTask::Reads, child, index).load(SeqCst);
            if reader != 0 && !task.is_dead(reader) {
                task.violation(format_args!("it writes while {reader:#x} reads"));
            }
        }
    }
    inside
}

fn change(task: &Task, guard: &mut RwLockWriteGuard<'_, Value>, inside: &mut Inside<'_>) {
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

pub(crate) async fn read(task: &Task, lock: &RwLock<Value>) {
    let waits = task.waits(Waits::Read);
    let guard = task.expect("read", lock.read().await);
    drop(waits);
    let reading = Reading::enter(task, *guard);
    task.chance.dawdles().await;
    drop(reading);
}

pub(crate) async fn write(task: &Task, lock: &RwLock<Value>) {
    let waits = task.waits(Waits::Write);
    let mut guard = task.expect("write", lock.write().await);
    drop(waits);
    let mut inside = enter(task, &guard);
    task.chance.dawdles().await;
    change(task, &mut guard, &mut inside);
    task.chance.dawdles().await;
    drop(inside);
}

pub(crate) fn blocking_read(task: &Task, lock: &RwLock<Value>) {
    let waits = task.waits(Waits::Read);
    let guard: Option<RwLockReadGuard<'_, Value>> = match task.chance.below(4) {
        0 => Some(task.expect("read", lock.blocking_read())),
        1 => task.expect("try to read", lock.try_read()),
        _ => task.in_time("read", lock.blocking_read_deadline(task.chance.deadline())),
    };
    drop(waits);
    let Some(guard) = guard else { return };
    let reading = Reading::enter(task, *guard);
    task.chance.blocks();
    drop(reading);
}

pub(crate) fn blocking_write(task: &Task, lock: &RwLock<Value>) {
    let waits = task.waits(Waits::Write);
    let guard = match task.chance.below(4) {
        0 => Some(task.expect("write", lock.blocking_write())),
        1 => task.expect("try to write", lock.try_write()),
        _ => task.in_time("write", lock.blocking_write_deadline(task.chance.deadline())),
    };
    drop(waits);
    let Some(mut guard) = guard else { return };
    let mut inside = enter(task, &guard);
    task.chance.blocks();
    change(task, &mut guard, &mut inside);
    task.chance.blocks();
    drop(inside);
}
