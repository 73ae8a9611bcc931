//! Allocating all pages of a new object, so that no access to it can find the memory full.

use crate::error::explain;
use rustix::fs::{FallocateFlags, fallocate, fstatvfs, ftruncate};
use rustix::io::{Errno, pwrite};
use rustix::param::page_size;
use rustix::system::sysinfo;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

/// Maximum number of bytes per `fallocate`.
///
/// On many kernels a signal ends a `fallocate` of a memory file, and the kernel takes back what the call had allocated (not
/// on 6.18.44, measured). There, one call for everything never ends under a profiler's timer. The pages of a call that has
/// returned stay.
const MAX_STEP: u64 = 1 << 20;

/// Gives an empty file `len` bytes and allocates all of them; `what` is its name in messages. An error leaves the file empty.
pub(crate) fn reserve(fd: BorrowedFd<'_>, len: usize, what: &dyn fmt::Display) -> io::Result<()> {
    let len = len as u64;
    // Asked first, so that a length beyond all bounds does not take the memory of others on its way to failure.
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
        // First, so that the message does not count what this call had taken.
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
            // On a slow machine signals may come faster than a long step ends.
            Err(Errno::INTR) => step = (step / 2).max(page),
            // This file system, this kernel or this sandbox has no such call. (No seal forbids it on a new file.)
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
        (Errno::NOSPC, Some(free)) => format!(
            ": /dev/shm has {free} bytes free. Make it larger (`docker run --shm-size=…`, `mount -o remount,size=… \
             /dev/shm`), or remove names from it that no process uses"
        ),
        (Errno::NOSPC | Errno::NOMEM, None) => ": the kernel promises no more memory (see vm.overcommit_memory)".into(),
        _ => String::new(),
    };
    explain(errno, format!("cannot reserve {len} bytes for {what}{hint}"))
}

/// Bytes free on the file system of `fd`; `None` if it has no size of its own, as that of memfds.
fn free(fd: BorrowedFd<'_>) -> Option<u64> {
    let stat = fstatvfs(fd).ok().filter(|stat| stat.f_blocks > 0)?;
    Some(stat.f_bfree.saturating_mul(stat.f_frsize))
}

/// Bytes of memory and swap of this machine.
fn all_memory() -> u64 {
    let info = sysinfo();
    (info.totalram as u64).saturating_add(info.totalswap as u64).saturating_mul(info.mem_unit.into())
}
