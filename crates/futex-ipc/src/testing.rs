//! What the tests with several processes share. A test starts its own program again, to run the same test in another role.

use futex_sys::SharedMemory;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicU32;

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
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture"]).env(ROLE, role.join(" ")).env("RUST_BACKTRACE", "0");
        Self(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap())
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

/// Words that the processes of a test share, in a file.
pub(crate) fn side(path: &Path) -> SharedMemory {
    SharedMemory::open_path(path).unwrap()
}

/// A random number below `limit`, which is at most 65,536.
pub(crate) fn random(limit: u32) -> u32 {
    use std::sync::atomic::Ordering::Relaxed;
    static STATE: AtomicU32 = AtomicU32::new(0);
    if STATE.load(Relaxed) == 0 {
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
        STATE.store(time ^ std::process::id() << 16 | 1, Relaxed);
    }
    let next = STATE.load(Relaxed).wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    STATE.store(next, Relaxed);
    (next >> 16) * limit >> 16
}
