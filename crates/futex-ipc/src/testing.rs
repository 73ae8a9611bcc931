//! Helpers of the unit tests: several members in this process, and processes that run a test of this program in another role.

use crate::region::Region;
use futex_sys::SharedMemory;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};
use std::ffi::OsStr;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const ROLE: &str = "FUTEX_IPC_TEST_ROLE";

/// The role of this process in a test, if the test has started it. The words of a role are separated by spaces.
pub(crate) fn role() -> Option<Vec<String>> {
    std::env::var(ROLE).ok().map(|role| role.split(' ').map(String::from).collect())
}

/// A process in a role. It is killed when this is dropped.
pub(crate) struct Actor(pub(crate) Child);

impl Actor {
    /// Starts a process that runs a test, named with its modules, in a role.
    pub(crate) fn start(test: &str, role: &[&str]) -> Self {
        Self::start_with(&[], test, role, Stdio::piped())
    }

    /// Starts a process with this standard input, by a program that runs another one.
    pub(crate) fn start_with(runner: &[&str], test: &str, role: &[&str], stdin: impl Into<Stdio>) -> Self {
        let program = std::env::current_exe().unwrap();
        let words = runner.iter().map(OsStr::new).chain([program.as_os_str()]).collect::<Vec<_>>();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(["--exact", test, "--nocapture"]);
        command.env(ROLE, role.join(" ")).env("RUST_BACKTRACE", "0");
        Self(command.stdin(stdin).stdout(Stdio::null()).spawn().unwrap())
    }

    /// Closes the standard input of the process, and returns when it has ended, without an error.
    pub(crate) fn finish(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Kills the process, and returns when it is gone.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Returns when the process has [stopped itself](stop_myself).
    pub(crate) fn until_stopped(&self) {
        let (_, status) = waitpid(Some(self.pid()), WaitOptions::UNTRACED).unwrap().unwrap();
        assert!(status.stopped(), "the process has ended");
    }

    /// Continues a process that has stopped itself.
    pub(crate) fn go_on(&mut self) {
        self.signal(Signal::CONT);
        self.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Stops this process, until [`Actor::go_on`].
pub(crate) fn stop_myself() {
    signal_myself(Signal::STOP);
    // A thread may run on for a moment until the signal reaches it.
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

pub(crate) fn signal_myself(signal: Signal) {
    kill_process(getpid(), signal).unwrap();
}

/// Returns when the standard input of this process is closed.
pub(crate) fn until_closed() {
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// Runs `body` in a fork, and returns the fork.
#[expect(unsafe_code, reason = "fork")]
pub(crate) fn fork(body: impl FnOnce()) -> Pid {
    // SAFETY: The child makes only calls that also work in a fork of a process with several threads: the allocator of the C
    // library is usable in a fork, and the tests that fork have a process of their own, in which no other thread does anything.
    match unsafe { libc::fork() } {
        0 => {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
            // SAFETY: The call has no precondition.
            unsafe { libc::_exit(i32::from(result.is_err())) }
        }
        pid => Pid::from_raw(pid).expect("fork"),
    }
}

/// Waits for a fork, which must end without a panic.
pub(crate) fn join_fork(fork: Pid) {
    let (_, status) = waitpid(Some(fork), WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(0), "an assertion failed in a fork");
}

/// Words that the processes of a test share, in a file.
pub(crate) fn side(path: &Path) -> SharedMemory {
    SharedMemory::open_path(path).unwrap()
}

/// A region with two members, both in this process.
pub(crate) fn two_members() -> [Region; 2] {
    let region = Region::builder().anonymous().unwrap();
    let other = another_member(&region);
    [region, other]
}

/// Another member of a region, in this process.
pub(crate) fn another_member(region: &Region) -> Region {
    Region::builder().from_fd(region.membership().as_fd()).unwrap()
}

/// Polls a future, lets other tasks run, and returns true if the future is not ready then.
#[cfg(feature = "tokio")]
pub(crate) async fn is_pending_after_a_turn<F: Future + Unpin>(future: &mut F) -> bool {
    tokio::select! {
        biased;
        _ = future => false,
        () = tokio::task::yield_now() => true,
    }
}
