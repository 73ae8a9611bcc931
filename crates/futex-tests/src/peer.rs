//! Drives the program `peer` from a test. The peer is another process that maps the test's shared memory.
//!
//! A test writes commands to the peer's standard input, one per line. The peer answers each command with a line `= answer` on its
//! standard output. It reports a later event, such as the end of a wait, with a line `! label text`. The file
//! `src/bin/peer/main.rs` has the list of commands.

use futex_sys::SharedMemory;
use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// A running peer. It is killed when this is dropped.
#[derive(Debug)]
pub struct Peer {
    child: Running,
    stdin: ChildStdin,
    answers: Receiver<String>,
    reports: UnboundedReceiver<String>,
}

impl Peer {
    /// Starts a peer that inherits the descriptor of `memory`. `program` is `env!("CARGO_BIN_EXE_peer")`.
    ///
    /// # Panics
    ///
    /// If no process can be started.
    #[must_use]
    pub fn start(program: &str, memory: &SharedMemory) -> Self {
        Self::start_as(Command::new(program), memory)
    }

    /// Starts a peer like [`start`](Self::start), from a command that may have an environment or arguments.
    ///
    /// # Panics
    ///
    /// If no process can be started.
    #[must_use]
    pub fn start_as(mut command: Command, memory: &SharedMemory) -> Self {
        // Unlike the original, the copy stays open after `exec`. A process that another test starts at the same time inherits it
        // too, and ignores it.
        let inherited = rustix::io::dup(memory.as_fd()).expect("a copy of the descriptor");
        command.arg("fd").arg(inherited.as_raw_fd().to_string());
        Self::spawn(command)
    }

    /// Starts a peer that opens the memory by its POSIX name.
    ///
    /// # Panics
    ///
    /// If no process can be started.
    #[must_use]
    pub fn start_by_name(program: &str, name: &str) -> Self {
        let mut command = Command::new(program);
        command.arg("name").arg(name);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a peer");
        let stdin = child.stdin.take().expect("a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (to_answers, answers) = channel();
        let (to_reports, reports) = unbounded_channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The sends fail if the test is over, which is not an error.
                if let Some(answer) = line.strip_prefix("= ") {
                    let _ = to_answers.send(answer.to_owned());
                } else if let Some(report) = line.strip_prefix("! ") {
                    let _ = to_reports.send(report.to_owned());
                } else {
                    panic!("a peer wrote {line:?}");
                }
            }
        });
        Self { child: Running(child), stdin, answers, reports }
    }

    /// Sends a command, and blocks until the peer has answered.
    ///
    /// # Panics
    ///
    /// If the peer is gone, or does not answer within a minute.
    pub fn ask(&mut self, command: impl fmt::Display) -> String {
        self.begin(command);
        self.answer()
    }

    /// Sends a command. The caller gets the answer by [`answer`](Self::answer).
    ///
    /// # Panics
    ///
    /// If the peer is gone.
    pub fn begin(&mut self, command: impl fmt::Display) {
        writeln!(self.stdin, "{command}").expect("the peer reads");
    }

    /// Blocks until the peer has answered the last command.
    ///
    /// # Panics
    ///
    /// If the peer is gone, or does not answer within a minute.
    #[must_use]
    pub fn answer(&mut self) -> String {
        self.answers.recv_timeout(Duration::from_secs(60)).expect("an answer")
    }

    /// Sends a command, and checks that the answer is `ok`.
    ///
    /// # Panics
    ///
    /// If the answer is not `ok`.
    pub fn tell(&mut self, command: impl fmt::Display) {
        let answer = self.ask(&command);
        assert_eq!(answer, "ok", "to the command {:?}", command.to_string());
    }

    /// Returns the next report.
    ///
    /// # Panics
    ///
    /// If none comes within a minute.
    pub async fn report(&mut self) -> String {
        crate::within(self.reports.recv()).await.expect("a report, and not the end of the peer")
    }

    /// Returns the next report if it has already come.
    pub fn report_now(&mut self) -> Option<String> {
        self.reports.try_recv().ok()
    }

    /// Kills the peer with `SIGKILL`, and returns when it is gone.
    ///
    /// # Panics
    ///
    /// If the kernel refuses.
    pub fn kill(&mut self) {
        self.child.0.kill().expect("kill");
        self.child.0.wait().expect("wait");
    }

    /// Closes the peer's input, and waits until the peer has ended by itself.
    ///
    /// # Panics
    ///
    /// If it does not end.
    #[must_use]
    pub fn end(self) -> ExitStatus {
        let Self { mut child, stdin, .. } = self;
        drop(stdin);
        let mut status = None;
        crate::until::until(|| {
            status = child.0.try_wait().expect("wait");
            status.is_some()
        });
        status.expect("the peer has ended")
    }

    /// Returns the peer's process identifier.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.0.id()
    }
}

/// A process that is killed when this is dropped, so that it does not outlive its test.
#[derive(Debug)]
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // The process may have ended already. Other errors can't be handled here.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
