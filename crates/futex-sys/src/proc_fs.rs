//! What `/proc` knows about processes and their namespaces.

use crate::error::{explain, fail};
use rustix::io::Errno;
use std::fmt;
use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// The time namespace that a system starts with: `PROC_TIME_INIT_INO` of `linux/proc_ns.h`.
const INITIAL_TIME: &str = "time:[4026531834]";

/// What to do if a process can't be watched.
const HEARTBEAT: &str = "notice the end of a peer by a word that it changes regularly, and a timeout";

/// The number of the pid namespace that this process is in.
pub(crate) fn pid_namespace() -> io::Result<NonZeroU32> {
    let link = namespace("pid").map_err(|error| {
        unsupported(format_args!(
            "cannot tell the pid namespace of this process, which needs /proc mounted ({error}): mount it, or \
             {HEARTBEAT}"
        ))
    })?;
    let number = link.strip_prefix("pid:[").and_then(|link| link.strip_suffix(']'));
    number.and_then(|number| number.parse().ok()).ok_or_else(|| {
        unsupported(format_args!(
            "/proc says that this process is in the pid namespace {link:?}, which is not a number"
        ))
    })
}

/// An error if this process is in a time namespace. There `/proc` shows births that are shifted, and differ from those
/// that other processes see.
pub(crate) fn check_time_namespace() -> io::Result<()> {
    match namespace("time") {
        Ok(link) if link == INITIAL_TIME => Ok(()),
        // Linux before 5.6 has no such namespaces.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => Err(unsupported(format_args!(
            "this process is in a time namespace, which shifts the starting times of processes, so they can't be told \
             apart: run it in the initial one, or {HEARTBEAT}"
        ))),
        Err(error) => {
            Err(unsupported(format_args!("cannot tell the time namespace of this process ({error}): {HEARTBEAT}")))
        }
    }
}

/// An error if a process was published in another pid namespace than that of this process.
pub(crate) fn check_pid_namespace(published: NonZeroU32) -> io::Result<()> {
    let here = pid_namespace()?;
    if published == here {
        return Ok(());
    }
    Err(unsupported(format_args!(
        "the process was published in the pid namespace {published}, and this process is in {here}, where its number \
         means another process or none: run both in one (containers can share it), or {HEARTBEAT}"
    )))
}

/// The clock ticks from the start of the system to that of a process, which is `self` or a number that this `/proc`
/// has.
pub(crate) fn birth(process: impl fmt::Display) -> io::Result<u64> {
    let stat = fs::read(format!("/proc/{process}/stat"))?;
    parse_birth(&stat).ok_or_else(|| {
        unsupported(format_args!("/proc/{process}/stat has no starting time in its field 22: {HEARTBEAT}"))
    })
}

/// Field 22 of a `stat` file (`proc_pid_stat(5)`).
fn parse_birth(stat: &[u8]) -> Option<u64> {
    // The name of the command, field 2, is in parentheses, and may contain any byte, parentheses and spaces too.
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
    rest.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

/// The number that this `/proc` has for the process of a pidfd, whose pid namespace may be another than ours. `None` if
/// the process has ended and was reaped. (Linux before 5.5 gives its last number then.)
pub(crate) fn number(pidfd: BorrowedFd<'_>) -> io::Result<Option<NonZeroU32>> {
    // Not of `self`: a thread can have a table of descriptors of its own.
    let path = format!("/proc/thread-self/fdinfo/{}", pidfd.as_raw_fd());
    let info = fs::read_to_string(&path)
        .map_err(|error| explain(error, format!("cannot read {path}, which says whose pidfd it is")))?;
    let line = info.lines().find_map(|line| line.strip_prefix("Pid:"));
    match line.and_then(|number| number.trim().parse::<i64>().ok()) {
        Some(-1) => Ok(None),
        Some(0) => Err(unsupported(format_args!(
            "/proc is of a pid namespace that does not contain the process: mount the /proc of this namespace, or \
             {HEARTBEAT}"
        ))),
        number => number
            .and_then(|number| NonZeroU32::new(u32::try_from(number).ok()?))
            .map(Some)
            .ok_or_else(|| unsupported(format_args!("{path} does not tell whose pidfd it is: {HEARTBEAT}"))),
    }
}

/// The error if `/proc` does not show the birth of a process that there is.
pub(crate) fn no_birth(pid: impl fmt::Display, error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => unsupported(format_args!(
            "there is a process {pid}, but /proc does not show when it started ({error}): mount /proc without `hidepid` or \
             run as the same user, or {HEARTBEAT}"
        )),
        _ => explain(error, format!("cannot read /proc/{pid}/stat, which tells when the process started")),
    }
}

/// The error if there is no `pidfd_open`.
pub(crate) fn no_pidfd(pid: impl fmt::Display, errno: Errno) -> io::Error {
    let sentence = format!("cannot watch process {pid}");
    match errno {
        Errno::NOSYS | Errno::PERM | Errno::ACCESS => unsupported(format_args!(
            "{sentence}, which needs pidfd_open of Linux 5.3, allowed by the sandbox if there is one ({errno}): allow \
             it, or {HEARTBEAT}"
        )),
        Errno::MFILE | Errno::NFILE => explain(errno, format!("{sentence}: descriptors ran out (see `ulimit -n`)")),
        _ => explain(errno, sentence),
    }
}

fn namespace(kind: &str) -> io::Result<String> {
    // Not of `self`: if the first thread has ended, that has no namespaces any more.
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
    fn what_is_no_stat_file_has_no_birth() {
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
