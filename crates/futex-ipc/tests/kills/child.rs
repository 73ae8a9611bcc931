//! A child: tasks and threads that use the objects of the region until the process is killed.

use crate::cell::Cell;
use crate::children;
use crate::condvar::Store;
use crate::section::Value;
use crate::semaphore::PERMITS;
use crate::side::{CELLS, Figure, Id, Side, TASKS};
use crate::task::Task;
use crate::{barrier, cell, condvar, event, mutex, rwlock, semaphore};
use futex_ipc::{AutoEvent, Barrier, Condvar, ManualEvent, Mutex, OnceCell, Region, RwLock, Semaphore};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

pub(crate) const LIFE: &str = "FUTEX_IPC_KILLS_LIFE";
pub(crate) const CHILD: &str = "FUTEX_IPC_KILLS_CHILD";

/// Number of tasks of a runtime. The other ones are threads.
const OF_RUNTIME: usize = 4;

/// The objects of the region.
pub(crate) struct Objects {
    pub(crate) region: Region,
    pub(crate) mutex: Mutex<Value>,
    pub(crate) rwlock: RwLock<Value>,
    pub(crate) semaphore: Semaphore,
    pub(crate) event: ManualEvent,
    pub(crate) pass: AutoEvent,
    pub(crate) barrier: Barrier,
    pub(crate) cells: Vec<Cell>,
    pub(crate) store: Store,
    /// Number of rechecks that found a lost wake, as far as it was passed on.
    rechecks: AtomicU64,
}

impl Objects {
    /// Joins the region, and opens the objects or makes them.
    pub(crate) fn open(file: impl AsFd, label: &str) -> io::Result<Self> {
        let region = Region::builder().label(label).from_fd(file)?;
        let cells = (0..CELLS).map(|cell| OnceCell::open_or_create(&region, &format!("cell {cell}")));
        Ok(Self {
            mutex: Mutex::open_or_create(&region, "mutex", [0; 4])?,
            rwlock: RwLock::open_or_create(&region, "rwlock", [0; 4])?,
            semaphore: Semaphore::open_or_create(&region, "semaphore", PERMITS)?,
            event: ManualEvent::open_or_create(&region, "event")?,
            pass: AutoEvent::open_or_create(&region, "pass")?,
            barrier: Barrier::open_or_create(&region, "barrier")?,
            cells: cells.collect::<io::Result<_>>()?,
            store: Store {
                things: Mutex::open_or_create(&region, "things", 0)?,
                more: Condvar::open_or_create(&region, "more")?,
            },
            rechecks: AtomicU64::new(0),
            region,
        })
    }
}

/// The role of a child.
pub(crate) fn work() {
    let side = Arc::new(Side::of_parent());
    let (life, child) = (children::number(LIFE), children::number(CHILD));
    let file = children::file(0);
    let runtime = runtime(life);
    let task =
        |task, session| Task::new(side.clone(), Id { life, child, task }, (life * 1000 + session) * TASKS + task);
    for session in 0.. {
        let first = task(0, session);
        let objects = Arc::new(first.expect("join", Objects::open(&file, &format!("life {life}"))));
        let rounds = 5 + first.chance.below(100);
        std::thread::scope(|scope| {
            for index in OF_RUNTIME..TASKS {
                let (task, objects) = (task(index, session), &objects);
                scope.spawn(move || while_it_lasts(&task, rounds, || blocking_round(&task, objects)));
            }
            runtime.block_on(async {
                let mut tasks = JoinSet::new();
                for index in 0..OF_RUNTIME {
                    let (task, objects) = (task(index, session), objects.clone());
                    tasks.spawn(async move {
                        for _ in 0..rounds {
                            if task.side.is_over() {
                                break;
                            }
                            round(&task, &objects).await;
                        }
                    });
                }
                while let Some(result) = tasks.join_next().await {
                    first.expect("a task", result.map_err(io::Error::other));
                }
            });
        });
        drop(objects);
        side.count(Figure::Left);
        if side.is_over() {
            return;
        }
    }
}

fn runtime(life: usize) -> Runtime {
    let mut builder = if life % 2 == 0 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.worker_threads(2).enable_all().build().expect("a runtime")
}

fn while_it_lasts(task: &Task, rounds: usize, mut round: impl FnMut()) {
    for _ in 0..rounds {
        if task.side.is_over() {
            return;
        }
        round();
    }
}

/// One operation of a task. Half of the tasks give it up at a random point.
async fn round(task: &Task, objects: &Objects) {
    let operation = async {
        match task.chance.below(14) {
            0 => rwlock::write(task, &objects.rwlock).await,
            1 | 2 => rwlock::read(task, &objects.rwlock).await,
            3..=5 => semaphore::hold(task, &objects.semaphore).await,
            6 => event::wait(task, &objects.event).await,
            7 => event::pass(task, &objects.pass).await,
            8 => barrier::take_part(task, &objects.barrier).await,
            9 => cell::get(task, &objects.cells).await,
            10 => condvar::use_store(task, &objects.store).await,
            _ => mutex::lock(task, &objects.mutex).await,
        }
    };
    if task.id.task % 2 == 0 {
        operation.await;
    } else {
        task.or_gives_up(operation).await;
    }
    check(task, objects);
}

/// One operation of a thread.
fn blocking_round(task: &Task, objects: &Objects) {
    match task.chance.below(14) {
        0 => rwlock::blocking_write(task, &objects.rwlock),
        1 | 2 => rwlock::blocking_read(task, &objects.rwlock),
        3..=5 => semaphore::blocking_hold(task, &objects.semaphore),
        6 => event::blocking_wait(task, &objects.event),
        7 => event::blocking_pass(task, &objects.pass),
        8 => barrier::blocking_take_part(task, &objects.barrier),
        9 => cell::blocking_get(task, &objects.cells),
        10 => condvar::blocking_use_store(task, &objects.store),
        _ => mutex::blocking_lock(task, &objects.mutex),
    }
    check(task, objects);
}

/// Stores the counts of the member outside of the process, because it may be killed.
fn check(task: &Task, objects: &Objects) {
    let found = objects.region.stats().rechecks_that_found;
    let passed_on = objects.rechecks.fetch_max(found, SeqCst);
    if found > passed_on {
        task.side.figure(Figure::Rechecks).fetch_add(found - passed_on, SeqCst);
    }
}
