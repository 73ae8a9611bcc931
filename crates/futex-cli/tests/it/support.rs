//! What the tests share: the program as a child, objects for it, and the backends of this machine.

pub(crate) use futex_tests::{blocked, skip, until, until_waiters};

use futex_sys::{NamedMemory, WaitOutcome, Word};
use rustix::process::{Pid, Signal, kill_process};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

/// What nothing in these tests takes on the slowest machine.
const LIMIT: Duration = Duration::from_secs(60);

/// The program with these arguments.
pub(crate) fn futex<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_futex"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// [`futex`] on a backend.
pub(crate) fn futex_on<const N: usize>(backend: &str, arguments: [&str; N]) -> Command {
    let mut command = futex(arguments);
    command.env("FUTEX_BACKEND", backend);
    command
}

/// How a child ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// `None` after a signal.
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The end of a child that printed nothing but this.
pub(crate) fn ended(status: i32, stdout: &str, stderr: &str) -> Ended {
    Ended { status: Some(status), stdout: stdout.into(), stderr: stderr.into() }
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Ended {
    Running::start(command).end()
}

/// A child, which is killed if the test fails.
pub(crate) struct Running {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

impl Running {
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        // A pipe for what was not given another place.
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
        let (stdout, stderr) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
        Self { child, stdout: Lines::of(stdout), stderr: Lines::of(stderr) }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the child lives");
    }

    /// The next line of standard output.
    #[track_caller]
    pub(crate) fn line(&self) -> String {
        self.stdout.next().expect("a line")
    }

    /// The next line of standard error.
    #[track_caller]
    pub(crate) fn error_line(&self) -> String {
        self.stderr.next().expect("a line")
    }

    /// Waits for the end. What was not read before is in it.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ended {
        let rest = |lines: &Lines| std::iter::from_fn(|| lines.next()).map(|line| line + "\n").collect();
        let (stdout, stderr) = (rest(&self.stdout), rest(&self.stderr));
        let mut status = None;
        until(|| {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        Ended { status: status.and_then(|status| status.code()), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a pipe, which another thread reads.
struct Lines(Receiver<String>);

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        spawn(move || {
            // It ends with the pipe, or when the test has lost its interest.
            BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self(receiver)
    }

    /// `None` at the end.
    #[track_caller]
    fn next(&self) -> Option<String> {
        match self.0.recv_timeout(LIMIT) {
            Ok(line) => Some(line),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => None,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("no line within a minute"),
        }
    }
}

/// True if this process ignores a signal, as `nohup` and the background jobs of a script do. The programs that it starts inherit that.
pub(crate) fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).expect("the signals that are ignored");
    u64::from_str_radix(ignored, 16).expect("a hexadecimal number") >> (signal.as_raw() - 1) & 1 == 1
}

/// A page of shared memory under a name that no other test has.
pub(crate) fn page() -> NamedMemory {
    NamedMemory::create(new_name(), 4096).expect("shared memory")
}

pub(crate) fn new_name() -> String {
    static NAMES: AtomicU32 = AtomicU32::new(0);
    format!("futex-cli-{}-{}", std::process::id(), NAMES.fetch_add(1, Ordering::Relaxed))
}

/// The name of a page, as an argument.
pub(crate) fn name(page: &NamedMemory) -> &str {
    page.name().to_str().expect("it is of letters")
}

pub(crate) fn word(page: &NamedMemory, offset: usize) -> Word {
    page.word(offset).expect("a word")
}

/// Waits until a [`blocked`] thread is woken.
#[track_caller]
pub(crate) fn is_woken(thread: JoinHandle<WaitOutcome>) {
    until(|| thread.is_finished());
    assert_eq!(thread.join().expect("no panic"), WaitOutcome::Woken);
}

/// Changes a word, then wakes all.
pub(crate) fn change(word: &Word, value: u32) {
    word.store(value, Ordering::SeqCst);
    word.wake_all();
}

/// Runs a test on each backend that this machine has.
pub(crate) fn on_each_backend(test: impl Fn(&'static str)) {
    for backend in ["uring", "waitv", "thread"] {
        if has(backend) {
            // Shown with the output of a test that fails.
            eprintln!("on {backend}");
            test(backend);
        }
    }
}

fn has(backend: &str) -> bool {
    let page = page();
    // The word is 0, so it does not wait for it to stop being 1.
    let ended = run(&mut futex_on(backend, ["wait", name(&page), "0", "1"]));
    if ended.status == Some(0) {
        return true;
    }
    // Not a skip: this build has no such backend, as was asked for.
    if backend != "uring" || cfg!(feature = "uring") {
        skip(&ended.stderr);
    }
    false
}

/// Runs a body on a thread, whose children too get this error from these system calls.
pub(crate) fn forbidden<const N: usize>(
    calls: [impl Into<i64>; N],
    errno: libc::c_int,
    body: impl FnOnce() + Send + 'static,
) {
    let rules = calls.map(|call| (call.into(), Vec::new())).into();
    let forbid = move || {
        let errno = SeccompAction::Errno(errno.unsigned_abs());
        let arch = std::env::consts::ARCH.try_into().expect("a processor that seccompiler knows");
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, errno, arch).expect("a filter");
        seccompiler::apply_filter(&BpfProgram::try_from(filter).expect("a program")).expect("seccomp");
        body();
    };
    if let Err(panic) = spawn(forbid).join() {
        std::panic::resume_unwind(panic);
    }
}
