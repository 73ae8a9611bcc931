//! Allocation of all pages of a new object, so that no later access fails for lack of memory.

use crate::error::explain;
use rustix::fs::{FallocateFlags, fallocate, fstat, fstatvfs, ftruncate, stat};
use rustix::io::{Errno, pwrite};
use rustix::param::page_size;
use rustix::system::sysinfo;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

/// Maximum number of bytes per `fallocate`.
///
/// On many kernels a signal ends a `fallocate` of a memory file, and the kernel frees the pages that the call had allocated
/// (Linux 6.18.44 does not, as measured). There, one call for the whole length would never succeed under a profiler's timer.
/// The pages of earlier calls stay allocated.
const MAX_STEP: u64 = 1 << 20;

/// Sets the length of an empty file to `len` bytes and allocates all of them. `what` is the name of the file in messages. After
/// an error the file is empty again.
pub(crate) fn reserve(fd: BorrowedFd<'_>, len: usize, what: &dyn fmt::Display) -> io::Result<()> {
    let len = len as u64;
    // These checks come first, so that an excessive length does not use up the memory of other programs before it fails.
    if free(fd).is_some_and(|free| free < len) {
        return Err(refusal(Errno::NOSPC, fd, len, what));
    }
    let all = all_memory();
    if all < len {
        let sentence =
            format!("cannot reserve {len} bytes for {what}: this machine has {all} bytes of memory and swap");
        return Err(explain(Errno::NOMEM, sentence));
    }
    ftruncate(fd, len).and_then(|()| allocate(fd, len)).map_err(|errno| {
        // Freed first, so that the message reports the free space without the pages of this call.
        let _ = ftruncate(fd, 0);
        refusal(errno, fd, len, what)
    })
}

fn allocate(fd: BorrowedFd<'_>, len: u64) -> rustix::io::Result<()> {
    let page = page_size() as u64;
    let (mut done, mut step) = (0, MAX_STEP);
    while done < len {
        let now = step.min(len - done);
        match fallocate(fd, FallocateFlags::empty(), done, now) {
            Ok(()) => {
                done += now;
                step = (step * 2).min(MAX_STEP);
            }
            // On a slow machine, signals may be more frequent than a long step takes.
            Err(Errno::INTR) => step = (step / 2).max(page),
            // The file system, the kernel or a sandbox does not support the call. (A new file has no seal that forbids it.)
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => return touch(fd, done, len, page),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Allocates pages by writing a zero byte into each.
fn touch(fd: BorrowedFd<'_>, mut done: u64, len: u64, page: u64) -> rustix::io::Result<()> {
    while done < len {
        match pwrite(fd, &[0], done) {
            Ok(_) => done += page,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn refusal(errno: Errno, fd: BorrowedFd<'_>, len: u64, what: &dyn fmt::Display) -> io::Error {
    let hint = match (errno, free(fd)) {
        (Errno::NOSPC, Some(free)) if is_in_dev_shm(fd) => format!(
            ": /dev/shm has {free} bytes free. Make it larger (`docker run --shm-size=…`, `mount -o remount,size=… \
             /dev/shm`), or remove names from it that no process uses"
        ),
        (Errno::NOSPC, Some(free)) => format!(
            ": its file system has {free} bytes free. Make it larger (a tmpfs with `mount -o remount,size=…`), remove files \
             from it, or use another directory"
        ),
        (Errno::NOSPC | Errno::NOMEM, None) => ": the kernel promises no more memory (see vm.overcommit_memory)".into(),
        _ => String::new(),
    };
    explain(errno, format!("cannot reserve {len} bytes for {what}{hint}"))
}

/// Number of free bytes on the file system of `fd`. `None` if the file system has no size of its own, like that of memfds.
fn free(fd: BorrowedFd<'_>) -> Option<u64> {
    let stat = fstatvfs(fd).ok().filter(|stat| stat.f_blocks > 0)?;
    Some(stat.f_bfree.saturating_mul(stat.f_frsize))
}

fn is_in_dev_shm(fd: BorrowedFd<'_>) -> bool {
    let there = stat("/dev/shm");
    fstat(fd).is_ok_and(|file| there.is_ok_and(|there| there.st_dev == file.st_dev))
}

/// Number of bytes of memory and swap of this machine.
fn all_memory() -> u64 {
    let info = sysinfo();
    (info.totalram as u64).saturating_add(info.totalswap as u64).saturating_mul(info.mem_unit.into())
}
