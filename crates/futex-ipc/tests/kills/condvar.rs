//! Tasks that give things, and tasks that wait for things and take them.

use crate::side::Figure;
use crate::task::{Task, Waits};
use futex_ipc::{Condvar, Mutex, MutexGuard};
use std::sync::atomic::Ordering::SeqCst;

/// The number of things that are there, and the condition variable of the tasks that wait for one.
pub(crate) struct Store {
    pub(crate) things: Mutex<u64>,
    pub(crate) more: Condvar,
}

impl Store {
    fn give(&self, task: &Task, mut guard: MutexGuard<'_, u64>) {
        *guard += 1;
        // Counted before, so that a thing is not taken earlier than it is given.
        task.side.count(Figure::Given);
        guard.commit();
        task.expect("notify", if task.chance.below(8) == 0 { self.more.notify_all() } else { self.more.notify_one() });
    }

    fn take(&self, task: &Task, mut guard: MutexGuard<'_, u64>) {
        if *guard == 0 {
            task.violation("its wait for a thing ended, and nothing is there");
        }
        *guard -= 1;
        guard.commit();
        let taken = task.side.figure(Figure::Taken).fetch_add(1, SeqCst) + 1;
        let given = task.side.figure(Figure::Given).load(SeqCst);
        if taken > given {
            task.violation(format_args!("{taken} things were taken, and {given} given"));
        }
    }
}

pub(crate) async fn use_store(task: &Task, store: &Store) {
    let waits = task.waits(Waits::Condition);
    let guard = task.expect("lock", store.things.lock().await);
    if task.id.task % 4 == 0 {
        drop(waits);
        task.chance.dawdles().await;
        return store.give(task, guard);
    }
    let guard = task.expect("wait", store.more.wait_while(guard, |things| *things == 0).await);
    drop(waits);
    task.chance.dawdles().await;
    store.take(task, guard);
}

pub(crate) fn blocking_use_store(task: &Task, store: &Store) {
    let waits = task.waits(Waits::Condition);
    let guard = task.expect("lock", store.things.blocking_lock());
    if task.chance.below(3) > 0 {
        drop(waits);
        task.chance.blocks();
        return store.give(task, guard);
    }
    let deadline = task.chance.deadline();
    let result = store.more.blocking_wait_while_deadline(guard, |things| *things == 0, deadline);
    let guard = task.in_time("wait", result);
    drop(waits);
    let Some(guard) = guard else { return };
    task.chance.blocks();
    store.take(task, guard);
}
