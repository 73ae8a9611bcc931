//! The kernel, and what it and a sandbox forbid.

use super::report::{Finding, Trial};
use super::system::{Process, number};
use rustix::system::uname;
use rustix::thread::CapabilitySet;

pub(super) fn release() -> Finding {
    let system = uname();
    let (name, release, machine) = (system.sysname(), system.release(), system.machine());
    Finding::ok(
        "kernel",
        format!("{} {} on {}", name.to_string_lossy(), release.to_string_lossy(), machine.to_string_lossy()),
    )
}

/// What to do if the sysctl forbids rings.
pub(super) const ALLOW_RINGS: &str = "run `sysctl kernel.io_uring_disabled=0` as root, or set it to 1 and \
     kernel.io_uring_group to the number of a group that the user is in";

/// `None` before Linux 6.6, and without `/proc`.
pub(super) fn io_uring_disabled() -> Option<i64> {
    number("/proc/sys/kernel/io_uring_disabled")
}

pub(super) fn io_uring(process: &Process) -> Finding {
    const TOPIC: &str = "io_uring";
    let value = match io_uring_disabled() {
        None => {
            return Finding::ok(
                TOPIC,
                "the kernel has no kernel.io_uring_disabled, so it forbids no process to make rings",
            );
        }
        Some(0) => return Finding::ok(TOPIC, "kernel.io_uring_disabled is 0: every process may make rings"),
        Some(value) => value,
    };
    let group = number("/proc/sys/kernel/io_uring_group").and_then(|group| u32::try_from(group).ok());
    let may = process.is_capable_of(CapabilitySet::SYS_ADMIN) || group.is_some_and(|group| process.is_in_group(group));
    let who = group.map_or_else(String::new, |group| format!(" or in the group {group}"));
    match (value, may) {
        (1, true) => {
            let found = format!("only processes with CAP_SYS_ADMIN{who} may make rings, and this is one");
            Finding::ok(TOPIC, format!("kernel.io_uring_disabled is 1: {found}"))
        }
        (1, false) => {
            let found = format!("only processes with CAP_SYS_ADMIN{who} may make rings, and this is not one");
            Finding::note(TOPIC, format!("kernel.io_uring_disabled is 1: {found}")).advise(ALLOW_RINGS)
        }
        _ => Finding::note(TOPIC, format!("kernel.io_uring_disabled is {value}: no process may make rings"))
            .advise(ALLOW_RINGS),
    }
}

/// The filter of this process, and what the trials say that it forbids.
pub(super) fn seccomp(process: &Process, trials: &[Trial]) -> Finding {
    const TOPIC: &str = "seccomp";
    let Some((mode, no_new_privs)) = process.0.as_ref().and_then(|status| Some((status.seccomp?, status.nonewprivs)))
    else {
        return Finding::note(TOPIC, "/proc does not say whether a sandbox filters system calls");
    };
    let no_new_privs = if no_new_privs == Some(1) { ", no_new_privs is set" } else { "" };
    if mode == 0 {
        return Finding::ok(TOPIC, format!("no filter of system calls{no_new_privs}"));
    }
    let found = format!("a filter of system calls is in force (mode {mode}{no_new_privs})");
    let mut calls: Vec<_> = trials.iter().filter_map(|trial| Some((trial.refused?, trial.kills))).collect();
    calls.dedup();
    if calls.is_empty() {
        return Finding::ok(TOPIC, format!("{found}, and refuses nothing that waits need"));
    }
    let calls =
        calls.into_iter().map(|(call, kills)| format!("{call} {}", if kills { "kills the process" } else { "fails" }));
    Finding::note(TOPIC, format!("{found}: {}", calls.collect::<Vec<_>>().join(", ")))
}
