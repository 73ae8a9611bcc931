//! Memory that is full is an error of the function that makes more of it, and not a SIGBUS later.

use crate::support::child::Process;
use crate::support::name::Name;
use crate::support::{assert_refused, errno, sandbox, skip};
use futex_sys::{NamedMemory, SharedMemory};
use rustix::fs::{StatVfs, statvfs};
use std::io::{self, ErrorKind};
use std::sync::atomic::Ordering;

type Make<'a> = &'a dyn Fn(usize) -> io::Result<SharedMemory>;

fn shm() -> StatVfs {
    statvfs("/dev/shm").expect("/dev/shm")
}

fn free() -> usize {
    usize::try_from(shm().f_bfree * shm().f_frsize).expect("a length")
}

/// Checks that each function that makes memory under a name refuses `len` bytes for want of room, and leaves nothing.
fn assert_no_room(name: &Name, len: usize) {
    let make: [Make<'_>; 3] =
        [&|len| SharedMemory::create(&name.0, len), &|len| SharedMemory::open_or_create(&name.0, len), &|len| {
            NamedMemory::replace(&name.0, len).map(NamedMemory::keep)
        }];
    for make in make {
        let error = make(len).expect_err("there is no room for it");
        let text = error.to_string();
        let start = format!("cannot reserve {len} bytes for shared memory {:?}: /dev/shm has ", name.0);
        assert!(
            text.starts_with(&start) && text.contains(" bytes free. Make it larger (`docker run --shm-size="),
            "{text}"
        );
        assert_eq!((error.kind(), errno(&error)), (ErrorKind::StorageFull, Some(libc::ENOSPC)));
        assert_eq!(name.files(), [""; 0]);
    }
}

#[test]
fn more_than_dev_shm_can_have_is_refused() {
    if shm().f_blocks == 0 {
        return skip("this /dev/shm has no size");
    }
    let all = usize::try_from(shm().f_blocks * shm().f_frsize).expect("a length");
    assert_no_room(&Name::new("no-room"), all + 1);
}

#[test]
fn more_than_all_memory_and_swap_is_refused() {
    // A memfd has no limit: its maker was killed, with others, for want of memory.
    let info = rustix::system::sysinfo();
    let all = (info.totalram + info.totalswap) as usize * info.mem_unit as usize;
    let text =
        format!("cannot reserve {} bytes for a new memfd: this machine has {all} bytes of memory and swap: ", all + 1);
    assert_refused(SharedMemory::anonymous(all + 1), ErrorKind::OutOfMemory, &text);
}

const SMALL: u32 = 256 << 10;

pub(crate) fn fill_a_small_shm() {
    let name = Name::new("small");
    assert_eq!(free(), SMALL as usize);

    assert_no_room(&name, SMALL as usize + 1);
    // All of it, and every byte of that can be used.
    let memory = NamedMemory::create(&name.0, SMALL as usize).expect("there is room");
    for word in memory.as_words() {
        word.store(1, Ordering::Relaxed);
    }
    assert_eq!(free(), 0);
    assert_no_room(&Name::new("full"), 4);
    assert!(memory.is_current());
    drop(memory);
    assert_eq!(free(), SMALL as usize, "something was left behind");
}

#[test]
fn a_full_dev_shm_is_an_error_and_no_access_to_memory_that_was_made_fails() {
    let memory = SharedMemory::anonymous(4096).unwrap();
    match Process::start_with_small_shm(SMALL, "fill-a-small-shm", &memory) {
        Ok(child) => {
            let status = child.end();
            assert!(status.success(), "{status}");
        }
        Err(reason) => skip(reason),
    }
}

/// How much of the memory is allocated, in bytes.
fn allocated(memory: &SharedMemory) -> usize {
    usize::try_from(rustix::fs::fstat(memory).expect("fstat").st_blocks * 512).expect("a length")
}

/// The errors that a kernel, a file system or a sandbox can give.
pub(crate) fn reserve_in_a_sandbox() {
    const LEN: usize = (3 << 20) + 5;

    let name = Name::new("reserve");
    let make: [Make<'_>; 3] = [&SharedMemory::anonymous, &|len| SharedMemory::create(&name.0, len), &|len| {
        NamedMemory::replace(&name.0, len).map(NamedMemory::keep)
    }];

    // Long calls are interrupted each time, as under a profiler's timer on a slow machine.
    for long in [1 << 20, 1 << 19, 1 << 18] {
        sandbox::forbid_where(libc::SYS_fallocate, 3, long, libc::EINTR);
        for make in make {
            let memory = make(LEN).expect("memory by short calls");
            assert!(memory.len() == LEN && allocated(&memory) >= LEN, "{}", allocated(&memory));
            let _ = SharedMemory::unlink(&name.0);
        }
    }

    // The memory is full in the second MiB, although there was room before.
    sandbox::forbid_where(libc::SYS_fallocate, 2, 1 << 20, libc::ENOSPC);
    assert_no_room(&name, LEN);
    let text =
        format!("cannot reserve {LEN} bytes for a new memfd: the kernel promises no more memory (see vm.overcommit");
    assert_refused(SharedMemory::anonymous(LEN), ErrorKind::StorageFull, &text);

    // There is no `fallocate`.
    for errno in [libc::ENOSYS, libc::EOPNOTSUPP, libc::EPERM] {
        sandbox::forbid([libc::SYS_fallocate], errno);
        for make in make {
            let memory = make(LEN).expect("memory without fallocate");
            assert!(memory.len() == LEN && allocated(&memory) >= LEN, "{}", allocated(&memory));
            assert!(memory.as_words().iter().all(|word| word.load(Ordering::Relaxed) == 0));
            let _ = SharedMemory::unlink(&name.0);
        }
    }

    // And the memory is full.
    sandbox::forbid([libc::SYS_pwrite64], libc::ENOSPC);
    assert_no_room(&name, LEN);
}

#[test]
fn memory_is_reserved_with_and_without_fallocate() {
    if !sandbox::is_supported() {
        return skip("no seccomp filters for this processor");
    }
    let memory = SharedMemory::anonymous(4096).unwrap();
    let status = Process::start("reserve-in-a-sandbox", &memory).end();
    assert!(status.success(), "{status}");
}
