//! Child processes: this program again, with a role to play.

use futex_sys::SharedMemory;
use std::env;
use std::os::fd::AsFd as _;
use std::process::{Child, Command, ExitStatus, Stdio};

const ROLE: &str = "FUTEX_SYS_TEST_ROLE";

/// A child process, killed where the test ends before it does.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a child that plays `role`, with the descriptor of `memory` as its standard input.
    pub(crate) fn start(role: &str, memory: &SharedMemory) -> Self {
        let fd = memory.as_fd().try_clone_to_owned().expect("dup");
        let child = Command::new(env::current_exe().expect("this program's path"))
            .args(["--exact", "support::child::a_child_process", "--ignored", "--nocapture", "--quiet"])
            .env(ROLE, role)
            .stdin(Stdio::from(fd))
            .stdout(Stdio::null())
            .spawn()
            .expect("start this program again");
        Self(child)
    }

    pub(crate) fn kill(&mut self) {
        self.0.kill().expect("SIGKILL");
        self.0.wait().expect("wait for the child");
    }

    pub(crate) fn end(mut self) -> ExitStatus {
        self.0.wait().expect("wait for the child")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The memory that the parent passed as the standard input.
fn inherited() -> SharedMemory {
    let fd = std::io::stdin().as_fd().try_clone_to_owned().expect("dup");
    SharedMemory::from_fd(fd).expect("the standard input is shared memory")
}

#[test]
#[ignore = "not a test: what child processes of the tests run"]
fn a_child_process() {
    let Ok(role) = env::var(ROLE) else { return eprintln!("this runs in child processes, where {ROLE} is set") };
    let memory = inherited();
    match role.as_str() {
        "answer" => crate::processes::answer(&memory),
        "wait" => crate::processes::wait(&memory),
        "make-memory-under-a-file-limit" => crate::limits::make_memory_under_a_file_limit(),
        "make-memory-under-a-umask" => crate::limits::make_memory_under_a_umask(),
        "fork-within-the-first-origin" => crate::fork::fork_within_the_first_origin(),
        "look-for-memfds" => crate::processes::look_for_memfds(&memory),
        #[cfg(feature = "uring")]
        "hold-a-wait" => crate::processes::hold_a_wait(&memory),
        #[cfg(feature = "uring")]
        "close-in-a-sandbox" => crate::uring_close::close_in_a_sandbox(&memory),
        race => crate::posix_names::race(&memory, race),
    }
}
