//! Foreign code on the threads of the backends: wakers that panic, and wakers that need much stack.

use super::{has_waitv, until, until_waiting, word};
use crate::backends::{Turn, thread::Threads, waitv::Waitv};
use crate::engine::{Engine, Queues};
use crate::outcome::Outcome;
use crate::queue::Queue;
use crate::waiter::RawWaiter;
use futex_sys::Word;
use futex_sys::futex::MATCH_ANY;
use std::hint::black_box;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Barrier, OnceLock, Weak};
use std::task::{Context, Poll, Wake, Waker};

type Open = fn(Turn) -> Box<dyn Queue<Word>>;

const BACKENDS: [Open; 2] = [|turn| Box::new(Threads::new(turn)), |turn| Box::new(Waitv::new(turn))];

/// Returns those of the backends that the kernel has.
fn backends() -> impl Iterator<Item = Open> {
    BACKENDS.into_iter().take(if has_waitv() { 2 } else { 1 })
}

/// Makes an engine with one queue. The threads call `before` before each turn.
fn engine(open: Open, before: impl Fn() + Send + Sync + 'static) -> Arc<Engine<Word>> {
    let handle = Arc::new(OnceLock::<Weak<Engine<Word>>>::new());
    let turn: Turn = Arc::new({
        let handle = handle.clone();
        move || {
            before();
            if let Some(engine) = handle.get().and_then(Weak::upgrade) {
                engine.turn();
            }
        }
    });
    let queues = Queues { open: Box::new(move || Ok(open(turn.clone()))), room: usize::MAX, spread: 1, ready: None };
    let engine = Arc::new(Engine::new(queues).expect("a first queue"));
    let is_first = handle.set(Arc::downgrade(&engine)).is_ok();
    assert!(is_first);
    engine
}

/// A task that counts how often it was woken.
#[derive(Default)]
struct Task {
    wakes: AtomicU32,
    panics: bool,
}

impl Task {
    fn new(panics: bool) -> Arc<Self> {
        Arc::new(Self { panics, ..Self::default() })
    }

    fn wakes(&self) -> u32 {
        self.wakes.load(Ordering::Acquire)
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Release);
        assert!(!self.panics, "a waker panics on purpose");
    }
}

fn poll(engine: &Engine<Word>, word: &Word, wait: &mut RawWaiter<Word>, task: &Arc<Task>) -> Poll<Outcome> {
    let waker = Waker::from(task.clone());
    wait.poll_wait(engine, word, 0, MATCH_ANY, &mut Context::from_waker(&waker)).map(Result::unwrap)
}

/// Regression: the first panic ended the thread, and the second panic ended the process. In this test all waits end in one turn.
#[test]
fn wakers_that_panic_on_the_thread_of_a_backend_stop_neither_other_wakers_nor_later_waits() {
    const WAITS: u32 = 5;
    for (open, threads) in backends().zip([WAITS, 1]) {
        // No thread turns before the completions of all waits are there.
        let (all, once) = (Barrier::new(threads as usize), AtomicU32::new(0));
        let engine = engine(open, move || {
            if once.fetch_add(1, Ordering::Relaxed) < threads {
                all.wait();
            }
        });
        let word = word();
        let tasks: Vec<_> = (0..WAITS).map(|index| Task::new(index != 2)).collect();
        let mut waits: Vec<_> = tasks.iter().map(|_| RawWaiter::new()).collect();
        for (wait, task) in waits.iter_mut().zip(&tasks) {
            assert!(poll(&engine, &word, wait, task).is_pending());
        }
        until_waiting(&word, WAITS);
        assert_eq!(engine.stats().units, threads as usize);
        assert_eq!(word.wake(u32::MAX), WAITS);
        until("each task is woken", || tasks.iter().all(|task| task.wakes() == 1));
        for (wait, task) in waits.iter_mut().zip(&tasks) {
            assert_eq!(poll(&engine, &word, wait, task), Poll::Ready(Outcome::Woken));
        }

        // Later waits work, whichever thread takes them.
        for _ in 0..2 * WAITS {
            let (mut wait, task) = (RawWaiter::new(), Task::new(false));
            assert!(poll(&engine, &word, &mut wait, &task).is_pending());
            until_waiting(&word, 1);
            assert_eq!(word.wake(1), 1);
            until("the task is woken", || task.wakes() == 1);
            assert_eq!(poll(&engine, &word, &mut wait, &task), Poll::Ready(Outcome::Woken));
        }
        until("the idle threads end", || engine.stats().units == 0);
    }
}

/// Calls itself until the stack has grown by `bytes`.
fn use_stack(bytes: usize, start: Option<usize>) {
    let frame = black_box([0_u8; 1024]);
    let here = frame.as_ptr().addr();
    if start.unwrap_or(here).abs_diff(here) < bytes {
        use_stack(bytes, start.or(Some(here)));
    }
    black_box(frame);
}

/// Regression: the threads had stacks of 128 KiB, but wakers are foreign code. (A stack overflow ends the process, so the test
/// runs in a process of its own.)
#[test]
fn a_waker_may_use_a_mebibyte_of_stack_on_the_thread_of_a_backend() {
    in_its_own_process("a_waker_may_use_a_mebibyte_of_stack_on_the_thread_of_a_backend", || {
        for open in backends() {
            let done = Arc::new(AtomicBool::new(false));
            let mut backend = open({
                let done = done.clone();
                Arc::new(move || {
                    use_stack(1 << 20, None);
                    done.store(true, Ordering::Release);
                })
            });
            let word = word();
            backend.arm(0, word.clone(), 0, MATCH_ANY).unwrap();
            backend.submit().unwrap();
            until_waiting(&word, 1);
            word.wake(1);
            until("the turn is over", || done.load(Ordering::Acquire));
        }
    });
}

/// Runs the body of a test of this file in a process of its own.
fn in_its_own_process(test: &str, body: impl FnOnce()) {
    const VARIABLE: &str = "FUTEX_CORE_TEST_IN_ITS_OWN_PROCESS";

    if std::env::var_os(VARIABLE).is_some_and(|name| name == test) {
        return body();
    }
    let (_, module) = module_path!().split_once("::").expect("a module of the crate");
    let path = format!("{module}::{test}");
    let output = Command::new(std::env::current_exe().expect("the test's own path"))
        .args(["--exact", &path, "--nocapture"])
        .env(VARIABLE, test)
        .env_remove("RUST_MIN_STACK") // the promise holds for the default size
        .output()
        .expect("the test's process runs");
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "the process ended with {}\n{stdout}\n{stderr}", output.status);
    assert!(stdout.contains("1 passed"), "there is no test {path}");
}
