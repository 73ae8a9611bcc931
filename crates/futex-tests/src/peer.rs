//! Driving the program `peer` from a test: another process, with words of the test's shared memory.
//!
//! A test writes commands to the peer's standard input, one a line, and the peer answers each with a line `= answer` on its
//! standard output. What happens there later, such as the end of a wait, it reports with a line `! label text`. The commands
//! are those of `src/bin/peer/main.rs`.

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
    /// Where no process can be started, as all functions here where something goes wrong.
    #[must_use]
    pub fn start(program: &str, memory: &SharedMemory) -> Self {
        Self::start_as(Command::new(program), memory)
    }

    /// [`start`](Self::start) with what the command has besides, such as its environment.
    ///
    /// # Panics
    ///
    /// Where no process can be started.
    #[must_use]
    pub fn start_as(mut command: Command, memory: &SharedMemory) -> Self {
        // Unlike the original, the copy outlives `exec`. (So it does in a process that another test starts just now, which
        // knows nothing of it.)
        let inherited = rustix::io::dup(memory.as_fd()).expect("a copy of the descriptor");
        command.arg("fd").arg(inherited.as_raw_fd().to_string());
        Self::spawn(command)
    }

    /// Starts a peer that opens the memory by its POSIX name.
    ///
    /// # Panics
    ///
    /// Where no process can be started.
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
                // The test may be over, and not listen any more.
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

    /// Gives a command, and blocks until it is answered.
    ///
    /// # Panics
    ///
    /// Where the peer is gone, or does not answer within a minute.
    pub fn ask(&mut self, command: impl fmt::Display) -> String {
        self.begin(command);
        self.answer()
    }

    /// Gives a command whose [`answer`](Self::answer) comes later.
    ///
    /// # Panics
    ///
    /// Where the peer is gone.
    pub fn begin(&mut self, command: impl fmt::Display) {
        writeln!(self.stdin, "{command}").expect("the peer reads");
    }

    /// Blocks until the command is answered that was given.
    ///
    /// # Panics
    ///
    /// Where the peer is gone, or does not answer within a minute.
    #[must_use]
    pub fn answer(&mut self) -> String {
        self.answers.recv_timeout(Duration::from_secs(60)).expect("an answer")
    }

    /// Gives a command that is answered by `ok`.
    ///
    /// # Panics
    ///
    /// Where the answer is another.
    pub fn tell(&mut self, command: impl fmt::Display) {
        let answer = self.ask(&command);
        assert_eq!(answer, "ok", "to the command {:?}", command.to_string());
    }

    /// The next report, which must come within a minute.
    ///
    /// # Panics
    ///
    /// Where none comes.
    pub async fn report(&mut self) -> String {
        crate::within(self.reports.recv()).await.expect("a report, and not the end of the peer")
    }

    /// A report that is there already.
    pub fn report_now(&mut self) -> Option<String> {
        self.reports.try_recv().ok()
    }

    /// Kills the peer with `SIGKILL`, and returns when it is gone.
    ///
    /// # Panics
    ///
    /// Where the kernel refuses.
    pub fn kill(&mut self) {
        self.child.0.kill().expect("kill");
        self.child.0.wait().expect("wait");
    }

    /// Has the peer end by itself, at the end of its input.
    ///
    /// # Panics
    ///
    /// Where it does not end.
    #[must_use]
    pub fn end(self) -> ExitStatus {
        let Self { mut child, stdin, .. } = self;
        drop(stdin);
        let mut status = None;
        crate::until::until(|| {
            status = child.0.try_wait().expect("wait");
            status.is_some()
        });
        status.expect("it ended")
    }

    /// The peer's process identifier.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.0.id()
    }
}

/// Whatever becomes of a test, its peer does not outlive it.
#[derive(Debug)]
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already, and nothing is to be done about any other error.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
