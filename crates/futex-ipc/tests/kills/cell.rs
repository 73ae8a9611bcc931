//! Cells that are initialised once. Each next kill allows a further cell, so that there is always one to initialise.

use crate::side::{CELLS, Figure};
use crate::task::{Task, Waits};
use futex_ipc::OnceCell;
use std::io;
use std::sync::atomic::Ordering::SeqCst;

pub(crate) type Cell = OnceCell<[u64; 2]>;

/// A task that initialises a cell.
struct Initialising<'a> {
    task: &'a Task,
    cell: usize,
}

impl<'a> Initialising<'a> {
    fn begin(task: &'a Task, cell: usize) -> Self {
        let [owner, value] = task.side.cell(cell);
        let before = owner.swap(task.id.word(), SeqCst);
        if before != 0 && !task.is_dead(before) {
            task.violation(format_args!("it initialises cell {cell} together with {before:#x}"));
        }
        if value.load(SeqCst) != 0 {
            task.violation(format_args!("it initialises cell {cell}, which has a value"));
        }
        Self { task, cell }
    }

    fn value(&self) -> [u64; 2] {
        [self.task.id.word(); 2]
    }
}

impl Drop for Initialising<'_> {
    fn drop(&mut self) {
        let [owner, _] = self.task.side.cell(self.cell);
        if let Err(other) = owner.compare_exchange(self.task.id.word(), 0, SeqCst, SeqCst) {
            self.task.violation(format_args!("{other:#x} initialises the same cell"));
        }
    }
}

fn got(task: &Task, cell: usize, [first, second]: [u64; 2]) {
    let [_, value] = task.side.cell(cell);
    let there = value.compare_exchange(0, first, SeqCst, SeqCst).map_or_else(|there| there, |_| first);
    if (there, second) != (first, first) {
        task.violation(format_args!("cell {cell} has [{first:#x}, {second:#x}], and had {there:#x}"));
    }
    task.side.count(Figure::Initialised);
}

/// One of the last cells that are allowed.
fn choose(task: &Task) -> usize {
    let allowed = (task.side.kills() as usize / 4 + 2).min(CELLS);
    allowed - 1 - task.chance.below(2)
}

pub(crate) async fn get(task: &Task, cells: &[Cell]) {
    let cell = choose(task);
    let waits = task.waits(Waits::Cell);
    let fails = task.chance.below(4) == 0;
    let init = || async {
        let initialising = Initialising::begin(task, cell);
        task.chance.dawdles().await;
        task.chance.dawdles().await;
        if fails { Err(io::Error::from(io::ErrorKind::Interrupted)) } else { Ok(initialising.value()) }
    };
    let result = cells[cell].get_or_try_init(init).await;
    drop(waits);
    end(task, cell, result);
}

fn end(task: &Task, cell: usize, result: io::Result<[u64; 2]>) {
    match result {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        result => got(task, cell, task.expect("get", result)),
    }
}

pub(crate) fn blocking_get(task: &Task, cells: &[Cell]) {
    let cell = choose(task);
    let waits = task.waits(Waits::Cell);
    let init = || {
        let initialising = Initialising::begin(task, cell);
        task.chance.blocks();
        task.chance.blocks();
        initialising.value()
    };
    let fails = task.chance.below(4) == 0;
    let value = match task.chance.below(4) {
        0 => task.expect("try to get", cells[cell].try_get_or_init(init)),
        1 => task.in_time("get", cells[cell].blocking_get_or_init_deadline(init, task.chance.deadline())),
        2 => task.expect("get", cells[cell].get()),
        _ => {
            let result = cells[cell].blocking_get_or_try_init(|| {
                let value = init();
                if fails { Err(io::Error::from(io::ErrorKind::Interrupted)) } else { Ok(value) }
            });
            drop(waits);
            return end(task, cell, result);
        }
    };
    drop(waits);
    if let Some(value) = value {
        got(task, cell, value);
    }
}
