//! The object of one situation, its processes, and what they leave behind.

use crate::contestants::Peer;
use crate::process::Process;
use anyhow::{Result, anyhow, bail};
use futex_sys::SharedMemory;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// One object with a name of its own. What is left of it is removed when the scene is dropped.
pub(crate) struct Scene<'a> {
    contestant: &'a str,
    peer: &'a Peer,
    name: String,
    /// The words in which processes that work report meetings.
    pub(crate) referee: SharedMemory,
    /// Time after which a process that does not answer counts as one that waits.
    pub(crate) patience: Duration,
}

/// The number of files per directory.
#[derive(Default)]
pub(crate) struct Remains(BTreeMap<PathBuf, usize>);

impl<'a> Scene<'a> {
    pub(crate) fn new(contestant: &'a str, peer: &'a Peer, patience: Duration) -> Result<Self> {
        let name = format!("rivals-{:016x}", fastrand::u64(..));
        Ok(Self { contestant, peer, name, referee: SharedMemory::anonymous(4096)?, patience })
    }

    /// The same with another object.
    pub(crate) fn another(&self) -> Result<Self> {
        Self::new(self.contestant, self.peer, self.patience)
    }

    /// Starts a process that opens the object.
    pub(crate) fn start(&self) -> Result<Process> {
        let mut command = match self.peer {
            Peer::Here => {
                // Not the program's path: that file may have been built anew by now.
                let mut command = Command::new("/proc/self/exe");
                command.args(["--peer", self.contestant]);
                command
            }
            Peer::Program(path) => Command::new(path),
            Peer::Absent(reason) => bail!("{reason}"),
        };
        let referee = format!("/proc/{}/fd/{}", std::process::id(), self.referee.as_fd().as_raw_fd());
        command.arg(&self.name).arg(referee);
        Process::start(command)
    }

    /// Starts processes that open the object. The first one opens it alone, and so makes it.
    pub(crate) fn processes<const N: usize>(&self) -> Result<[Process; N]> {
        let processes = (0..N).map(|_| self.start()).collect::<Result<Vec<_>>>()?;
        processes.try_into().map_err(|_| anyhow!("the number of processes differs"))
    }

    /// How many files exist because of this scene, per directory.
    pub(crate) fn remains(&self) -> Remains {
        let mut files = Remains::default();
        for path in self.top_level() {
            let count = if path.is_dir() { files_in(&path) } else { 1 };
            *files.0.entry(path.parent().map(Path::to_owned).unwrap_or_default()).or_default() += count;
        }
        files
    }

    fn top_level(&self) -> impl Iterator<Item = PathBuf> {
        let entries = [Path::new("/dev/shm").to_owned(), std::env::temp_dir()]
            .into_iter()
            .filter_map(|directory| fs::read_dir(directory).ok());
        let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().contains(&self.name));
        entries.flatten().flatten().map(|entry| entry.path()).filter(named)
    }
}

/// The number of files in a directory and the directories in it.
fn files_in(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.map(|path| if path.is_dir() { files_in(&path) } else { 1 }).sum()
}

impl Remains {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.values().all(|&count| count == 0)
    }
}

impl fmt::Display for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing");
        }
        let some = self.0.iter().filter(|(_, count)| **count > 0);
        let texts = some.map(|(directory, count)| format!("{count} in {}", directory.display()));
        f.write_str(&texts.collect::<Vec<_>>().join(", "))
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        for path in self.top_level() {
            // What can't be removed stays, as it would without this program.
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
    }
}
