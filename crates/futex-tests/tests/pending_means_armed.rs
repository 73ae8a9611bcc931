//! Pending means armed: on `Uring`, a wait that has returned `Pending` is in the kernel. A plain `FUTEX_WAKE` of any origin
//! counts it, whatever its task and its runtime do next.
//!
//! The story: a wait that began within 3 µs of another one on the same thread was deferred to the end of the scheduler's tick.
//! All deferred waits then reached the kernel with one system call. Before that, only a wake by an `AsyncFutex` of the same
//! reactor found them. A wake by another process, by another runtime, or by the word alone found nobody. A thread that did not
//! reach the end of its tick (a nested executor, a `block_on` that returned) never armed them.
//!
//! The other backends promise less, because a thread may not have parked yet. So these tests are for `Uring` only.

use futex_tests::peer::Peer;
use futex_tests::{block_on, eventually, is_pending, on_each_runtime, skip, until, within};
use futex_tokio::{AsyncFutex, Backend, Reactor, SharedMemory, WaitAsync, wait_any};
use futures_util::future::join;
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use tokio::runtime::{Builder, Runtime};

const PEER: &str = env!("CARGO_BIN_EXE_peer");

/// Returns a reactor on `Uring`, or `None` if io_uring is not available.
fn uring() -> Option<Reactor> {
    let reactor = Reactor::builder().backend(Backend::Uring).build();
    reactor.map_err(|error| skip(&error.to_string())).ok()
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The origin of a wake.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// The waiting task, by the word alone.
    ThisTask,
    /// The waiting task, by its futex.
    ThisFutex,
    /// A thread without a runtime, by the word alone.
    AnotherThread,
    /// A task of another runtime, by a futex of that runtime's reactor.
    AnotherRuntime,
    /// Another process, by the word alone.
    AnotherProcess,
}

const EVERYWHERE: [Source; 5] =
    [Source::ThisTask, Source::ThisFutex, Source::AnotherThread, Source::AnotherRuntime, Source::AnotherProcess];

/// Words in shared memory, a futex for each word, and another process that maps the memory.
struct Words {
    memory: SharedMemory,
    futexes: Vec<AsyncFutex>,
    peer: Peer,
}

impl Words {
    fn new(reactor: &Reactor, count: usize) -> Self {
        let memory = SharedMemory::anonymous(4 * count).expect("memory");
        let word = |index| memory.word(4 * index).expect("a word");
        let futexes = (0..count).map(|index| AsyncFutex::with_reactor(reactor, word(index))).collect();
        let peer = Peer::start(PEER, &memory);
        Self { memory, futexes, peer }
    }

    /// Wakes one waiter of a word. The runtime of the calling task does nothing meanwhile. Returns the kernel's count.
    fn wake(&mut self, from: Source, index: usize) -> u32 {
        let word = self.memory.word(4 * index).expect("a word");
        match from {
            Source::ThisTask => word.wake(1),
            Source::ThisFutex => self.futexes[index].wake(1),
            Source::AnotherThread => std::thread::spawn(move || word.wake(1)).join().expect("a wake"),
            Source::AnotherRuntime => {
                let woken =
                    move || current_thread().block_on(async { AsyncFutex::new(word).expect("a futex").wake(1) });
                std::thread::spawn(woken).join().expect("a wake")
            }
            Source::AnotherProcess => self.peer.ask(format_args!("wake {} 1", 4 * index)).parse().expect("a number"),
        }
    }

    /// Makes one wake for each word. Returns the sum of the kernel's counts.
    fn wake_each(&mut self, from: Source) -> u32 {
        (0..self.futexes.len()).map(|index| self.wake(from, index)).sum()
    }
}

/// Polls all waits in one poll of the calling task.
async fn poll_each(waits: &mut [WaitAsync<'_>]) {
    let all_pending = poll_fn(|cx| Poll::Ready(waits.iter_mut().all(|wait| Pin::new(wait).poll(cx).is_pending())));
    assert!(all_pending.await, "a wait is over already");
}

async fn all_end(waits: Vec<WaitAsync<'_>>) {
    for wait in waits {
        within(wait).await.expect("a wake");
    }
}

#[test]
fn the_kernel_counts_each_wait_that_a_task_has_polled_for_wakes_of_any_origin() {
    for from in EVERYWHERE {
        on_each_runtime(async || {
            let Some(reactor) = uring() else { return };
            let mut words = Words::new(&reactor, 64);
            let futexes = words.futexes.clone();
            let mut waits: Vec<_> = futexes.iter().map(|futex| futex.wait_async(0)).collect();
            poll_each(&mut waits).await;
            assert_eq!(words.wake_each(from), 64, "from {from:?}");
            all_end(waits).await;
        });
    }
}

#[test]
fn the_kernel_counts_each_wait_that_a_task_has_polled_on_one_word() {
    for from in EVERYWHERE {
        on_each_runtime(async || {
            let Some(reactor) = uring() else { return };
            let mut words = Words::new(&reactor, 1);
            let futex = words.futexes[0].clone();
            let mut waits: Vec<_> = (0..64).map(|_| futex.wait_async(0)).collect();
            poll_each(&mut waits).await;
            let counted: u32 = (0..64).map(|_| words.wake(from, 0)).sum();
            assert_eq!(counted, 64, "from {from:?}");
            all_end(waits).await;
        });
    }
}

#[test]
fn the_kernel_counts_each_word_of_a_wait_any_for_wakes_of_any_origin() {
    for from in EVERYWHERE {
        on_each_runtime(async || {
            let Some(reactor) = uring() else { return };
            let mut words = Words::new(&reactor, 20);
            let futexes = words.futexes.clone();
            let list: Vec<_> = futexes.iter().map(|futex| (futex, 0)).collect();
            let mut any = pin!(wait_any(&list));
            assert!(is_pending(&mut any).await);
            assert_eq!(words.wake_each(from), 20, "from {from:?}");
            assert!(within(any).await.expect("a wake").0 < 20);
        });
    }
}

#[test]
fn a_change_that_is_woken_and_taken_back_before_the_task_runs_ends_the_wait() {
    on_each_runtime(async || {
        let Some(reactor) = uring() else { return };
        let mut words = Words::new(&reactor, 16);
        let futexes = words.futexes.clone();
        let mut waits: Vec<_> = futexes.iter().map(|futex| futex.wait_async(0)).collect();
        poll_each(&mut waits).await;
        for index in 0..futexes.len() {
            words.peer.tell(format_args!("store {} 1", 4 * index));
            words.peer.ask(format_args!("wake {} 1", 4 * index));
            words.peer.tell(format_args!("store {} 0", 4 * index));
        }
        // A wait that reached the kernel only after the changes would sleep.
        eventually(|| reactor.stats().woken == 16).await;
        all_end(waits).await;
    });
}

#[test]
fn the_kernel_counts_waits_of_a_runtime_that_does_not_run() {
    for from in [Source::AnotherThread, Source::AnotherRuntime, Source::AnotherProcess] {
        let home = current_thread();
        let Some(reactor) = home.block_on(async { uring() }) else { return };
        let mut words = Words::new(&reactor, 64);
        let futexes = words.futexes.clone();
        let mut waits: Vec<_> = futexes.iter().map(|futex| futex.wait_async(0)).collect();
        home.block_on(poll_each(&mut waits));
        assert_eq!(words.wake_each(from), 64, "from {from:?}");
        home.block_on(all_end(waits));
    }
}

/// The task blocks its worker with a nested executor. The other worker turns the reactor.
///
/// Only the worker that had deferred waits could flush them. This worker slept until a wake, and its second wait was not in the
/// kernel, so no wake could find it.
#[test]
fn a_task_that_blocks_its_worker_is_woken_as_long_as_another_worker_is_free() {
    const ROUNDS: u32 = 20_000;
    let home = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let Some(reactor) = home.block_on(async { uring() }) else { return };
    let futexes = [(); 2].map(|()| AsyncFutex::with_reactor(&reactor, Arc::new(AtomicU32::new(0))));
    let words = futexes.clone().map(|futex| futex.word().clone());
    // The last round whose waits have returned `Pending`.
    let polled = Arc::new(AtomicU32::new(0));

    let task = home.spawn({
        let polled = polled.clone();
        async move {
            for round in 1..=ROUNDS {
                let mut both = pin!(join(futexes[0].wait_async(0), futexes[1].wait_async(0)));
                let (first, second) = block_on(poll_fn(|cx| {
                    let poll = both.as_mut().poll(cx);
                    polled.store(round, Ordering::Release);
                    poll
                }));
                first.and(second).expect("a wake");
            }
        }
    });
    let waker = std::thread::spawn(move || {
        for round in 1..=ROUNDS {
            until(|| polled.load(Ordering::Acquire) == round);
            assert_eq!(words.each_ref().map(|word| word.wake(1)), [1, 1], "in round {round}");
        }
    });
    if let Err(panic) = waker.join() {
        home.shutdown_background(); // the task blocks a worker forever
        std::panic::resume_unwind(panic);
    }
    home.block_on(within(task)).expect("the task has ended");
}
