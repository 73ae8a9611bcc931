//! Threads that sleep on futex words, as far as `/proc/PID/task/TID/syscall` shows it.
//!
//! It shows the arguments of the system call that a thread is in. It does not show waits of io_uring, which no thread sleeps in,
//! nor that a waiter was moved to another word (`FUTEX_REQUEUE`).

use super::maps::{FileId, Map, Maps};
use super::read;
use super::state::State;
use procfs::process::{Process, Syscall};
use std::os::unix::fs::FileExt as _;

/// A thread in a system call that waits on a word.
#[derive(Clone, Debug)]
pub(crate) struct Sleeper {
    pub(crate) file: FileId,
    /// Of the word, in bytes from the start of the file.
    pub(crate) offset: u64,
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    /// The name of the thread.
    pub(crate) command: String,
    pub(crate) state: State,
}

impl Sleeper {
    /// False for a thread that is stopped in its wait: it has left the word's queue, and returns to it when it continues.
    pub(crate) fn is_queued(&self) -> bool {
        !matches!(self.state, State::Stopped | State::Traced)
    }
}

/// The threads of a process that sleep on words of its shared mappings. `None` if it can't be seen what they do: not by this user
/// (even of a process of the same user, if `kernel.yama.ptrace_scope` forbids it), or not at all in a program of 32 bits.
pub(crate) fn of(process: &Process, maps: &Maps, wanted: impl Fn(FileId) -> bool) -> Option<Vec<Sleeper>> {
    let mut sleepers = Vec::new();
    // The numbers of calls are those of 64 bits.
    if !maps.is_wide {
        return None;
    }
    for task in process.tasks().ok()?.flatten() {
        let (number, arguments) = match task.syscall() {
            Ok(Syscall::Blocked { syscall_number, argument_registers, .. }) => (syscall_number, argument_registers),
            // It runs, or it has ended.
            Ok(_) | Err(procfs::ProcError::NotFound(_)) => continue,
            Err(procfs::ProcError::PermissionDenied(_)) => return None,
            Err(_) => continue,
        };
        for address in words(number, arguments, |address, entries| read_waitv(process, address, entries)) {
            let Some((map, offset)) = place(&maps.shared, address) else { continue };
            let Ok(stat) = task.stat() else { continue };
            if wanted(map.file) {
                sleepers.push(Sleeper {
                    file: map.file,
                    offset,
                    pid: read::number(task.pid),
                    tid: read::number(task.tid),
                    state: State::of(&stat),
                    command: stat.comm,
                });
            }
        }
    }
    Some(sleepers)
}

/// The mapping that an address is in, and the place in its file.
fn place(maps: &[Map], address: u64) -> Option<(&Map, u64)> {
    let next = maps.partition_point(|map| map.addresses.start <= address);
    let map = maps.get(next.checked_sub(1)?)?;
    Some((map, map.place(address)?))
}

mod number {
    /// `futex` and `restart_syscall`, which the former is continued by after a stop if it has a timeout.
    #[cfg(target_pointer_width = "64")]
    pub(super) const FUTEX: [i64; 2] = [libc::SYS_futex, libc::SYS_restart_syscall];
    /// A program of 32 bits knows other numbers than those of the processes that it looks at.
    #[cfg(not(target_pointer_width = "64"))]
    pub(super) const FUTEX: [i64; 2] = [-2, -2];
    /// The same on all processors.
    pub(super) const FUTEX_WAITV: i64 = 449;
    pub(super) const FUTEX_WAIT: i64 = 455;
}

/// `linux/futex.h`. It is the same bit in the flags of the newer calls (`FUTEX2_PRIVATE`).
const PRIVATE: u64 = 128;
const CLOCK_REALTIME: u64 = 256;

/// An entry of `futex_waitv`: an address and flags.
type Entry = (u64, u32);

/// The addresses of the shared words that a call waits on.
fn words(number: i64, arguments: [u64; 6], entries: impl FnOnce(u64, u64) -> Vec<Entry>) -> Vec<u64> {
    /// `FUTEX_WAIT`, `FUTEX_LOCK_PI`, `FUTEX_WAIT_BITSET`, `FUTEX_WAIT_REQUEUE_PI` and `FUTEX_LOCK_PI2`.
    const WAITS: [u64; 5] = [0, 6, 9, 11, 13];

    let [first, second, _, fourth, ..] = arguments;
    let words = if number::FUTEX.contains(&number) {
        // The operation is an `int`: the upper half of the register can have anything.
        let operation = second & u64::from(u32::MAX);
        let is_wait = operation & PRIVATE == 0 && WAITS.contains(&(operation & !CLOCK_REALTIME));
        if is_wait { vec![first] } else { Vec::new() }
    } else if number == number::FUTEX_WAIT {
        if fourth & PRIVATE == 0 { vec![first] } else { Vec::new() }
    } else if number == number::FUTEX_WAITV {
        let shared = |&(_, flags): &Entry| u64::from(flags) & PRIVATE == 0;
        entries(first, second & u64::from(u32::MAX)).into_iter().filter(shared).map(|(address, _)| address).collect()
    } else {
        Vec::new()
    };
    words.into_iter().map(untagged).collect()
}

/// 64-bit ARM ignores the topmost byte of addresses.
fn untagged(address: u64) -> u64 {
    if cfg!(target_arch = "aarch64") { address & (u64::MAX >> 8) } else { address }
}

/// `struct futex_waitv` of `linux/futex.h`: `u64 val, u64 uaddr, u32 flags, u32 reserved`. Empty if it can't be read.
fn read_waitv(process: &Process, address: u64, entries: u64) -> Vec<Entry> {
    const SIZE: usize = 24;
    /// `FUTEX_WAITV_MAX`
    const MOST: u64 = 128;

    let mut bytes = vec![0; entries.min(MOST) as usize * SIZE];
    let read = process.open_relative("mem").ok().and_then(|memory| memory.read_at(&mut bytes, untagged(address)).ok());
    bytes.truncate(read.unwrap_or(0));
    let entry = |bytes: &[u8]| {
        let (_, bytes) = bytes.split_first_chunk::<8>()?;
        let (address, bytes) = bytes.split_first_chunk::<8>()?;
        Some((u64::from_ne_bytes(*address), u32::from_ne_bytes(*bytes.first_chunk::<4>()?)))
    };
    bytes.chunks_exact(SIZE).filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FUTEX: i64 = number::FUTEX[0];

    fn words_of(number: i64, arguments: [u64; 6]) -> Vec<u64> {
        words(number, arguments, |_, _| unreachable!("no array"))
    }

    #[test]
    fn waits_on_shared_words_are_known_by_their_numbers() {
        let wait = |operation| words_of(FUTEX, [0x1000, operation, 7, 0, 0, 0]);
        for operation in [0, 9, 9 | CLOCK_REALTIME, 6, 13, 0xffff_ffff_0000_0009] {
            assert_eq!(wait(operation), [0x1000], "{operation}");
        }
        // FUTEX_WAKE, FUTEX_REQUEUE, and waits that are private to the process.
        for operation in [1, 3, PRIVATE, 9 | PRIVATE, 0xffff_ffff_0000_0089] {
            assert!(wait(operation).is_empty(), "{operation}");
        }
        // A wait with a timeout, after the thread was stopped and continued.
        assert_eq!(words_of(number::FUTEX[1], [0x1000, 0, 7, 0, 0, 0]), [0x1000]);
        assert_eq!(words_of(455, [0x1000, 7, 1, 2, 0, 0]), [0x1000]);
        assert!(words_of(455, [0x1000, 7, 1, 2 | PRIVATE, 0, 0]).is_empty());
        // `getegid32` of a process of 32 bits, and `read`.
        assert!(words_of(0, [0x1000, 0, 0, 0, 0, 0]).is_empty() && words_of(-1, [0x1000, 0, 0, 0, 0, 0]).is_empty());
    }

    #[test]
    fn the_shared_entries_of_a_futex_waitv_are_its_words() {
        let entries = |address, count| {
            assert_eq!((address, count), (0x9000, 3));
            vec![(0x1000, 2), (0x2000, 2 | PRIVATE as u32), (0x3000, 2)]
        };
        assert_eq!(words(449, [0x9000, 3, 0, 0, 0, 0], entries), [0x1000, 0x3000]);
    }

    #[test]
    fn an_address_is_found_in_its_mapping() {
        let map = |start, end| Map {
            addresses: start..end,
            is_writable: true,
            offset: 0x100,
            file: FileId { device: (0, 1), inode: start },
            path: "x".into(),
        };
        let maps = [map(0x1000, 0x2000), map(0x4000, 0x5000)];
        let found = |address| place(&maps, address).map(|(map, offset)| (map.file.inode, offset));
        assert_eq!((found(0x1004), found(0x4ffc)), (Some((0x1000, 0x104)), Some((0x4000, 0x10fc))));
        for address in [0, 0xfff, 0x2000, 0x3000, 0x5000, u64::MAX] {
            assert_eq!(found(address), None, "{address:x}");
        }
    }
}
