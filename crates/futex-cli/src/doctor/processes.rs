//! What this process can find out about others: `/proc`, and namespaces.

use super::limits;
use super::report::Finding;
use super::system::{Process, namespace};
use futex_sys::ProcessId;
use std::io;

/// `PROC_PID_INIT_INO` and `PROC_TIME_INIT_INO` of `linux/proc_ns.h`.
const INITIAL_PID: u64 = 0xefff_fffc;
const INITIAL_TIME: u64 = 0xefff_fffa;

const HEARTBEAT: &str = "let peers change a word regularly, and wait for that with a timeout";

pub(super) fn proc_fs() -> Finding {
    const TOPIC: &str = "proc";
    let Ok(myself) = procfs::process::Process::myself() else {
        return Finding::problem(TOPIC, "there is no /proc: processes cannot be watched, nor shown")
            .advise("mount it: `mount -t proc proc /proc`");
    };
    let mounts = myself.mountinfo().map(|mounts| mounts.0).unwrap_or_default();
    // The last one hides those before.
    let options =
        mounts.iter().rfind(|mount| mount.mount_point.as_os_str() == "/proc").map(|mount| &mount.super_options);
    match options.and_then(|options| options.get("hidepid")).and_then(Option::as_deref) {
        None | Some("0" | "off") => {}
        Some(value) => {
            let found = format!(
                "/proc is mounted with hidepid={value}: processes of other users are hidden, and cannot be watched"
            );
            return Finding::note(TOPIC, found).advise(
                "if peers are other users, mount /proc with `gid=` of a group that the user is in, or mount it without hidepid",
            );
        }
    }
    if u32::try_from(myself.pid()) != Ok(std::process::id()) {
        return Finding::warning(TOPIC, "/proc is of another pid namespace than this process: it shows other numbers")
            .advise("mount a /proc of this namespace: `unshare --mount-proc`, or `mount -t proc proc /proc`");
    }
    Finding::ok(TOPIC, "/proc shows the processes of all users")
}

pub(super) fn pid_namespace(process: &Process) -> Finding {
    const TOPIC: &str = "pid_namespace";
    match namespace("pid") {
        None => {
            Finding::note(TOPIC, "it is not known in which pid namespace this process is, as /proc does not say it")
        }
        Some(INITIAL_PID) => Finding::ok(TOPIC, "this process is in the initial pid namespace"),
        Some(number) => {
            let depth = process.0.as_ref().and_then(|status| status.nspid.as_ref()).map_or(1, Vec::len);
            let nested = if depth > 1 { format!(", {} deep as this /proc sees it", depth - 1) } else { String::new() };
            Finding::note(
                TOPIC,
                format!(
                    "this process is in the pid namespace {number}{nested}: it cannot watch processes of other ones"
                ),
            )
            .advise(format!(
                "if peers run in other containers, let them share one (`--pid=container:NAME` of docker and podman, \
                 shareProcessNamespace in Kubernetes), or {HEARTBEAT}"
            ))
        }
    }
}

pub(super) fn time_namespace() -> Finding {
    const TOPIC: &str = "time_namespace";
    match namespace("time") {
        None => Finding::ok(TOPIC, "the kernel has no time namespaces, or /proc does not show them"),
        Some(INITIAL_TIME) => Finding::ok(TOPIC, "this process is in the initial time namespace"),
        Some(number) => Finding::warning(
            TOPIC,
            format!("this process is in the time namespace {number}, so it cannot watch processes: times of start are shifted"),
        )
        .advise(format!("run it in the initial one, or {HEARTBEAT}")),
    }
}

/// Whether the end of a process can be noticed.
pub(super) fn ends() -> Finding {
    const TOPIC: &str = "process_ends";
    match ProcessId::current().and_then(ProcessId::open) {
        Ok(_) => Finding::ok(TOPIC, "the end of another process can be noticed"),
        Err(error) => {
            let finding = Finding::warning(TOPIC, format!("the end of another process cannot be noticed: {error}"));
            // Otherwise the sentence says what to do.
            let advised = error.kind() == io::ErrorKind::Unsupported;
            if advised { finding } else { finding.advise(limits::MORE_DESCRIPTORS) }
        }
    }
}
