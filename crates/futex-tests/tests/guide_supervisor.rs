//! The guide's supervisor. The test kills it, and a new one continues with the memory of the old one.

use futex_tests::without_a_hang;
use futex_tokio::SharedMemory;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

const SUPERVISOR: &str = env!("CARGO_BIN_EXE_guide_supervisor");

/// A process that is killed when this is dropped, so that it does not outlive a test that fails.
struct Running(Child);

impl Running {
    fn start(role: &str, name: &str) -> Self {
        Self(Command::new(SUPERVISOR).args([role, name]).stdout(Stdio::piped()).spawn().expect("a process"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn clients_follow_a_supervisor_that_is_killed_and_starts_again() {
    without_a_hang(|| {
        let name = format!("/supervisor-{}", std::process::id());
        // The client starts first, and waits for the name.
        let mut client = Running::start("watch", &name);
        let lines = BufReader::new(client.0.stdout.take().expect("a pipe")).lines();
        let mut lines = lines.map(|line| line.expect("a line"));

        for killed in [true, true, false] {
            let mut supervisor = Running::start("serve", &name);
            let id = supervisor.0.id();
            assert_eq!(lines.next(), Some(format!("process {id} supervises")));
            if killed {
                drop(supervisor); // by SIGKILL
                // The next supervisor replaces this name.
                SharedMemory::open(&name).expect("a killed process leaves its name");
            } else {
                let pid = Pid::from_raw(id.try_into().expect("a process id")).expect("it is not 0");
                kill_process(pid, Signal::INT).expect("a signal");
                assert!(supervisor.0.wait().expect("the supervisor ends").success());
                assert!(SharedMemory::open(&name).is_err(), "a supervisor that stops removes its name");
            }
            assert_eq!(lines.next(), Some(format!("process {id} has ended")));
        }
    });
}
