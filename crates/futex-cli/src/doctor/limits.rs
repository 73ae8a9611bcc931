//! Limits of this process, and what they mean for waits.

use super::report::{Finding, Trial, bytes};
use super::system::{Process, number};
use rustix::process::{Resource, getrlimit};
use rustix::thread::CapabilitySet;
use std::path::Path;

/// Bytes of locked memory that a ring counts as.
const RING: u64 = 8 << 10;
/// Waits of a ring, before the next one is opened.
const WAITS: u64 = 96;

pub(super) const MORE_LOCKED_MEMORY: &str = "raise the limit of locked memory to 8 MiB or more: `ulimit -l 8192`, LimitMEMLOCK=8M of systemd, or \
     `--ulimit memlock=8388608` of docker and podman";
pub(super) const MORE_DESCRIPTORS: &str = "raise the limit of descriptors to 1024 or more: `ulimit -n 1024`, LimitNOFILE=1024 of systemd, or `--ulimit nofile=1024` \
     of docker and podman";
pub(super) const MORE_THREADS: &str =
    "raise the limit of threads: `ulimit -u`, TasksMax= of systemd, or `--pids-limit` of docker and podman";

pub(super) fn locked_memory(process: &Process, uring: &Trial) -> Finding {
    const TOPIC: &str = "locked_memory";
    let Some(limit) = getrlimit(Resource::Memlock).current else {
        return Finding::ok(TOPIC, "locked memory is not limited, nor is the number of rings");
    };
    let found = format!("a user may lock {}", bytes(limit));
    if process.is_capable_of(CapabilitySet::IPC_LOCK) {
        return Finding::ok(TOPIC, format!("{found}, which does not limit this process (CAP_IPC_LOCK)"));
    }
    let rings = limit / RING;
    if rings == 0 {
        let found = format!("{found}, less than a ring takes ({})", bytes(RING));
        // Some kernels do not count rings.
        return if uring.works {
            Finding::note(TOPIC, format!("{found}; but this kernel opened one"))
        } else {
            Finding::warning(TOPIC, format!("{found}, so uring is not available")).advise(MORE_LOCKED_MEMORY)
        };
    }
    let waits = rings * WAITS;
    let found =
        format!("{found}: {rings} rings of all the user's processes, for {waits} waits before cancelling gets slow");
    // The kernel gives the memory of a closed ring back a little later.
    if limit < 1 << 20 {
        let soon = "a reactor that is made right after another was closed may find no memory for its ring";
        return Finding::warning(TOPIC, format!("{found}, and {soon}")).advise(MORE_LOCKED_MEMORY);
    }
    Finding::ok(TOPIC, found)
}

pub(super) fn descriptors() -> Finding {
    const TOPIC: &str = "descriptors";
    let limits = getrlimit(Resource::Nofile);
    let Some(soft) = limits.current else {
        return Finding::ok(TOPIC, "the number of descriptors is not limited");
    };
    let hard = limits.maximum.map_or_else(|| "not limited".to_owned(), |hard| hard.to_string());
    let rings = soft / 4;
    let found = format!(
        "a process may have {soft} descriptors (hard limit: {hard}): {rings} rings per reactor, for {} waits before cancelling \
         gets slow",
        rings.saturating_mul(WAITS)
    );
    if soft < 256 {
        return Finding::warning(TOPIC, format!("{found}; each reactor, object and watched process takes one or more"))
            .advise(MORE_DESCRIPTORS);
    }
    Finding::ok(TOPIC, found)
}

pub(super) fn threads(process: &Process) -> Finding {
    const TOPIC: &str = "threads";
    /// Fewer than these are soon used up on `Thread`.
    const FEW: u64 = 256;

    // The limit of a user does not hold for these.
    let free = process.is_capable_of(CapabilitySet::SYS_RESOURCE) || process.is_capable_of(CapabilitySet::SYS_ADMIN);
    let of_user = getrlimit(Resource::Nproc).current.filter(|_| !free);
    let of_system = number("/proc/sys/kernel/threads-max").and_then(|limit| u64::try_from(limit).ok());
    let of_cgroup = pids_left();
    let limits = [(of_user, "of the user"), (of_system, "of the system"), (of_cgroup, "left in the cgroup")];
    let Some((least, whose)) = limits.iter().filter_map(|&(limit, whose)| Some((limit?, whose))).min() else {
        return Finding::ok(TOPIC, "the number of threads is not limited");
    };
    let found = format!(
        "at most {least} threads ({whose}): waitv parks one for 127 waits or fewer, thread one per wait, uring none"
    );
    if least < FEW { Finding::warning(TOPIC, found).advise(MORE_THREADS) } else { Finding::ok(TOPIC, found) }
}

/// The threads that the cgroup of this process, and those around it, may still have.
fn pids_left() -> Option<u64> {
    let cgroups = procfs::process::Process::myself().and_then(|process| process.cgroups()).ok()?;
    let mounts = |v2| if v2 { &["", "/unified"][..] } else { &["/pids"] };
    cgroups
        .0
        .iter()
        .filter(|cgroup| cgroup.hierarchy == 0 || cgroup.controllers.iter().any(|controller| controller == "pids"))
        .flat_map(|cgroup| {
            mounts(cgroup.hierarchy == 0).iter().map(|mount| format!("/sys/fs/cgroup{mount}{}", cgroup.pathname))
        })
        .filter_map(|directory| {
            let around = Path::new(&directory).ancestors().take_while(|path| *path != Path::new("/sys/fs"));
            around
                .filter_map(|path| {
                    Some(number(path.join("pids.max"))?.saturating_sub(number(path.join("pids.current"))?))
                })
                .min()
        })
        .min()
        .map(|left| u64::try_from(left).unwrap_or(0))
}
