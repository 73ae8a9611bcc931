//! Processes that wait, and the command that looks at them.

pub(crate) use futex_tests::{skip, until, until_waiters};

use futex_sys::futex::{Scope, WaitvEntry, waitv};
use futex_sys::{NamedMemory, SharedMemory};
use serde_json::Value;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) const FUTEX: &str = env!("CARGO_BIN_EXE_futex");

/// The backends that this system has.
pub(crate) fn backends() -> Vec<&'static str> {
    let has = |backend| match backend {
        "uring" => cfg!(feature = "uring") && has_rings(),
        "waitv" => has_waitv(),
        _ => true,
    };
    ["uring", "waitv", "thread"].into_iter().filter(|backend| has(backend)).collect()
}

fn has_waitv() -> bool {
    let word = AtomicU32::new(0);
    let other = WaitvEntry::new(&word, Scope::Shared, 1);
    waitv(&[other], None).inspect_err(|error| skip(&format!("no futex_waitv: {error}"))).is_ok()
}

#[cfg(feature = "uring")]
fn has_rings() -> bool {
    futex_sys::uring::FutexRing::new().inspect_err(|error| skip(&format!("no io_uring: {error}"))).is_ok()
}

#[cfg(not(feature = "uring"))]
fn has_rings() -> bool {
    false
}

/// A name that no other test has.
pub(crate) fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("futex-cli-{what}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Memory with a name, which is removed when it is dropped.
pub(crate) fn named(what: &str, len: usize) -> (String, NamedMemory) {
    let name = unique(what);
    let memory = NamedMemory::create(&name, len).unwrap();
    (name, memory)
}

/// What `futex show OBJECT --json` says once it shows that each of the waiters of the word at `offset` is a thread of `pid`.
///
/// Between the moment when a thread is counted and the one when it sleeps, `/proc` says that it runs. Waits of the backend
/// `thread` begin anew from time to time.
#[track_caller]
pub(crate) fn until_attributed(mut show: impl FnMut() -> Value, offset: usize, pid: u32) -> Value {
    let mut shown = Value::Null;
    until(|| {
        shown = show();
        find(&shown["words"], "offset", offset).is_some_and(|word| {
            let is_queued = |sleeper: &Value| sleeper["is_queued"] == true;
            find(&word["sleepers"], "pid", pid).is_some_and(is_queued)
                && word["waiters"] == 1
                && word["unattributed"] == 0
        })
    });
    shown
}

/// A process. It is killed when this is dropped.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Waits for a word as long as it is 0.
    pub(crate) fn waiter(backend: &str, object: &str, offset: usize) -> Self {
        let mut command = Command::new(FUTEX);
        command.args(["wait", object, &offset.to_string(), "0"]).env("FUTEX_BACKEND", backend);
        Self::start(command)
    }

    pub(crate) fn start(mut command: Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Stops the process, or continues it, and returns when it is so.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, signal).unwrap();
        let is_stopped = signal == rustix::process::Signal::STOP;
        until(|| matches!(state(self.id()), 'T') == is_stopped);
    }

    /// Kills the process and returns when it is gone.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The letter of a process's state.
fn state(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

pub(crate) fn run<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Output {
    finish(Command::new(FUTEX).args(args))
}

/// Runs a command, which must not panic.
#[track_caller]
pub(crate) fn finish(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.contains("panicked") && output.status.code().is_some(), "{:?}: {errors}", output.status);
    output
}

/// What a command prints, which has to succeed.
#[track_caller]
pub(crate) fn text<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> String {
    let output = run(args);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
pub(crate) fn json<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Value {
    serde_json::from_str(&text(args)).unwrap()
}

/// The sentence of a command that has to fail with status 1.
#[track_caller]
pub(crate) fn refusal(output: Output) -> String {
    assert_eq!((output.status.code(), output.stdout), (Some(1), Vec::new()));
    String::from_utf8(output.stderr).unwrap()
}

/// The element of an array whose field has this value.
pub(crate) fn find<'a>(array: &'a Value, field: &str, value: impl Into<Value>) -> Option<&'a Value> {
    let value = value.into();
    array.as_array().unwrap().iter().find(|element| element[field] == value)
}

pub(crate) fn blocks(memory: &SharedMemory) -> i64 {
    rustix::fs::fstat(memory).unwrap().st_blocks
}

/// The command as a user without rights runs it, from a place that this user can reach.
pub(crate) struct Nobody {
    directory: tempfile::TempDir,
}

impl Nobody {
    /// `None`, after a message, if this process may not become another user.
    pub(crate) fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skip("only root can become another user");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open_to_all).unwrap();
        std::fs::copy(FUTEX, directory.path().join("futex")).unwrap();
        std::fs::copy(std::env::current_exe().unwrap(), directory.path().join("test")).unwrap();
        let nobody = Self { directory };
        if nobody.command("futex").arg("--version").output().is_ok_and(|output| output.status.success()) {
            return Some(nobody);
        }
        skip("another user can't run a program in the directory of temporary files");
        None
    }

    /// `futex`, or `test`, which is this program.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.directory.path().join(program));
        command.uid(65534).gid(65534).current_dir("/");
        command
    }
}
