//! Starts the processes that try the backends, and finds out how they ended.

use super::peer::{COMMAND, Done, Message, PATIENCE, Role, Step};
use super::trouble::Trouble;
use futex_tokio::{Backend, SharedMemory};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Has two processes wait for each other, and returns the time of a round trip in nanoseconds.
pub(super) fn converse(backend: Backend) -> Result<u64, Trouble> {
    let memory = SharedMemory::anonymous(4096).map_err(Trouble::NotStarted)?;
    let done = observe([Role::Ask, Role::Answer].map(|role| start(role, Some(backend), Some(&memory))))?;
    done.iter().find_map(|done| done.round_trip_ns).ok_or_else(nothing_said)
}

/// Has a process open a ring, and try no other backend that a sandbox might kill it for.
pub(super) fn open_ring() -> Result<Done, Trouble> {
    observe([start(Role::Ring, Some(Backend::Thread), None)])?.pop().ok_or_else(nothing_said)
}

/// Has a process take a backend as any program would.
pub(super) fn choose() -> Result<Done, Trouble> {
    observe([start(Role::Choose, None, None)])?.pop().ok_or_else(nothing_said)
}

/// Not reached: a process that is done says what it found.
fn nothing_said() -> Trouble {
    Trouble::Failed(None, "a process was done and did not say what it found".into())
}

fn start(role: Role, backend: Option<Backend>, memory: Option<&SharedMemory>) -> io::Result<Running> {
    let this = Path::new("/proc/self/exe");
    // Without /proc the command is searched for as the shell did it.
    let program =
        if this.exists() { this.as_os_str().to_owned() } else { std::env::args_os().next().unwrap_or_default() };
    let input = match memory {
        Some(memory) => Stdio::from(memory.as_fd().try_clone_to_owned()?),
        None => Stdio::inherit(),
    };
    let mut command = Command::new(program);
    command.arg0("futex").args([COMMAND, role.as_str()]).args(backend.map(Backend::as_str));
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(Running(command.spawn()?))
}

/// A process that is killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

impl Running {
    /// Ends the process, unless it has ended and its number may be that of another one.
    fn end(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            // Errors would mean that it has ended.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Reads what a process said that has ended.
    fn said(&mut self) -> (Option<Step>, Option<Result<Done, String>>) {
        let mut said = (None, None);
        let text = self.0.stdout.as_mut().map(all).unwrap_or_default();
        for message in text.lines().filter_map(|line| serde_json::from_str(line).ok()) {
            match message {
                Message::Step(step) => said.0 = Some(step),
                Message::Done(done) => said.1 = Some(Ok(done)),
                Message::Failed(sentence) => said.1 = Some(Err(sentence)),
            }
        }
        said
    }

    /// For a process whose standard output has closed, so that it ends now.
    fn result(mut self) -> Result<Done, Trouble> {
        let status = self.0.wait();
        let (step, said) = self.said();
        match (said, status) {
            (Some(Ok(done)), _) => Ok(done),
            (Some(Err(sentence)), _) => Err(Trouble::Failed(step, sentence)),
            (None, Ok(status)) => {
                let words = self.0.stderr.as_mut().map(all).unwrap_or_default();
                // A panic has two lines of interest, an abort of the C library one.
                let words: Vec<_> = words.lines().filter(|line| !line.is_empty()).take(2).collect();
                Err(Trouble::Ended(step, status, words.join(" ")))
            }
            // A process that ignores SIGCHLD, for instance because its parent did, is not told how its children end.
            (None, Err(error)) => {
                Err(Trouble::Failed(step, format!("a process ended, and its status cannot be had: {error}")))
            }
        }
    }

    fn late(mut self) -> Trouble {
        self.end();
        Trouble::Late(self.said().0)
    }
}

fn all(pipe: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    // An error counts as the end.
    let _ = pipe.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns what the processes found, or the trouble of the first one that had some.
fn observe(processes: impl IntoIterator<Item = io::Result<Running>>) -> Result<Vec<Done>, Trouble> {
    // The processes give up by themselves. Only one that hangs, or is stopped, is late.
    observe_for(PATIENCE + Duration::from_secs(2), processes)
}

fn observe_for(
    patience: Duration,
    processes: impl IntoIterator<Item = io::Result<Running>>,
) -> Result<Vec<Done>, Trouble> {
    let mut running = processes.into_iter().collect::<io::Result<Vec<_>>>().map_err(Trouble::NotStarted)?;
    let deadline = Instant::now() + patience;
    let mut done = Vec::new();
    while !running.is_empty() {
        let ended = first_to_end(&running, deadline).map_err(|errno| Trouble::NotStarted(errno.into()))?;
        let Some(index) = ended else { return Err(running.remove(0).late()) };
        done.push(running.remove(index).result()?);
    }
    Ok(done)
}

/// The first process whose standard output has closed.
fn first_to_end(running: &[Running], deadline: Instant) -> rustix::io::Result<Option<usize>> {
    let mut outputs: Vec<_> = running
        .iter()
        .filter_map(|process| process.0.stdout.as_ref())
        // Asks for nothing: it is always reported that a pipe has closed.
        .map(|output| PollFd::new(output, PollFlags::empty()))
        .collect();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match poll(&mut outputs, Timespec::try_from(left).ok().as_ref()) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
            Ok(_) => return Ok(outputs.iter().position(|output| !output.revents().is_empty())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Running {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running(command.spawn().unwrap())
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_process_that_hangs_is_late_in_the_step_that_it_said_and_is_killed() {
        // It hangs until its standard input is closed, by the end of this test.
        let mut hanging = shell(r#"echo '{"step":"open"}' && echo >&2 && read line"#);
        hanging.0.stderr.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let pid = hanging.0.id();
        let late = observe_for(Duration::ZERO, [Ok(hanging)]);
        assert!(matches!(late, Err(Trouble::Late(Some(Step::Open)))), "{late:?}");
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "the process was killed and waited for");
    }

    #[test]
    fn the_trouble_of_one_process_ends_the_other_one() {
        let (hanging, dying) = (shell("read line"), shell(r#"echo '{"step":"wait"}'; echo ouch >&2; kill -ABRT $$"#));
        let pid = hanging.0.id();
        let Err(Trouble::Ended(Some(Step::Wait), status, words)) = observe_for(LONG, [Ok(hanging), Ok(dying)]) else {
            panic!("the second one ends")
        };
        assert!(status.to_string().contains("SIGABRT") && words == "ouch", "{status} {words}");
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "the first one was killed and waited for");
    }
}
