//! The files of `/proc/PID` that tell of its memory.

use super::maps::{self, FileId, Maps};
use super::stat::stat_path;
use super::state::State;
use procfs::process::{Process as Handle, Stat};
use rustix::fs::{AtFlags, FileType, Statx};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;

/// This user may not look into the process.
pub(super) struct Hidden;

/// The directories of a process that shows its memory: its own, or, if its first thread has ended, that of another thread.
pub(super) type Thread = String;

/// `None` if the process has ended.
pub(super) fn read_maps(handle: &Handle) -> Result<Option<(Maps, Thread)>, Hidden> {
    /// `PF_KTHREAD` of `linux/sched.h`
    const KERNEL_THREAD: u32 = 0x0020_0000;

    match read_all(handle, "maps") {
        Ok(text) if !text.is_empty() => Ok(Some((maps::parse(&text), Thread::new()))),
        // A thread of the kernel has no memory, nor has a first thread that has ended.
        Ok(_) => {
            let has_others = handle.stat().is_ok_and(|stat| stat.num_threads > 1 && stat.flags & KERNEL_THREAD == 0);
            let tasks = handle.tasks().ok().filter(|_| has_others);
            Ok(tasks.into_iter().flatten().flatten().find_map(|task| {
                let thread = format!("task/{}/", task.tid);
                let text = read_all(handle, &format!("{thread}maps")).ok().filter(|text| !text.is_empty())?;
                Some((maps::parse(&text), thread))
            }))
        }
        Err(procfs::ProcError::PermissionDenied(_)) => match handle.stat() {
            Ok(stat) if stat.flags & KERNEL_THREAD != 0 => Ok(None),
            Ok(stat) if State::of(&stat) == State::Zombie && stat.num_threads <= 1 => Ok(None),
            Ok(_) | Err(procfs::ProcError::PermissionDenied(_)) => Err(Hidden),
            Err(_) => Ok(None),
        },
        Err(_) => Ok(None),
    }
}

fn read_all(handle: &Handle, file: &str) -> procfs::ProcResult<Vec<u8>> {
    let mut text = Vec::new();
    handle.open_relative(file)?.read_to_end(&mut text)?;
    Ok(text)
}

pub(super) fn read_stat(handle: &Handle, thread: &str) -> Option<Stat> {
    let mut process = handle.stat().ok()?;
    if !thread.is_empty() {
        // The first thread has ended, and shows itself as a zombie.
        process.state = handle.read::<_, Stat>(format!("{thread}stat")).ok()?.state;
    }
    Some(process)
}

/// The regular files that are open, and whether a ring is.
pub(super) fn read_descriptors(handle: &Handle, thread: &str) -> io::Result<(Vec<(FileId, u32)>, bool)> {
    const RING: &[u8] = b"anon_inode:[io_uring]";

    let mut files = Vec::new();
    let mut has_ring = false;
    for entry in std::fs::read_dir(format!("/proc/{}/{thread}fd", handle.pid()))? {
        let Ok(entry) = entry else { break };
        let path = entry.path();
        let Ok(target) = std::fs::read_link(&path) else { continue };
        let target = target.as_os_str().as_bytes();
        has_ring |= target == RING;
        let descriptor = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let (Some(descriptor), true) = (descriptor, target.starts_with(b"/")) {
            let regular = |stat: &Statx| FileType::from_raw_mode(stat.stx_mode.into()) == FileType::RegularFile;
            if let Some(stat) = stat_path(&path, AtFlags::empty()).ok().filter(regular) {
                files.push((FileId::of(&stat), descriptor));
            }
        }
    }
    files.sort_unstable();
    Ok((files, has_ring))
}

/// The number of the running process is positive.
pub(super) fn number(pid: i32) -> u32 {
    pid.unsigned_abs()
}
