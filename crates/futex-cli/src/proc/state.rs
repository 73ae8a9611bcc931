//! What a process or a thread does.

use procfs::process::{ProcState, Process, Stat};
use serde::{Serialize, Serializer};
use std::fmt;

/// What a process or a thread does, `proc_pid_stat(5)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Running,
    Sleeping,
    /// In a sleep that signals do not end.
    Blocked,
    Stopped,
    /// Stopped by a debugger.
    Traced,
    Zombie,
    Other,
}

impl State {
    /// `None` if there is no such process, or `/proc` does not show it.
    pub(crate) fn of_process(pid: u32) -> Option<Self> {
        let stat = Process::new(i32::try_from(pid).ok()?).and_then(|process| process.stat());
        stat.ok().as_ref().map(Self::of)
    }

    pub(crate) fn of(stat: &Stat) -> Self {
        match stat.state() {
            Ok(ProcState::Running) => Self::Running,
            Ok(ProcState::Sleeping | ProcState::Idle) => Self::Sleeping,
            Ok(ProcState::Waiting) => Self::Blocked,
            Ok(ProcState::Stopped) => Self::Stopped,
            Ok(ProcState::Tracing) => Self::Traced,
            Ok(ProcState::Zombie | ProcState::Dead) => Self::Zombie,
            _ => Self::Other,
        }
    }

    /// True for a process that does nothing until another one acts.
    pub(crate) fn is_halted(self) -> bool {
        matches!(self, Self::Stopped | Self::Traced | Self::Zombie)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Sleeping => "sleeping",
            Self::Blocked => "blocked",
            Self::Stopped => "stopped",
            Self::Traced => "traced",
            Self::Zombie => "zombie",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
