//! A section that excludes all others, like that of a mutex or of a writer.

use crate::side::{Figure, Shared};
use crate::task::Task;
use std::sync::atomic::Ordering::SeqCst;

/// The value that a section changes.
pub(crate) type Value = [u64; 4];

/// The words of the side memory for one object.
#[derive(Clone, Copy)]
pub(crate) struct Traces {
    pub(crate) owner: Shared,
    pub(crate) value: Shared,
}

/// A task that is inside. It is dropped before the guard.
pub(crate) struct Inside<'a> {
    task: &'a Task,
    traces: Traces,
    value: u64,
}

impl<'a> Inside<'a> {
    /// Enters, with the value that the guard has, and what it says of a predecessor.
    pub(crate) fn enter(task: &'a Task, traces: Traces, value: Value, predecessor_died: bool) -> Self {
        let side = &task.side;
        let before = side.shared(traces.owner).swap(task.id.word(), SeqCst);
        let found_dead = before != 0;
        if found_dead {
            if !task.is_dead(before) {
                task.violation(format_args!("it is inside together with {before:#x}"));
            }
            if !predecessor_died {
                task.violation("a predecessor died inside, and the guard does not say so");
            }
            side.count(Figure::FoundDead);
        }
        if predecessor_died {
            side.count(Figure::ToldOfDeath);
            if side.kills() == 0 {
                task.violation("the guard says that a predecessor died, and no process was killed");
            }
        }
        let [first, rest @ ..] = value;
        if rest != [first; 3] {
            task.violation(format_args!("the value {value:?} is torn"));
        }
        // A process may have been killed between its commit and its note of that.
        let noted = side.shared(traces.value).load(SeqCst);
        if first != noted && !(found_dead && first == noted + 1) {
            task.violation(format_args!("the value is {first}, and the last one was {noted}"));
        }
        side.shared(traces.value).store(first, SeqCst);
        side.count(Figure::Sections);
        Self { task, traces, value: first }
    }

    /// The value to commit next.
    pub(crate) fn next(&self) -> Value {
        [self.value + 1; 4]
    }

    /// Notes that the value was committed.
    pub(crate) fn committed(&mut self) {
        self.value += 1;
        self.task.side.shared(self.traces.value).store(self.value, SeqCst);
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let Self { task, traces, .. } = self;
        if let Err(other) = task.side.shared(traces.owner).compare_exchange(task.id.word(), 0, SeqCst, SeqCst) {
            task.violation(format_args!("{other:#x} came into its section"));
        }
    }
}
