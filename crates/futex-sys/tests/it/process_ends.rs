//! The identity of other processes, and their ends.

use crate::fork::forked;
use crate::support::child::Process as Child;
use crate::support::{assert_refused, sandbox, skip, until};
use futex_sys::{Process, ProcessId, SharedMemory};
use proptest::prelude::*;
use rustix::process::{DumpableBehavior, Pid, Signal, kill_process, set_dumpable_behavior};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use std::array;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsRawFd as _;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// A process that does nothing until it is killed. Dropping this value kills and reaps it.
struct Sleeper(std::process::Child);

impl Sleeper {
    fn start() -> Self {
        Self::start_as(Command::new("sleep").arg("1000").stdin(Stdio::null()))
    }

    fn start_as(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::null()).spawn().expect("a child"))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn id(&self) -> ProcessId {
        ProcessId::from_pid(self.pid()).expect("the identity of a child")
    }

    fn kill(&mut self) {
        self.0.kill().expect("SIGKILL");
    }

    fn kill_and_reap(mut self) {
        self.kill();
        self.0.wait().expect("wait for the child");
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        // These calls do nothing if the process was reaped already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn has_ended(id: ProcessId) -> bool {
    id.open().expect("a process, whether it runs or not").has_ended().expect("poll")
}

fn read(memory: &SharedMemory) -> ProcessId {
    let words = array::from_fn(|index| memory.as_words()[1 + index].load(Ordering::Relaxed));
    ProcessId::from_words(words).expect("the identity that was published")
}

fn write(memory: &SharedMemory, id: ProcessId) {
    for (word, value) in memory.as_words()[1..5].iter().zip(id.to_words()) {
        word.store(value, Ordering::Relaxed);
    }
}

/// The role of a child that publishes itself and then sleeps.
pub(crate) fn publish(memory: &SharedMemory) {
    let state = memory.word(0).expect("a word");
    write(memory, ProcessId::current().expect("this process"));
    state.store(1, Ordering::Release);
    state.wake(u32::MAX);
    loop {
        state.wait(1, None).expect("wait");
    }
}

fn published(memory: &SharedMemory) -> ProcessId {
    let state = memory.word(0).expect("a word");
    while state.load(Ordering::Acquire) == 0 {
        state.wait(0, None).expect("wait");
    }
    read(memory)
}

/// Runs `wait` on a thread and, while that thread sleeps, calls `meanwhile`. Returns the result of `wait`.
fn asleep<T: Send>(wait: impl FnOnce() -> T + Send, meanwhile: impl FnOnce()) -> T {
    let (send, tid) = mpsc::channel();
    thread::scope(|scope| {
        let waiter = scope.spawn(move || {
            send.send(rustix::thread::gettid()).expect("the test receives it");
            wait()
        });
        let tid = tid.recv().expect("the thread sends it").as_raw_nonzero();
        until("the thread sleeps", || {
            let stat = fs::read_to_string(format!("/proc/self/task/{tid}/stat")).expect("a thread");
            stat[stat.rfind(')').expect("a name")..].starts_with(") S")
        });
        meanwhile();
        waiter.join().expect("the waiter")
    })
}

#[test]
fn a_peer_that_published_itself_and_is_killed_is_noticed_by_a_waiter() {
    let memory = SharedMemory::anonymous(4096).unwrap();
    let mut child = Child::start("publish-itself", &memory);
    let id = published(&memory);
    assert_eq!((id.pid(), id), (child.id(), ProcessId::from_pid(child.id()).unwrap()));
    let process = id.open().unwrap();
    assert!(!process.has_ended().unwrap());
    assert!(!process.wait(Some(Duration::from_millis(5))).unwrap());

    assert!(asleep(|| process.wait(Some(Duration::from_secs(3600))).unwrap(), || child.kill()));
    assert!(process.has_ended().unwrap());
    assert!(process.wait(None).unwrap());
    assert!(has_ended(id));
}

#[test]
fn a_wait_without_a_timeout_ends_with_the_process() {
    let child = Sleeper::start();
    let process = child.id().open().unwrap();
    assert!(asleep(|| process.wait(None).unwrap(), || child.kill_and_reap()));
}

#[test]
fn a_process_that_ended_before_it_was_opened_has_ended() {
    let child = Sleeper::start();
    let id = child.id();
    child.kill_and_reap();
    let process = id.open().unwrap();
    assert!(process.has_ended().unwrap());
    assert!(process.wait(None).unwrap());
    assert!(process.pidfd().is_none());
    assert_eq!(format!("{process:?}"), "Process { pidfd: None, has_ended: true }");
    assert!(process.into_pidfd().is_none());
    assert_refused(
        ProcessId::from_pid(id.pid()),
        ErrorKind::NotFound,
        &format!("there is no process {0}: it may have ended and been reaped, or {0} is a thread", id.pid()),
    );
}

#[test]
fn a_zombie_has_ended_and_has_an_identity() {
    let mut child = Sleeper::start();
    let before = child.id();
    let process = before.open().unwrap();
    child.kill();
    assert!(process.wait(None).unwrap());

    let id = child.id();
    assert_eq!(id, before);
    let zombie = id.open().unwrap();
    assert!(zombie.has_ended().unwrap());
    child.0.wait().unwrap();
    assert!(zombie.has_ended().unwrap());
}

#[test]
fn a_process_that_is_stopped_has_not_ended() {
    let child = Sleeper::start();
    let process = child.id().open().unwrap();
    let pid = Pid::from_child(&child.0);
    kill_process(pid, Signal::STOP).unwrap();
    until("the child is stopped", || {
        fs::read_to_string(format!("/proc/{}/stat", child.pid())).is_ok_and(|stat| stat.contains(") T "))
    });
    assert!(!process.has_ended().unwrap());
    child.kill_and_reap();
    assert!(process.has_ended().unwrap());
}

#[test]
fn the_current_process_and_its_pid_have_the_same_identity() {
    let id = ProcessId::current().unwrap();
    assert_eq!(id.pid(), std::process::id());
    assert_eq!(ProcessId::from_pid(std::process::id()).unwrap(), id);
    // The result is the same on another thread, although threads have their own start times.
    assert_eq!(thread::spawn(|| ProcessId::current().unwrap()).join().unwrap(), id);
    assert_eq!(ProcessId::from_words(id.to_words()).unwrap(), id);
    assert!(!has_ended(id));
}

#[test]
fn a_fork_has_another_identity_than_its_parent() {
    let parent = ProcessId::current().unwrap();
    let seen = forked(|| {
        let child = ProcessId::current().unwrap();
        u8::from(child != parent) | u8::from(!has_ended(child)) << 1 | u8::from(!has_ended(parent)) << 2
    });
    assert_eq!(seen, 0b111);
}

#[test]
fn exec_does_not_change_the_identity_of_a_process() {
    // The shell calls `exec` after the pipe is closed, so the identity is first that of the shell.
    let mut child =
        Sleeper::start_as(Command::new("sh").args(["-c", "read line; exec sleep 1000"]).stdin(Stdio::piped()));
    let id = child.id();
    let process = id.open().unwrap();
    drop(child.0.stdin.take());
    until("the child sleeps", || fs::read(format!("/proc/{}/comm", child.pid())).is_ok_and(|name| name == b"sleep\n"));
    assert_eq!(child.id(), id);
    assert!(!process.has_ended().unwrap() && !has_ended(id));
    child.kill_and_reap();
    assert!(process.has_ended().unwrap());
}

#[test]
fn a_published_process_whose_pid_was_reused_has_ended() {
    let [pid, low, high, namespace] = ProcessId::current().unwrap().to_words();
    for (low, high) in [(low.wrapping_sub(1), high), (low.wrapping_add(1), high), (low, high + 1), (0, 0)] {
        let earlier = ProcessId::from_words([pid, low, high, namespace]).unwrap();
        let process = earlier.open().unwrap();
        assert!(process.has_ended().unwrap() && process.wait(None).unwrap(), "{earlier:?}");
        assert!(process.pidfd().is_none());
    }
}

#[test]
fn a_published_process_whose_pid_was_reused_by_a_thread_has_ended() {
    let (stay, is_over) = mpsc::channel::<()>();
    let (send, tid) = mpsc::channel();
    let thread = thread::spawn(move || {
        send.send(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()).unwrap();
        let _ = is_over.recv();
    });
    let tid = tid.recv().unwrap();
    let [_, low, high, namespace] = ProcessId::current().unwrap().to_words();
    assert!(has_ended(ProcessId::from_words([tid, low, high, namespace]).unwrap()));
    assert_refused(ProcessId::from_pid(tid), ErrorKind::NotFound, &format!("there is no process {tid}"));
    drop(stay);
    thread.join().unwrap();
}

#[test]
fn numbers_that_are_not_pids_are_refused() {
    for pid in [0, 1 << 31, u32::MAX] {
        let text = format!("{pid} is not the pid of a process: pids are between 1 and 2147483647");
        assert_refused(ProcessId::from_pid(pid), ErrorKind::InvalidInput, &text);
    }
}

#[test]
fn words_that_no_process_has_are_refused() {
    let cases = [
        (
            [0, 0, 0, 0],
            "because none was published yet: load the words after the peer has reported that it stored them",
        ),
        ([0, 1, 1, 1], "because the first is not a pid"),
        ([1 << 31, 1, 1, 1], "because the first is not a pid"),
        ([u32::MAX; 4], "because the first is not a pid"),
        ([1, 1, 1, 0], "because the last is not a pid namespace"),
        ([1, 0, 1 << 31, 1], "because the second and the third are not a start time"),
    ];
    for (words, why) in cases {
        let text = format!("the words {words:?} are not the identity of a process, {why}");
        assert_refused(ProcessId::from_words(words), ErrorKind::InvalidData, &text);
    }
}

proptest! {
    #[test]
    fn any_words_are_a_process_or_an_error(
        mut words in any::<[u32; 4]>(),
        pid in prop_oneof![Just(1), Just(std::process::id()), 0..70_000_u32, any::<u32>()],
        namespace_is_ours: bool,
    ) {
        words[0] = pid;
        if namespace_is_ours {
            words[3] = ProcessId::current().unwrap().to_words()[3];
        }
        match ProcessId::from_words(words) {
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::InvalidData),
            Ok(id) => {
                prop_assert_eq!(id.to_words(), words);
                prop_assert_eq!(id.pid(), pid);
                match id.open() {
                    Ok(process) => prop_assert!(namespace_is_ours && process.wait(Some(Duration::ZERO)).is_ok()),
                    Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Unsupported),
                }
            }
        }
    }
}

#[test]
fn the_descriptor_of_a_process_is_closed_on_exec_and_fits_a_poller() {
    let child = Sleeper::start();
    let process = child.id().open().unwrap();
    let pidfd = process.pidfd().unwrap();
    assert!(rustix::io::fcntl_getfd(pidfd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    let number = pidfd.as_raw_fd();
    assert_eq!(
        format!("{process:?}"),
        format!("Process {{ pidfd: Some(OwnedFd {{ fd: {number} }}), has_ended: false }}")
    );
    child.kill_and_reap();
    let pidfd = process.into_pidfd().unwrap();
    assert_eq!(pidfd.as_raw_fd(), number);
    let mut fds = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut fds, None), Ok(1));
}

#[test]
fn without_pidfd_open_there_is_an_error_and_no_report_of_a_death() {
    if !sandbox::is_supported() {
        return skip("no seccomp filters for this processor");
    }
    let id = ProcessId::current().unwrap();
    for errno in [libc::EPERM, libc::ENOSYS, libc::EACCES] {
        thread::spawn(move || {
            sandbox::forbid([libc::SYS_pidfd_open], errno);
            assert_eq!(ProcessId::current().unwrap(), id);
            let text =
                format!("cannot watch process {}: this needs the system call pidfd_open (Linux 5.3), and", id.pid());
            assert_refused(id.open(), ErrorKind::Unsupported, &text);
            assert_refused(ProcessId::from_pid(id.pid()), ErrorKind::Unsupported, &text);
        })
        .join()
        .unwrap();
    }
}

/// Starts a child that plays `role` in its own namespaces. Skips the test if that is not possible here.
fn in_namespaces(unshare: &[&str], role: &str, memory: &SharedMemory) -> Option<Child> {
    Child::start_unshared(unshare, role, memory).map_err(skip).ok()
}

fn passes_in_namespaces(unshare: &[&str], role: &str) {
    let memory = SharedMemory::anonymous(4096).expect("a fixture");
    write(&memory, ProcessId::current().expect("a fixture"));
    if let Some(child) = in_namespaces(unshare, role, &memory) {
        let status = child.end();
        assert!(status.success(), "{status}");
    }
}

#[test]
fn a_process_that_was_published_in_another_pid_namespace_is_an_error() {
    let memory = SharedMemory::anonymous(4096).unwrap();
    let Some(_child) = in_namespaces(&["--pid", "--fork", "--kill-child"], "publish-itself", &memory) else { return };
    let id = published(&memory);
    assert_eq!(id.pid(), 1, "the child is not the first process of its namespace");
    // The result is neither the process 1 of this namespace nor a process that has ended.
    let text = format!("the process was published in the pid namespace {}, and this process is in ", id.to_words()[3]);
    assert_refused(id.open(), ErrorKind::Unsupported, &text);
}

#[test]
fn a_process_of_the_parent_pid_namespace_is_an_error() {
    passes_in_namespaces(&["--pid", "--fork", "--kill-child"], "refuse-another-pid-namespace");
}

pub(crate) fn refuse_another_pid_namespace(memory: &SharedMemory) {
    assert_refused(read(memory).open(), ErrorKind::Unsupported, "the process was published in the pid namespace");
}

/// A process has another number in the `/proc` of the parent's pid namespace. There, its own pid may belong to a process that
/// was born later.
#[test]
fn processes_are_watched_if_proc_is_of_another_pid_namespace() {
    passes_in_namespaces(&["--pid", "--fork", "--kill-child"], "watch-children");
}

#[test]
fn processes_are_watched_in_a_pid_namespace_with_a_proc_of_its_own() {
    passes_in_namespaces(&["--pid", "--fork", "--kill-child", "--mount-proc"], "watch-children");
}

/// The role of the first process of a pid namespace, in which all other pids are free.
pub(crate) fn watch_children() {
    let current = ProcessId::current().expect("this process");
    assert_eq!((current.pid(), current), (1, ProcessId::from_pid(1).expect("this process")));
    assert!(!has_ended(current));

    let first = Sleeper::start();
    let id = first.id();
    let process = id.open().expect("a process");
    assert!(!process.has_ended().expect("poll"));
    first.kill_and_reap();
    assert!(process.has_ended().expect("poll") && has_ended(id));

    // Reuses the pid for another process.
    loop {
        if let Err(error) = fs::write("/proc/sys/kernel/ns_last_pid", (id.pid() - 1).to_string()) {
            return skip(format_args!("the next pid can't be chosen here: {error}"));
        }
        let second = Sleeper::start();
        let successor = second.id();
        assert_eq!(successor.pid(), id.pid());
        let is_distinguished = successor != id;
        if is_distinguished {
            assert!(has_ended(id) && !has_ended(successor));
        }
        second.kill_and_reap();
        if is_distinguished {
            break; // otherwise both were born in the same clock tick
        }
    }
}

#[test]
fn without_proc_there_is_an_error_and_no_report_of_a_death() {
    passes_in_namespaces(
        &["--mount", "sh", "-c", "mount -t tmpfs none /proc && exec \"$0\" \"$@\""],
        "be-without-proc",
    );
}

pub(crate) fn be_without_proc(memory: &SharedMemory) {
    let text = "cannot determine the pid namespace of this process, which needs /proc mounted (";
    assert_refused(ProcessId::current(), ErrorKind::Unsupported, text);
    assert_refused(ProcessId::from_pid(1), ErrorKind::Unsupported, text);
    assert_refused(read(memory).open(), ErrorKind::Unsupported, text);
}

#[test]
fn a_time_namespace_is_an_error() {
    passes_in_namespaces(&["--time", "--fork", "--boottime", "1000"], "be-in-a-time-namespace");
}

pub(crate) fn be_in_a_time_namespace(memory: &SharedMemory) {
    let text = "this process is in a time namespace, which shifts the start times of processes";
    assert_refused(ProcessId::current(), ErrorKind::Unsupported, text);
    assert_refused(ProcessId::from_pid(std::process::id()), ErrorKind::Unsupported, text);
    assert_refused(read(memory).open(), ErrorKind::Unsupported, text);
}

/// `hidepid=4` shows only the processes that the caller may trace. (`hidepid=2` makes an exception for a group, by default that
/// of root.)
#[test]
fn a_process_that_proc_hides_is_an_error() {
    let script = "mount -t proc -o hidepid=4 proc /proc && exec \"$0\" \"$@\"";
    passes_in_namespaces(&["--pid", "--mount", "--fork", "--kill-child", "sh", "-c", script], "hide");
}

/// The role of the first process of a pid namespace, whose `/proc` hides it from other processes.
pub(crate) fn hide(memory: &SharedMemory) {
    write(memory, ProcessId::current().expect("this process"));
    set_dumpable_behavior(DumpableBehavior::NotDumpable).expect("a process that no other one may trace");
    let status = Child::start("look-for-the-hidden", memory).end();
    assert!(status.success(), "{status}");
}

pub(crate) fn look_for_the_hidden(memory: &SharedMemory) {
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none }).expect("none");
    assert!(!fs::exists("/proc/1/stat").is_ok_and(|is_there| is_there), "the process is not hidden");
    let text = "there is a process 1, but /proc does not show when it started (";
    assert_refused(read(memory).open(), ErrorKind::Unsupported, text);
    assert_refused(ProcessId::from_pid(1), ErrorKind::Unsupported, text);
    assert_eq!(ProcessId::from_pid(std::process::id()).expect("this one"), ProcessId::current().expect("this one"));
}

#[test]
fn many_threads_may_wait_for_the_end_of_one_process() {
    let child = Sleeper::start();
    let process: Process = child.id().open().unwrap();
    let ends = thread::scope(|scope| {
        let waiters = [(); 4].map(|()| scope.spawn(|| process.wait(None).unwrap()));
        child.kill_and_reap();
        waiters.map(|waiter| waiter.join().unwrap())
    });
    assert_eq!(ends, [true; 4]);
}
