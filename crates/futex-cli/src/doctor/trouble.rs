//! Why a process that tried a backend did not do its part, and what to do about it.

use super::peer::{PATIENCE, Step, stuck};
use super::{kernel, limits};
use futex_tokio::Backend;
use rustix::io::Errno;
use rustix::process::Signal;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

#[derive(Debug)]
pub(super) enum Trouble {
    NotStarted(io::Error),
    /// The process says so itself, in this step.
    Failed(Option<Step>, String),
    /// The process ended in this step, with these last words on standard error.
    Ended(Option<Step>, ExitStatus, String),
    /// The process did not end this step in time.
    Late(Option<Step>),
}

impl Trouble {
    /// True for the signal of a sandbox.
    pub(super) fn is_kill(&self) -> bool {
        matches!(self, Self::Ended(_, status, _) if status.signal() == Some(Signal::SYS.as_raw()))
    }

    /// The system call that was refused, as far as that is known.
    pub(super) fn call(&self, backend: Backend) -> Option<&'static str> {
        let refused = matches!(self.errno(), Some(Errno::PERM | Errno::ACCESS | Errno::NOSYS));
        match (self.step()?, backend) {
            _ if !refused && !self.is_kill() => None,
            (Step::Futex, _) => Some("futex"),
            (Step::Open, Backend::Uring) => Some("io_uring_setup"),
            (Step::Open, Backend::Waitv) => Some("futex_waitv"),
            _ => None,
        }
    }

    pub(super) fn reason(&self, backend: Backend) -> String {
        match self {
            Self::NotStarted(error) => format!("cannot start processes that share memory: {error}"),
            Self::Failed(Some(Step::Futex), sentence) => format!("the system call futex fails: {sentence}"),
            // Which others there are is shown elsewhere.
            Self::Failed(Some(Step::Open), sentence) => {
                sentence.split_once(" can be chosen: ").map_or(&**sentence, |(_, reason)| reason).to_owned()
            }
            Self::Failed(_, sentence) => sentence.clone(),
            Self::Ended(..) if self.is_kill() => {
                let call = self.call(backend).unwrap_or("a system call of it");
                format!("the sandbox kills a process that makes the system call {call} (SIGSYS)")
            }
            Self::Ended(_, status, words) if words.is_empty() => format!("the process that tried it ended: {status}"),
            Self::Ended(_, status, words) => format!("the process that tried it ended: {status}: {words}"),
            Self::Late(Some(Step::Wait)) => stuck(),
            Self::Late(_) => format!("the process that opened it hung for {PATIENCE:?}"),
        }
    }

    /// What to do, so that the backend works.
    pub(super) fn advice(&self, backend: Backend) -> Option<&'static str> {
        let forbidden = self.is_kill() || matches!(self.errno(), Some(Errno::PERM | Errno::ACCESS));
        let disabled = kernel::io_uring_disabled() > Some(0) && !self.is_kill();
        Some(match (self.call(backend), self.errno()) {
            (Some("futex"), _) => "allow the system call futex in the sandbox: nothing can wait without it",
            (Some("io_uring_setup"), _) if forbidden && disabled => kernel::ALLOW_RINGS,
            (Some("io_uring_setup"), _) if forbidden => {
                "to have it, allow io_uring_setup, io_uring_enter and io_uring_register in the sandbox (weigh that: sandboxes \
                 forbid them because of bugs that the kernel had)"
            }
            (Some("io_uring_setup"), _) => {
                "to have it, run Linux 6.7 or later, in a sandbox that does not hide io_uring"
            }
            (Some("futex_waitv"), _) if forbidden => "to have it, allow the system call futex_waitv in the sandbox",
            (Some("futex_waitv"), _) => {
                "to have it, run Linux 5.16 or later, in a sandbox that does not hide futex_waitv"
            }
            (_, Some(Errno::MFILE)) => limits::MORE_DESCRIPTORS,
            (_, Some(Errno::AGAIN)) => limits::MORE_THREADS,
            (_, Some(Errno::NOMEM)) => limits::MORE_LOCKED_MEMORY,
            _ if backend == Backend::Uring && !cfg!(feature = "uring") => {
                "to have it, build this program and yours with the feature `uring`"
            }
            _ if backend == Backend::Uring && self.step() == Some(Step::Open) => "to have it, run Linux 6.7 or later",
            _ if self.step() == Some(Step::Wait) => "run the command again when the machine has less to do",
            _ => return None,
        })
    }

    fn step(&self) -> Option<Step> {
        match self {
            Self::NotStarted(_) => None,
            Self::Failed(step, _) | Self::Ended(step, ..) | Self::Late(step) => *step,
        }
    }

    fn errno(&self) -> Option<Errno> {
        match self {
            Self::NotStarted(error) => number(&error.to_string()),
            Self::Failed(_, sentence) => number(sentence),
            Self::Ended(..) | Self::Late(_) => None,
        }
    }
}

/// The number at the end of an error's text, which is all that a process can pass on.
fn number(sentence: &str) -> Option<Errno> {
    let number = sentence.rsplit_once("(os error ")?.1.strip_suffix(')')?;
    number.parse().ok().map(Errno::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_number_is_read_from_the_end_of_a_sentence() {
        let error = io::Error::from(Errno::NOMEM);
        assert_eq!(number(&format!("cannot open an io_uring: {error}")), Some(Errno::NOMEM));
        assert_eq!(number("there are no futex operations"), None);
    }

    #[test]
    fn a_signal_of_a_sandbox_is_told_from_others() {
        let ended = |signal: Signal| {
            Trouble::Ended(Some(Step::Open), ExitStatus::from_raw(signal.as_raw()), "last words".into())
        };
        let reason = |signal| ended(signal).reason(Backend::Waitv);
        assert_eq!(reason(Signal::SYS), "the sandbox kills a process that makes the system call futex_waitv (SIGSYS)");
        assert_eq!(reason(Signal::ABORT), "the process that tried it ended: signal: 6 (SIGABRT): last words");
        assert_eq!(ended(Signal::ABORT).call(Backend::Waitv), None);
    }
}
