//! Tasks that wait for the end of another process.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use futex_tests::load::runtime;
use futex_tests::peer::Peer;
use futex_tests::{arm, block_on, eventually, on_each_runtime, within};
use futex_tokio::{AsyncFutex, ProcessEnd, ProcessId, SharedMemory, Word, process_end};
use futures_util::future::join_all;
use std::array;
use std::fs;
use std::future::{Future as _, poll_fn};
use std::io::ErrorKind;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::task::Poll;
use tokio::runtime::Builder;

const PEER: &str = env!("CARGO_BIN_EXE_peer");

/// A process that sleeps until it is killed. Dropping this kills it.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Self {
        let mut command = Command::new("sleep");
        Self(command.arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    fn id(&self) -> ProcessId {
        ProcessId::from_pid(self.0.id()).unwrap()
    }

    fn end(&self) -> ProcessEnd {
        process_end(self.id()).unwrap()
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
    }

    fn reap(&mut self) {
        self.0.wait().unwrap();
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        // The calls fail if the process has ended and was reaped.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the identity that a peer has published after a word.
async fn published(memory: &SharedMemory, state: &AsyncFutex) -> ProcessId {
    within(state.wait_until(|state| state != 0)).await.unwrap();
    let words = array::from_fn(|index| memory.as_words()[1 + index].load(Ordering::Relaxed));
    ProcessId::from_words(words).unwrap()
}

#[test]
fn a_select_notices_that_a_worker_is_killed() {
    on_each_runtime(async || {
        let memory = SharedMemory::anonymous(4096).unwrap();
        let state = AsyncFutex::new(memory.word(0).unwrap()).unwrap();
        let answer = AsyncFutex::new(memory.word(64).unwrap()).unwrap();
        let mut worker = Peer::start(PEER, &memory);
        worker.tell("publish");
        let id = published(&memory, &state).await;
        assert_eq!(id.pid(), worker.id());

        let word = answer.word().clone();
        let supervisor = tokio::spawn(async move {
            let mut end = process_end(id)?;
            let mut answers = 0;
            loop {
                tokio::select! {
                    value = answer.wait_until(|value| value != answers) => answers = value?,
                    ended = &mut end => return ended.map(|()| answers),
                }
            }
        });
        for value in 1..=3 {
            until_waiting(&word).await;
            worker.tell(format_args!("store 64 {value}"));
            worker.ask("wake 64 1");
        }
        until_waiting(&word).await;
        worker.kill();
        assert_eq!(within(supervisor).await.unwrap().unwrap(), 3);
    });
}

/// Returns when a task waits on a word. Another thread may arm the wait.
async fn until_waiting(word: &Word) {
    eventually(|| word.waiters().unwrap() == 1).await;
}

#[test]
fn an_end_is_ready_at_the_first_poll_if_the_process_has_ended_already() {
    on_each_runtime(async || {
        let mut child = Sleeper::start();
        let id = child.id();
        let process = id.open().unwrap();
        child.kill();
        assert!(process.wait(None).unwrap());
        // The end is ready while the process is a zombie,
        assert!(is_ready(&mut child.end()).await);
        child.reap();
        // and after it was reaped.
        assert!(is_ready(&mut process_end(id).unwrap()).await);
        // It is also ready if another process has the pid now.
        let [pid, low, high, namespace] = ProcessId::current().unwrap().to_words();
        let earlier = ProcessId::from_words([pid, low - 1, high, namespace]).unwrap();
        assert!(is_ready(&mut process_end(earlier).unwrap()).await);
    });
}

async fn is_ready(end: &mut ProcessEnd) -> bool {
    let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut *end).poll(cx))).await;
    polled.map(Result::unwrap).is_ready()
}

#[test]
fn an_end_that_was_ready_stays_ready_and_has_closed_its_descriptor() {
    on_each_runtime(async || {
        let mut child = Sleeper::start();
        let pid = child.0.id();
        let mut end = child.end();
        assert_eq!(format!("{end:?}"), format!("ProcessEnd {{ pid: {pid}, has_ended: false }}"));
        arm(&mut end).await;
        assert_eq!(pidfds_of(pid), 1);
        child.kill();
        within(&mut end).await.unwrap();
        assert_eq!(pidfds_of(pid), 0);
        child.reap();
        for _ in 0..3 {
            assert!(is_ready(&mut end).await);
        }
        assert_eq!(format!("{end:?}"), format!("ProcessEnd {{ pid: {pid}, has_ended: true }}"));
    });
}

#[test]
fn a_dropped_end_closes_its_descriptor_and_leaves_the_process_alone() {
    on_each_runtime(async || {
        let child = Sleeper::start();
        let mut end = child.end();
        arm(&mut end).await;
        drop(end);
        assert_eq!(pidfds_of(child.0.id()), 0);
        assert!(!child.id().open().unwrap().has_ended().unwrap());
    });
}

/// Returns the number of pidfds that this process has of a process that was not reaped.
fn pidfds_of(pid: u32) -> usize {
    let line = format!("Pid:\t{pid}");
    let entries = fs::read_dir("/proc/self/fdinfo").unwrap();
    // Descriptors of other tests may be closed meanwhile.
    let infos = entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    infos.filter(|info| info.lines().any(|found| found == line)).count()
}

#[test]
fn the_end_of_a_process_that_exits_by_itself_is_noticed() {
    on_each_runtime(async || {
        let mut child = Command::new("sh").args(["-c", "read line"]).stdin(Stdio::piped()).spawn().unwrap();
        let mut end = process_end(ProcessId::from_pid(child.id()).unwrap()).unwrap();
        arm(&mut end).await;
        drop(child.stdin.take());
        within(end).await.unwrap();
        child.wait().unwrap();
    });
}

#[test]
fn all_tasks_that_wait_for_one_end_are_woken() {
    on_each_runtime(async || {
        let mut child = Sleeper::start();
        let tasks: Vec<_> = (0..10).map(|_| tokio::spawn(child.end())).collect();
        child.kill();
        for ended in within(join_all(tasks)).await {
            ended.unwrap().unwrap();
        }
    });
}

#[test]
fn each_end_is_ready_only_after_its_own_process_has_ended() {
    on_each_runtime(async || {
        let mut children: Vec<_> = (0..20).map(|_| Sleeper::start()).collect();
        let mut ends: Vec<_> = children.iter().map(Sleeper::end).collect();
        for end in &mut ends {
            arm(end).await;
        }
        for index in (0..20).step_by(2) {
            children[index].kill();
        }
        for (index, end) in ends.iter_mut().enumerate() {
            if index % 2 == 0 {
                within(end).await.unwrap();
            } else {
                arm(end).await;
            }
        }
    });
}

#[test]
fn an_end_may_be_awaited_anywhere_while_its_runtime_runs() {
    let mut child = Sleeper::start();
    let runtime = runtime();
    let (mut here, there) = {
        let _guard = runtime.enter();
        (child.end(), child.end())
    };
    let other = Builder::new_current_thread().enable_all().build().unwrap();
    other.block_on(arm(&mut here));
    child.kill();
    other.block_on(within(here)).unwrap();
    block_on(there).unwrap();
}

#[test]
fn the_shutdown_of_the_runtime_is_an_error_and_not_the_end_of_the_process() {
    let child = Sleeper::start();
    let runtime = runtime();
    let mut end = {
        let _guard = runtime.enter();
        child.end()
    };
    let pid = child.0.id();
    let other = Builder::new_current_thread().enable_all().build().unwrap();
    let waiter = std::thread::spawn(move || {
        let first = other.block_on(async { within(&mut end).await }).unwrap_err();
        let again = other.block_on(async { within(&mut end).await }).unwrap_err();
        (first, again)
    });
    drop(runtime);
    let (first, again) = waiter.join().unwrap();
    for error in [first, again] {
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert!(error.to_string().starts_with(&format!("process {pid} is not watched any more: ")), "{error}");
    }
    assert!(!child.id().open().unwrap().has_ended().unwrap());
}

#[test]
fn process_end_without_a_runtime_or_an_io_driver_returns_an_error() {
    let id = ProcessId::current().unwrap();
    let error = process_end(id).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.to_string(), "there is no Tokio runtime here: call `process_end` within one");

    let runtime = Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(async { process_end(id) }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let pid = std::process::id();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot watch process {pid} with this runtime: this Tokio runtime has no I/O driver: build it with \
             `enable_io` or `enable_all`"
        )
    );

    let runtime = self::runtime();
    let handle = runtime.handle().clone();
    drop(runtime);
    let _guard = handle.enter();
    let error = process_end(id).unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot watch process {pid} with this runtime: ")), "{error}");
}

/// A fork shares its parent's epoll. When it dropped its copy, the parent no longer watched the process.
#[tokio::test]
async fn a_fork_that_drops_its_copy_of_an_end_does_not_stop_its_parent_from_watching() {
    let memory = SharedMemory::anonymous(4096).unwrap();
    let mut child = Sleeper::start();
    let mut peer = Peer::start(PEER, &memory);
    peer.begin(format_args!("fork-watching {}", child.0.id()));
    assert_eq!(
        peer.report().await,
        "fork error Unsupported: this future belongs to the process that this one was forked from: call `process_end` here"
    );
    assert_eq!(peer.report().await, "fork-status 0");
    assert_eq!(peer.report().await, "parent pending");
    child.kill();
    assert_eq!(peer.report().await, "parent ok");
    assert_eq!(peer.answer(), "ok");
}
