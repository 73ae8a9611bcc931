//! A peer as its parent sees it: it is asked, stopped, continued and killed.

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Time for what should take no time at all. Only a broken or overloaded machine exceeds it.
const AT_ONCE: Duration = Duration::from_secs(30);

/// A running peer, until it is dropped.
pub(crate) struct Process {
    child: Child,
    /// `None` when the peer gets no more commands.
    stdin: Option<ChildStdin>,
    lines: Receiver<(Instant, String)>,
    stderr: File,
    pub(crate) version: String,
}

/// What came of a command.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The peer answered with this line, at this time.
    Said(String, Instant),
    /// The peer did not answer in time.
    Silent,
    /// The process ended, in this way.
    Ended(String),
}

impl Process {
    /// Starts a peer, and waits until it has opened its object.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let stderr = tempfile::tempfile()?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr.try_clone()?);
        let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().context("the peer has no standard output")?);
        let (sender, lines) = channel();
        // The thread ends with the peer.
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send((Instant::now(), line));
            }
        });
        let mut process = Self { child, stdin, lines, stderr, version: String::new() };
        match process.answer(AT_ONCE)? {
            Answer::Said(line, _) if line.starts_with("ready ") => process.version = line["ready ".len()..].to_owned(),
            Answer::Said(line, _) => bail!("{line}"),
            Answer::Silent => bail!("the object was not opened in {AT_ONCE:?}"),
            Answer::Ended(how) => bail!("{how}"),
        }
        Ok(process)
    }

    /// Sends a command.
    pub(crate) fn send(&mut self, command: &str) {
        // If the peer has ended, `answer` reports it.
        let _ = self.stdin.as_mut().map(|stdin| writeln!(stdin, "{command}"));
    }

    /// Waits for the answer to the last command.
    pub(crate) fn answer(&mut self, patience: Duration) -> Result<Answer> {
        Ok(match self.lines.recv_timeout(patience) {
            Ok((at, line)) => Answer::Said(line, at),
            Err(RecvTimeoutError::Timeout) => Answer::Silent,
            Err(RecvTimeoutError::Disconnected) => Answer::Ended(self.end()?),
        })
    }

    /// Sends a command, and waits for its answer.
    pub(crate) fn ask(&mut self, command: &str) -> Result<String> {
        self.send(command);
        match self.answer(AT_ONCE)? {
            Answer::Said(line, _) if !line.starts_with("failed") => Ok(line),
            Answer::Said(line, _) => bail!("`{command}` {line}"),
            Answer::Silent => bail!("`{command}` has no answer after {AT_ONCE:?}"),
            Answer::Ended(how) => bail!("`{command}`: {how}"),
        }
    }

    /// Lets the peer ask for the lock, and returns when it holds the lock or sleeps in wait for it.
    pub(crate) fn begin_hold(&mut self) -> Result<()> {
        let waiting = self.ask("hold")?;
        ensure!(waiting == "waiting", "`hold`: {waiting}");
        // A peer that holds the lock already sleeps for its next command.
        self.until_state('S')
    }

    /// Lets the peer take a lock that is free.
    pub(crate) fn hold(&mut self) -> Result<()> {
        self.begin_hold()?;
        match self.answer(AT_ONCE)? {
            Answer::Said(line, _) if line.starts_with("held") => Ok(()),
            answer => bail!("a lock that is free can't be taken: {answer:?}"),
        }
    }

    /// Lets the peer release the lock. Returns the time just before.
    pub(crate) fn release(&mut self) -> Result<Instant> {
        let now = Instant::now();
        self.ask("release")?;
        Ok(now)
    }

    /// Stops the process (SIGSTOP), perhaps after the return.
    pub(crate) fn begin_stop(&mut self) -> Result<()> {
        Ok(kill_process(self.pid(), Signal::STOP)?)
    }

    /// Stops the process (SIGSTOP), and returns when it is stopped.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.begin_stop()?;
        self.until_state('T')
    }

    /// Continues the process (SIGCONT).
    pub(crate) fn continue_(&mut self) -> Result<()> {
        Ok(kill_process(self.pid(), Signal::CONT)?)
    }

    /// Kills the process (SIGKILL), perhaps after the return.
    pub(crate) fn begin_kill(&mut self) -> Result<()> {
        Ok(self.child.kill()?)
    }

    /// Kills the process (SIGKILL), and returns when it has ended.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.begin_kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Lets the process end by itself, and waits for that.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.stdin = None;
        match self.answer(AT_ONCE)? {
            Answer::Ended(_) => Ok(()),
            answer => bail!("the peer does not end: {answer:?}"),
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits until the kernel shows this state of the process.
    fn until_state(&self, wanted: char) -> Result<()> {
        let give_up = Instant::now() + AT_ONCE;
        loop {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
            // The name of the program, in parentheses, may contain anything.
            let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
            if state == Some(wanted) || state == Some('Z') {
                return Ok(());
            }
            ensure!(Instant::now() < give_up, "the peer is in state {state:?} instead of {wanted}");
            thread::sleep(Duration::from_micros(100));
        }
    }

    /// Waits for the end of the process, and describes it.
    fn end(&mut self) -> Result<String> {
        let status = self.child.wait()?;
        let how = match (status.signal(), status.code()) {
            (Some(signal), _) => format!("crashed with {}", signal_name(signal)),
            (None, Some(101)) => "panicked".into(),
            (None, code) => format!("exited with {}", code.unwrap_or_default()),
        };
        let mut text = Vec::new();
        self.stderr.rewind()?;
        (&self.stderr).take(400).read_to_end(&mut text)?;
        if !text.is_empty() {
            note(format!("note: a process {how} and wrote: {}", String::from_utf8_lossy(&text).trim()));
        }
        Ok(how)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes a line to the standard error, once.
fn note(line: String) {
    static NOTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    if !noted.contains(&line) {
        eprintln!("{line}");
        noted.insert(line);
    }
}

fn signal_name(signal: i32) -> String {
    let names =
        [(Signal::ABORT, "SIGABRT"), (Signal::SEGV, "SIGSEGV"), (Signal::BUS, "SIGBUS"), (Signal::ILL, "SIGILL")];
    let name = names.into_iter().find(|(known, _)| known.as_raw() == signal);
    name.map_or_else(|| format!("signal {signal}"), |(_, name)| name.to_owned())
}
