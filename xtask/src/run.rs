//! Runs a row's steps into a log, under a time bound.

use crate::step::Step;
use crate::workspace;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Runs the steps in order until one fails; the error says how it failed.
///
/// All output goes to the file `log`. That it is a file, not a pipe, lets a row end although a process that it left
/// behind still holds the output.
pub(crate) fn run(steps: &[Step], log: &Path, bound: Duration) -> Result<(), String> {
    let deadline = Instant::now() + bound;
    let mut output = create(log).map_err(|error| format!("{} can't be written: {error}", log.display()))?;
    for (number, step) in (1..).zip(steps) {
        let failure = match run_step(step, &mut output, deadline) {
            Ok(Some(status)) if status.success() => continue,
            Ok(Some(status)) => status.to_string(),
            Ok(None) => format!("not done after {} min, and killed", bound.as_secs() / 60),
            Err(error) => format!("could not be started: {error}"),
        };
        // The row's line tells as much; in the log it stands where the output ends.
        let _ = writeln!(output, "xtask: {step}: {failure}");
        return Err(if steps.len() > 1 { format!("step {number}: {failure}") } else { failure });
    }
    Ok(())
}

fn create(log: &Path) -> io::Result<File> {
    fs::create_dir_all(log.parent().unwrap_or(Path::new(".")))?;
    File::create(log)
}

/// Runs one step; `None` where the deadline came first.
fn run_step(step: &Step, output: &mut File, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    writeln!(output, "$ {step}")?;
    let mut command = step.command();
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output.try_clone()?);
    // A group of its own, so that a step that hangs can be ended with all that it has started.
    let mut child = command.process_group(0).spawn()?;
    let group = match Group::watch(child.id()) {
        Ok(group) => group,
        Err(error) => {
            child.kill()?;
            child.wait()?;
            return Err(error);
        }
    };

    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait()));
    let answer = receiver.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    // From here on nothing of the step is left, whether it ended by itself or has to be ended.
    drop(group);
    match answer {
        Ok(status) => status.map(Some),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(None),
    }
}

/// A process group that is killed when this is dropped, and also when xtask ends early, say by Ctrl-C.
///
/// A shell in a group of its own does it. It reads from a pipe whose other end only xtask holds, so it comes to the
/// `kill` at the moment that xtask closes the pipe, in whatever way.
pub(crate) struct Group {
    watcher: Child,
}

impl Group {
    pub(crate) fn watch(leader: u32) -> io::Result<Self> {
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
        // Its status says whether anything was left to kill, which is of no interest.
        let _ = self.watcher.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step;

    /// A log in a place that no other test writes to.
    fn log(name: &str) -> std::path::PathBuf {
        workspace::scratch_dir().join("unit-tests").join(format!("{name}-{}.log", std::process::id()))
    }

    #[test]
    fn the_log_holds_the_command_its_output_and_its_end() {
        let log = log("output");
        let steps = [step::cargo("--version"), step::cargo("no-such-command"), step::cargo("--version")];
        let failure = run(&steps, &log, Duration::from_secs(600)).unwrap_err();
        assert_eq!(failure, "step 2: exit status: 101");

        let text = fs::read_to_string(&log).unwrap();
        assert!(text.starts_with("$ cargo --version\ncargo 1."), "{text}");
        assert!(text.contains("\n$ cargo no-such-command\nerror: no such command"), "{text}");
        assert!(text.ends_with("xtask: cargo no-such-command: exit status: 101\n"), "the third step ran: {text}");
        fs::remove_file(log).unwrap();
    }

    #[test]
    fn a_step_that_does_not_end_is_killed_at_its_bound() {
        let log = log("bound");
        let failure = run(&[step::cargo("--version")], &log, Duration::ZERO).unwrap_err();
        assert_eq!(failure, "not done after 0 min, and killed");
        fs::remove_file(log).unwrap();
    }

    #[test]
    fn what_a_step_leaves_behind_is_killed_with_its_group() {
        let mut leader = Command::new("sh").args(["-c", "sleep 1000 & wait"]).process_group(0).spawn().unwrap();
        drop(Group::watch(leader.id()).unwrap());
        assert!(!leader.wait().unwrap().success());
    }
}
