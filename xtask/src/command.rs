//! Runs a command: with its output inherited, captured, logged under a time bound, or read line by line.

use crate::workspace;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Instant;

/// Runs a command whose output goes to xtask's own. Returns an error unless the command succeeds.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let failure = match command.status() {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => status.to_string(),
        Err(error) => not_started(&error),
    };
    let words = [command.get_program()].into_iter().chain(command.get_args()).map(OsStr::to_string_lossy);
    Err(format!("{}: {failure}", words.collect::<Vec<_>>().join(" ")))
}

/// Runs a command and returns its standard output. If it fails, the error is its standard error, or its status if it
/// printed nothing there.
pub(crate) fn stdout(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| not_started(&error))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match text(&output.stderr).trim() {
        _ if output.status.success() => Ok(text(&output.stdout)),
        "" => Err(output.status.to_string()),
        errors => Err(errors.to_owned()),
    }
}

/// Runs a command whose output goes to `log`. Returns `None` if the deadline came first.
///
/// In either case, no process of the command's group is left. The output goes to a file because a pipe would stay open as
/// long as any process that the command left behind.
pub(crate) fn run_into(log: &File, command: &mut Command, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    let (mut child, group) = start(command.stdout(log.try_clone()?).stderr(log.try_clone()?))?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait()));
    let status = receiver.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    drop(group);
    status.ok().transpose()
}

/// Creates a log, and the directory that it is in.
pub(crate) fn create_log(path: &Path) -> io::Result<File> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    File::create(path)
}

/// Runs a command and calls `each` with every line of its output. Kills the command at the deadline, and if `each` breaks.
/// Returns true if the command ended by itself.
pub(crate) fn lines(
    command: &mut Command,
    deadline: Instant,
    mut each: impl FnMut(&str) -> ControlFlow<()>,
) -> io::Result<bool> {
    let (mut child, group) = start(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let (sender, receiver) = mpsc::channel();
    if let (Some(output), Some(errors)) = (child.stdout.take(), child.stderr.take()) {
        let other = sender.clone();
        thread::spawn(move || send_lines(output, &sender));
        thread::spawn(move || send_lines(errors, &other));
    }
    let ended = loop {
        match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) if each(&line).is_break() => break false,
            Ok(_) => {}
            Err(error) => break error == RecvTimeoutError::Disconnected,
        }
    };
    drop(group);
    child.wait()?;
    Ok(ended)
}

fn send_lines(from: impl Read, to: &Sender<String>) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        if to.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
            return;
        }
        line.clear();
    }
}

fn not_started(error: &io::Error) -> String {
    format!("could not be started: {error}")
}

/// Starts a command in a process group of its own, so that it can be killed together with all processes that it starts.
fn start(command: &mut Command) -> io::Result<(Child, Group)> {
    let mut child = command.stdin(Stdio::null()).process_group(0).spawn()?;
    match Group::watch(child.id()) {
        Ok(group) => Ok((child, group)),
        Err(error) => {
            child.kill()?;
            child.wait()?;
            Err(error)
        }
    }
}

/// A process group that is killed when this is dropped, and also when xtask ends early, for example by Ctrl-C.
///
/// A shell in another process group does it. The shell reads from a pipe whose other end only xtask has. When xtask closes
/// that end, in any way, the shell proceeds to the `kill`.
struct Group {
    watcher: Child,
}

impl Group {
    fn watch(leader: u32) -> io::Result<Self> {
        let watcher = Command::new("sh")
            .args(["-c", r#"read -r _; kill -s KILL -- "-$1""#, "sh", &leader.to_string()])
            .current_dir(workspace::root())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self { watcher })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        // The shell's status only says whether any process was left to kill.
        let _ = self.watcher.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_failure_says_what_ran_and_how_it_ended() {
        assert_eq!(run(&mut shell("exit 3")).unwrap_err(), "sh -c exit 3: exit status: 3");
        assert!(run(&mut Command::new("/no/such/program")).unwrap_err().contains("could not be started"));
    }

    #[test]
    fn standard_output_is_returned_and_a_failure_is_standard_error() {
        assert_eq!(stdout(&mut shell("echo a; echo b >&2")).unwrap(), "a\n");
        assert_eq!(stdout(&mut shell("echo a; echo b >&2; exit 1")).unwrap_err(), "b");
        assert_eq!(stdout(&mut shell("exit 1")).unwrap_err(), "exit status: 1");
    }

    #[test]
    fn lines_come_until_the_command_ends_or_the_caller_breaks() {
        let deadline = Instant::now() + Duration::from_secs(600);
        let mut found = Vec::new();
        let mut collect = |line: &str| {
            found.push(line.to_owned());
            if line == "stop" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        assert!(lines(&mut shell("echo a; echo b"), deadline, &mut collect).unwrap());
        assert!(!lines(&mut shell("echo stop; sleep 1000"), deadline, &mut collect).unwrap());
        assert_eq!(found, ["a", "b", "stop"]);
    }

    #[test]
    fn processes_that_a_command_leaves_behind_are_killed_with_its_group() {
        let (mut leader, group) = start(&mut shell("sleep 1000 & wait")).unwrap();
        drop(group);
        assert!(!leader.wait().unwrap().success());
    }
}
