//! A process that uses the objects of the region while another one overwrites it.

use crate::chance::Chance;
use crate::children;
use crate::control::{Control, Figure, Stop};
use futex_ipc::Region;
use futex_tests::allocator;
use std::cell::Cell;
use std::future::Future as _;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::{Duration, Instant};
use tokio::task::{LocalSet, yield_now};

/// Maximum number of bytes that a victim allocates.
const BYTES: usize = 64 << 20;
/// Number of seconds after which a thread that does nothing is stuck. No operation takes that long.
const PATIENCE: u64 = 30;
/// Number of threads that block.
const BLOCKED: usize = 2;
const TASKS: usize = 4;

/// Objects of one kind, and what is done with them.
pub(crate) trait Kit: Sized + 'static {
    /// Opens the objects, or makes them.
    fn open(region: &Region) -> io::Result<Self>;

    /// One operation, which may last forever.
    async fn round(&self, play: &Play);

    /// One operation, which has a deadline.
    fn blocking_round(&self, play: &Play);
}

/// The state that the rounds of a task share.
pub(crate) struct Play {
    control: Arc<Control>,
    pub(crate) chance: Chance,
    /// Number of errors in a row.
    errors: Cell<u32>,
}

impl Play {
    fn new(control: &Arc<Control>, seed: u64) -> Self {
        let seed = u64::from(std::process::id()) << 32 | seed;
        Self { control: control.clone(), chance: Chance::new(seed), errors: Cell::new(0) }
    }

    /// The value of an operation.
    pub(crate) fn value<T>(&self, result: io::Result<T>) -> Option<T> {
        let value = self.control.outcome(result, Figure::Succeeded, Figure::Failed);
        self.errors.set(if value.is_some() { 0 } else { self.errors.get() + 1 });
        value
    }

    /// True if the membership was marked as damaged, or if all operations fail.
    fn is_useless(&self) -> bool {
        self.errors.get() > 20
    }
}

/// The progress of the threads.
#[derive(Default)]
struct Progress {
    threads: [AtomicU64; BLOCKED + 1],
}

/// The role of a victim.
pub(crate) fn suffer<K: Kit>() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        hook(panic);
        std::process::abort();
    }));
    let control = Arc::new(Control::of_parent());
    let progress = Arc::new(Progress::default());
    let file = children::file(0);
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for thread in 0..BLOCKED {
            let (control, progress, file) = (&control, &progress, &file);
            threads.push(scope.spawn(move || block::<K>(control, &progress.threads[thread], file, thread as u64)));
        }
        threads.push(scope.spawn(|| run_tasks::<K>(&control, &progress.threads[BLOCKED], &file)));
        watch(&control, &progress, &|| threads.iter().map(|thread| thread.is_finished()).collect());
    });
}

/// Ends the process if a thread is stuck, or if too much is allocated.
fn watch(control: &Control, progress: &Progress, are_finished: &dyn Fn() -> Vec<bool>) {
    let mut seen = progress.threads.each_ref().map(|_| (0, Instant::now()));
    loop {
        let finished = are_finished();
        if finished.iter().all(|&finished| finished) {
            return;
        }
        let bytes = allocator::live();
        control.figure(Figure::Bytes).fetch_max(bytes as u64, SeqCst);
        assert!(bytes < BYTES, "{bytes} bytes are allocated");
        for (thread, (count, since)) in seen.iter_mut().enumerate() {
            let now = progress.threads[thread].load(Relaxed);
            if now != *count || finished[thread] {
                (*count, *since) = (now, Instant::now());
            }
            let kind = if thread < BLOCKED { "that blocks" } else { "of the runtime" };
            assert!(since.elapsed().as_secs() < PATIENCE, "thread {thread} ({kind}) is stuck");
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Joins the region and opens the objects.
fn join<K: Kit>(control: &Control, file: &std::fs::File) -> Option<(Region, K)> {
    let region =
        control.outcome(Region::builder().label("a victim").from_fd(file), Figure::Joins, Figure::JoinsRefused)?;
    let kit = control.outcome(K::open(&region), Figure::Opened, Figure::NotOpened)?;
    Some((region, kit))
}

fn block<K: Kit>(control: &Arc<Control>, progress: &AtomicU64, file: &std::fs::File, seed: u64) {
    let play = Play::new(control, seed);
    while !control.is_over(Stop::Victims) {
        progress.fetch_add(1, Relaxed);
        let Some((region, kit)) = join::<K>(control, file) else { continue };
        play.errors.set(0);
        for _ in 0..1 + play.chance.below(200) {
            if play.is_useless() || control.is_over(Stop::Victims) {
                break;
            }
            kit.blocking_round(&play);
            progress.fetch_add(1, Relaxed);
        }
        drop(region);
    }
}

fn run_tasks<K: Kit>(control: &Arc<Control>, progress: &AtomicU64, file: &std::fs::File) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut seed = 100;
    while !control.is_over(Stop::Victims) {
        progress.fetch_add(1, Relaxed);
        let Some((region, kit)) = join::<K>(control, file) else { continue };
        let kit = Rc::new(kit);
        let tasks = LocalSet::new();
        let handles: Vec<_> = (0..TASKS)
            .map(|_| {
                seed += 1;
                let (play, kit) = (Play::new(control, seed), kit.clone());
                tasks.spawn_local(async move {
                    for _ in 0..1 + play.chance.below(100) {
                        if play.is_useless() || play.control.is_over(Stop::Victims) {
                            break;
                        }
                        if play.chance.or_gives_up(kit.round(&play)).await.is_none() {
                            play.control.count(Figure::GivenUp);
                        }
                    }
                })
            })
            .collect();
        // The watchdog: it turns only if each operation returns to the runtime.
        tasks.spawn_local({
            let (control, region) = (control.clone(), region.clone());
            // In some sessions.
            let closes = seed % (3 * TASKS as u64) == 0;
            async move {
                while handles.iter().any(|handle| !handle.is_finished()) {
                    control.count(Figure::Ticks);
                    yield_now().await;
                    if closes && handles[0].is_finished() {
                        region.close();
                    }
                }
            }
        });
        runtime.block_on(async {
            let mut tasks = std::pin::pin!(tasks);
            std::future::poll_fn(|cx| {
                progress.fetch_add(1, Relaxed);
                tasks.as_mut().poll(cx)
            })
            .await;
        });
        drop(region);
    }
}
