//! Events: each task sets and waits. Only some of the tasks wait without a deadline, so that others set.

use crate::side::Figure;
use crate::task::{Task, Waits};
use futex_ipc::{AutoEvent, ManualEvent};
use std::sync::atomic::Ordering::SeqCst;

/// Lets one pass.
pub(crate) fn set_one(task: &Task, event: &AutoEvent) {
    // Counted before, so that a pass is not counted earlier than its `set`.
    let sets = task.side.figure(Figure::Sets);
    sets.fetch_add(1, SeqCst);
    if !task.expect("set", event.set()) {
        sets.fetch_sub(1, SeqCst);
    }
}

fn passed(task: &Task) {
    let passes = task.side.figure(Figure::Passes).fetch_add(1, SeqCst) + 1;
    let sets = task.side.figure(Figure::Sets).load(SeqCst);
    if passes > sets {
        task.violation(format_args!("{passes} have passed, and the event was set {sets} times"));
    }
}

pub(crate) async fn pass(task: &Task, event: &AutoEvent) {
    if task.id.task % 4 == 0 {
        set_one(task, event);
        set_one(task, event);
        return;
    }
    let waits = task.waits(Waits::Pass);
    task.expect("wait", event.wait().await);
    drop(waits);
    passed(task);
}

pub(crate) fn blocking_pass(task: &Task, event: &AutoEvent) {
    set_one(task, event);
    let waits = task.waits(Waits::Pass);
    let passes = match task.chance.below(3) {
        0 => task.expect("try to wait", event.try_wait()),
        _ => task.in_time("wait", event.blocking_wait_deadline(task.chance.deadline())).is_some(),
    };
    drop(waits);
    if passes {
        passed(task);
    }
}

fn change(task: &Task, event: &ManualEvent) {
    task.expect("set", event.set());
    if task.chance.below(2) == 0 {
        task.expect("reset", event.reset());
    }
}

pub(crate) async fn wait(task: &Task, event: &ManualEvent) {
    if task.id.task % 4 == 0 {
        return change(task, event);
    }
    let waits = task.waits(Waits::Event);
    task.expect("wait", event.wait().await);
    drop(waits);
    if task.chance.below(2) == 0 {
        task.expect("reset", event.reset());
    }
}

pub(crate) fn blocking_wait(task: &Task, event: &ManualEvent) {
    change(task, event);
    let waits = task.waits(Waits::Event);
    let _ = task.in_time("wait", event.blocking_wait_deadline(task.chance.deadline()));
    drop(waits);
}
