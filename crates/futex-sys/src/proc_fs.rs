//! Processes and their namespaces in `/proc`.

use crate::error::{explain, fail};
use rustix::io::Errno;
use std::fmt;
use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// The initial time namespace of a system: `PROC_TIME_INIT_INO` of `linux/proc_ns.h`.
const INITIAL_TIME: &str = "time:[4026531834]";

/// The advice for a peer that can't be watched, as the end of a message.
const HEARTBEAT: &str = "let the peer change a word regularly, and wait with a timeout";

/// The number of the pid namespace of this process.
pub(crate) fn pid_namespace() -> io::Result<NonZeroU32> {
    let link = namespace("pid").map_err(|error| {
        unsupported(format_args!(
            "cannot determine the pid namespace of this process, which needs /proc mounted ({error}): mount it, or \
             {HEARTBEAT}"
        ))
    })?;
    let number = link.strip_prefix("pid:[").and_then(|link| link.strip_suffix(']'));
    number.and_then(|number| number.parse().ok()).ok_or_else(|| {
        unsupported(format_args!("/proc shows the pid namespace of this process as {link:?}, which has no number"))
    })
}

/// Returns an error if this process is in a time namespace other than the initial one. There the births in `/proc` are shifted,
/// so they differ from the births that other processes see.
pub(crate) fn check_time_namespace() -> io::Result<()> {
    match namespace("time") {
        Ok(link) if link == INITIAL_TIME => Ok(()),
        // Linux before 5.6 has no time namespaces.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => Err(unsupported(format_args!(
            "this process is in a time namespace, which shifts the start times of processes, so a reused pid can't be \
             detected: run this process in the initial time namespace, or {HEARTBEAT}"
        ))),
        Err(error) => {
            Err(unsupported(format_args!("cannot determine the time namespace of this process ({error}): {HEARTBEAT}")))
        }
    }
}

/// Returns an error if a process was published in another pid namespace than that of this process.
pub(crate) fn check_pid_namespace(published: NonZeroU32) -> io::Result<()> {
    let here = pid_namespace()?;
    if published == here {
        return Ok(());
    }
    Err(unsupported(format_args!(
        "the process was published in the pid namespace {published}, and this process is in {here}, in which the same pid \
         means another process or none: run both in one namespace (containers can share one), or {HEARTBEAT}"
    )))
}

/// The birth of a process: its start time in clock ticks since boot. `process` is `self`, or the number of the process in this
/// `/proc`.
pub(crate) fn birth(process: impl fmt::Display) -> io::Result<u64> {
    let stat = fs::read(format!("/proc/{process}/stat"))?;
    parse_birth(&stat)
        .ok_or_else(|| unsupported(format_args!("/proc/{process}/stat has no start time in its field 22: {HEARTBEAT}")))
}

/// Field 22 of a `stat` file (`proc_pid_stat(5)`).
fn parse_birth(stat: &[u8]) -> Option<u64> {
    // The name of the command, field 2, is in parentheses. It may contain any bytes, also parentheses and spaces.
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
    rest.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

/// The number of the process of a pidfd in this `/proc`, which may belong to another pid namespace than that of this process.
/// `None` if the process has ended and was reaped. (Linux before 5.5 returns the last number then.)
pub(crate) fn number(pidfd: BorrowedFd<'_>) -> io::Result<Option<NonZeroU32>> {
    // `thread-self` and not `self`, because a thread can have its own table of descriptors.
    let path = format!("/proc/thread-self/fdinfo/{}", pidfd.as_raw_fd());
    let info = fs::read_to_string(&path)
        .map_err(|error| explain(error, format!("cannot read {path}, which has the process of a pidfd")))?;
    let line = info.lines().find_map(|line| line.strip_prefix("Pid:"));
    match line.and_then(|number| number.trim().parse::<i64>().ok()) {
        Some(-1) => Ok(None),
        Some(0) => Err(unsupported(format_args!(
            "/proc belongs to a pid namespace that does not contain the process: mount the /proc of this namespace, or \
             {HEARTBEAT}"
        ))),
        number => number
            .and_then(|number| NonZeroU32::new(u32::try_from(number).ok()?))
            .map(Some)
            .ok_or_else(|| unsupported(format_args!("{path} does not show the process of the pidfd: {HEARTBEAT}"))),
    }
}

/// The error if `/proc` does not show the birth of a process that exists.
pub(crate) fn no_birth(pid: impl fmt::Display, error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => unsupported(format_args!(
            "there is a process {pid}, but /proc does not show when it started ({error}): mount /proc without `hidepid` or \
             run as the same user, or {HEARTBEAT}"
        )),
        _ => explain(error, format!("cannot read /proc/{pid}/stat, which has the start time of the process")),
    }
}

/// The error if there is no `pidfd_open`.
pub(crate) fn no_pidfd(pid: impl fmt::Display, errno: Errno) -> io::Error {
    let sentence = format!("cannot watch process {pid}");
    match errno {
        Errno::NOSYS | Errno::PERM | Errno::ACCESS => unsupported(format_args!(
            "{sentence}: this needs the system call pidfd_open (Linux 5.3), and a sandbox must allow it ({errno}): allow it, \
             or {HEARTBEAT}"
        )),
        Errno::MFILE | Errno::NFILE => explain(errno, format!("{sentence}: no descriptors are left (see `ulimit -n`)")),
        _ => explain(errno, sentence),
    }
}

fn namespace(kind: &str) -> io::Result<String> {
    // `thread-self` and not `self`: `self` is the first thread, which has no namespaces after it has ended.
    Ok(fs::read_link(format!("/proc/thread-self/ns/{kind}"))?.to_string_lossy().into_owned())
}

fn unsupported(sentence: fmt::Arguments<'_>) -> io::Error {
    fail(io::ErrorKind::Unsupported, sentence.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_birth_stands_after_the_name_whatever_the_name_is() {
        let rest = "S 1 2 2 0 -1 4194304 9 0 0 0 0 0 0 0 20 0 1 0 123456789 3 4";
        for name in ["sleep", "a b", ") S 1", "(((", ")", "\u{fffd}\n"] {
            assert_eq!(parse_birth(format!("17 ({name}) {rest}").as_bytes()), Some(123_456_789), "{name:?}");
        }
        assert_eq!(parse_birth([b"17 (\xff) ", rest.as_bytes()].concat().as_slice()), Some(123_456_789));
    }

    #[test]
    fn text_that_is_not_a_stat_file_has_no_birth() {
        for stat in ["", ")", "17 (sleep) S 1 2", "17 sleep S 1 2 2 0 -1 4194304 9 0 0 0 0 0 0 0 20 0 1 0 12345"] {
            assert_eq!(parse_birth(stat.as_bytes()), None, "{stat:?}");
        }
    }

    #[test]
    fn a_process_was_born_before_its_threads() {
        let process = birth("self").unwrap();
        let thread = std::thread::spawn(|| birth("thread-self").unwrap()).join().unwrap();
        assert!(0 < process && process <= thread, "{process} {thread}");
    }
}
