//! A lack of memory is an error of the function that makes memory, and not a SIGBUS later.

use crate::support::child::Process;
use crate::support::name::Name;
use crate::support::{assert_refused, errno, sandbox, skip};
use futex_sys::__private::make_of_file;
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

/// Checks that each function that makes memory under a name refuses `len` bytes for lack of room, and leaves nothing behind.
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
fn a_length_beyond_dev_shm_is_refused() {
    if shm().f_blocks == 0 {
        return skip("this /dev/shm has no size");
    }
    let all = usize::try_from(shm().f_blocks * shm().f_frsize).expect("a length");
    assert_no_room(&Name::new("no-room"), all + 1);
}

#[test]
fn a_length_beyond_another_file_system_is_refused_without_a_word_about_dev_shm() {
    // Regression: the message said that /dev/shm had the room that another file system had.
    let (directory, file) = (std::env::temp_dir(), tempfile::tempfile().expect("a file"));
    let room = statvfs(&directory).expect("the directory of temporary files");
    if room.f_blocks == 0 || room.f_fsid == shm().f_fsid {
        return skip("the directory of temporary files is on /dev/shm, or on a file system without a size");
    }
    let len = usize::try_from(room.f_blocks * room.f_frsize + 1).expect("a length");
    let error = make_of_file(file.into(), len, &"the file").expect_err("there is no room for it");
    let text = error.to_string();
    let start = format!("cannot reserve {len} bytes for the file: its file system has ");
    assert!(text.starts_with(&start) && text.contains(" bytes free. ") && !text.contains("/dev/shm"), "{text}");
    assert_eq!((error.kind(), errno(&error)), (ErrorKind::StorageFull, Some(libc::ENOSPC)));
}

#[test]
fn a_length_beyond_memory_and_swap_is_refused() {
    // Regression: a memfd has no limit, so the kernel killed its maker and other processes for lack of memory.
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
    // The whole room can be allocated, and every word of it can be written.
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

/// Number of allocated bytes.
fn allocated(memory: &SharedMemory) -> usize {
    usize::try_from(rustix::fs::fstat(memory).expect("fstat").st_blocks * 512).expect("a length")
}

/// Makes memory while system calls fail, as on other kernels and file systems and in sandboxes.
pub(crate) fn reserve_in_a_sandbox() {
    const LEN: usize = (3 << 20) + 5;

    let name = Name::new("reserve");
    let make: [Make<'_>; 3] = [&SharedMemory::anonymous, &|len| SharedMemory::create(&name.0, len), &|len| {
        NamedMemory::replace(&name.0, len).map(NamedMemory::keep)
    }];

    // Each long call is interrupted, as by a profiler's timer on a slow machine.
    for long in [1 << 20, 1 << 19, 1 << 18] {
        sandbox::forbid_if(libc::SYS_fallocate, 3, long, libc::EINTR);
        for make in make {
            let memory = make(LEN).expect("memory by short calls");
            assert!(memory.len() == LEN && allocated(&memory) >= LEN, "{}", allocated(&memory));
            let _ = SharedMemory::unlink(&name.0);
        }
    }

    // The memory becomes full in the second MiB, although there was room at the check.
    sandbox::forbid_if(libc::SYS_fallocate, 2, 1 << 20, libc::ENOSPC);
    assert_no_room(&name, LEN);
    let text =
        format!("cannot reserve {LEN} bytes for a new memfd: the kernel promises no more memory (see vm.overcommit");
    assert_refused(SharedMemory::anonymous(LEN), ErrorKind::StorageFull, &text);

    // `fallocate` is not supported.
    for errno in [libc::ENOSYS, libc::EOPNOTSUPP, libc::EPERM] {
        sandbox::forbid([libc::SYS_fallocate], errno);
        for make in make {
            let memory = make(LEN).expect("memory without fallocate");
            assert!(memory.len() == LEN && allocated(&memory) >= LEN, "{}", allocated(&memory));
            assert!(memory.as_words().iter().all(|word| word.load(Ordering::Relaxed) == 0));
            let _ = SharedMemory::unlink(&name.0);
        }
    }

    // `fallocate` is not supported, and the memory is full.
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
