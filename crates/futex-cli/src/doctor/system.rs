//! What this process is allowed to, and small files of `/proc` and `/sys`.

use procfs::process::Status;
use rustix::thread::CapabilitySet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// `PROC_USER_INIT_INO` of `linux/proc_ns.h`.
const INITIAL_USER: u64 = 0xefff_fffd;

/// What `/proc/self/status` says. Nothing, if there is no `/proc`.
pub(super) struct Process(pub(super) Option<Status>);

impl Process {
    pub(super) fn this() -> Self {
        Self(procfs::process::Process::myself().and_then(|process| process.status()).ok())
    }

    /// Returns true if limits do not hold for this process. A capability in a user namespace is not enough for that.
    pub(super) fn is_capable_of(&self, capability: CapabilitySet) -> bool {
        self.0.as_ref().is_some_and(|status| status.capeff & capability.bits() != 0)
            && namespace("user") == Some(INITIAL_USER)
    }

    pub(super) fn is_in_group(&self, group: u32) -> bool {
        self.0.as_ref().is_some_and(|status| status.egid == group || status.groups.contains(&group))
    }
}

/// The number of a namespace of this process.
pub(super) fn namespace(kind: &str) -> Option<u64> {
    Some(fs::metadata(format!("/proc/self/ns/{kind}")).ok()?.ino())
}

/// A file that has one number. `None` if there is none, or it has another thing, such as “max”.
pub(super) fn number(path: impl AsRef<Path>) -> Option<i64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
