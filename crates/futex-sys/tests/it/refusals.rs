//! Refused arguments, and the messages of the errors.

use crate::support::{assert_refused, errno};
use futex_sys::{EventFd, NamedMemory, SharedMemory};
use proptest::prelude::*;
use rustix::fs::{MemfdFlags, SealFlags};
use std::fs::File;
use std::io::ErrorKind::{
    AlreadyExists, InvalidInput, NotFound, OutOfMemory, PermissionDenied, ResourceBusy, StorageFull, UnexpectedEof,
};
use std::os::fd::OwnedFd;
use std::time::Duration;

fn memfd(len: u64) -> OwnedFd {
    let fd = rustix::fs::memfd_create("refusals", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("memfd");
    rustix::fs::ftruncate(&fd, len).expect("ftruncate");
    fd
}

#[test]
fn misaligned_offsets_are_refused() {
    let memory = SharedMemory::anonymous(64).unwrap();
    for offset in [1, 2, 3, 61, 62, 63, usize::MAX] {
        let text = format!("offset {offset} is not a multiple of 4: a futex word is aligned to four bytes");
        assert_refused(memory.word(offset), InvalidInput, &text);
    }
}

#[test]
fn offsets_out_of_range_are_refused() {
    for (len, offset) in [(64, 64), (64, 68), (63, 60), (4, 4), (7, 4), (64, usize::MAX - 3)] {
        let memory = SharedMemory::anonymous(len).unwrap();
        let text = format!("a word at offset {offset} ends beyond the shared memory, which has {len} bytes");
        assert_refused(memory.word(offset), InvalidInput, &text);
    }
}

proptest! {
    #[test]
    fn a_word_is_given_out_exactly_where_four_aligned_bytes_are(len in 4_usize..9_000, offset in 0_usize..9_010) {
        let memory = SharedMemory::anonymous(len).unwrap();
        let word = memory.word(offset);
        prop_assert_eq!(word.is_ok(), offset % 4 == 0 && offset + 4 <= len);
        if let Ok(word) = word {
            prop_assert_eq!(word.as_ptr() as usize, memory.as_ptr() as usize + offset);
        }
        prop_assert_eq!(memory.as_words().len(), len / 4);
    }
}

#[test]
fn lengths_that_are_too_small_or_too_large_are_refused() {
    let name = format!("/futex-sys-test-lengths-{}", std::process::id());
    type Make<'a> = &'a dyn Fn(usize) -> std::io::Result<SharedMemory>;
    let make: [Make<'_>; 5] = [
        &SharedMemory::anonymous,
        &|len| SharedMemory::create(&name, len),
        &|len| SharedMemory::open_or_create(&name, len),
        &|len| NamedMemory::create(&name, len).map(NamedMemory::keep),
        &|len| NamedMemory::replace(&name, len).map(NamedMemory::keep),
    ];
    for make in make {
        for len in 0..4 {
            let text = format!("shared memory of {len} bytes is too small for a word: ask for at least 4");
            assert_refused(make(len), InvalidInput, &text);
        }
        for len in [usize::MAX, isize::MAX as usize + 1] {
            assert_refused(
                make(len),
                InvalidInput,
                &format!("shared memory of {len} bytes is more than can be mapped"),
            );
        }
        // The largest valid length, for which no machine has enough memory.
        let error = make(isize::MAX as usize).unwrap_err();
        let text = format!("cannot reserve {} bytes for ", isize::MAX);
        assert!(error.to_string().starts_with(&text), "{error}");
        assert!(matches!(error.kind(), OutOfMemory | StorageFull), "{error}");
        assert_refused(SharedMemory::open(&name), NotFound, &format!("cannot open shared memory {name:?}: "));
    }
}

#[test]
fn an_object_without_a_length_yet_has_an_error_of_its_own() {
    let says = "has no bytes yet: its creator has not set its length, or died before it did. Wait, or remove it";
    assert_refused(SharedMemory::from_fd(memfd(0)), UnexpectedEof, &format!("the descriptor {says}"));

    let file = tempfile::NamedTempFile::new().unwrap();
    assert_refused(SharedMemory::open_path(&file), UnexpectedEof, &format!("{} {says}", file.path().display()));

    let name = format!("futex-sys-test-empty-{}", std::process::id());
    let path = format!("/dev/shm/{name}");
    File::create(&path).unwrap();
    let (opened, created) = (SharedMemory::open(&name), SharedMemory::open_or_create(&name, 64));
    std::fs::remove_file(path).unwrap();
    assert_refused(opened, UnexpectedEof, &format!("shared memory {name:?} {says}"));
    assert_refused(created, UnexpectedEof, &format!("shared memory {name:?} {says}"));
}

#[test]
fn an_object_that_holds_no_word_is_refused() {
    for len in 1..4 {
        let text = format!("the descriptor can't be shared memory: it has {len} bytes, and a word needs 4");
        assert_refused(SharedMemory::from_fd(memfd(len)), InvalidInput, &text);
        assert_refused(SharedMemory::try_from(memfd(len)), InvalidInput, &text);
    }
    assert_eq!(SharedMemory::try_from(memfd(4)).unwrap().len(), 4);
}

#[test]
fn descriptors_of_other_things_than_memory_are_refused() {
    let says = "the descriptor can't be shared memory: it is neither a memfd nor a regular file";
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let others: [OwnedFd; 5] = [
        reader,
        writer,
        File::open("/").unwrap().into(),
        File::options().read(true).write(true).open("/dev/null").unwrap().into(),
        EventFd::new().unwrap().into(),
    ];
    for other in others {
        assert_refused(SharedMemory::from_fd(other), InvalidInput, says);
    }
}

#[test]
fn paths_of_other_things_than_files_are_refused() {
    let says = "can't be shared memory: it is neither a memfd nor a regular file";
    assert_refused(SharedMemory::open_path("/dev/null"), InvalidInput, &format!("/dev/null {says}"));

    let directory = tempfile::tempdir().unwrap();
    let text = format!("cannot open {} as shared memory: ", directory.path().display());
    assert_refused(SharedMemory::open_path(&directory), std::io::ErrorKind::IsADirectory, &text);

    // No process has the other end of the pipe. Opening the pipe does not block.
    let pipe = directory.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    assert_refused(SharedMemory::open_path(&pipe), InvalidInput, &format!("{} {says}", pipe.display()));

    let missing = directory.path().join("missing");
    let text = format!("cannot open {} as shared memory: ", missing.display());
    assert_refused(SharedMemory::open_path(&missing), NotFound, &text);
}

#[test]
fn descriptors_that_are_not_for_reading_and_writing_are_refused() {
    let says = "cannot map 64 bytes of the descriptor, which has to be open for reading and writing, and not sealed \
                against writing: ";
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(64).unwrap();
    let read_only = File::open(file.path()).unwrap();
    assert_refused(SharedMemory::from_fd(read_only.into()), PermissionDenied, says);
    let write_only = File::options().write(true).open(file.path()).unwrap();
    assert_refused(SharedMemory::from_fd(write_only.into()), PermissionDenied, says);

    let sealed = memfd(64);
    rustix::fs::fcntl_add_seals(&sealed, SealFlags::WRITE).unwrap();
    assert_refused(SharedMemory::from_fd(sealed), PermissionDenied, says);
}

#[test]
fn invalid_names_are_refused() {
    let long = "x".repeat(256);
    for name in ["", "/", "//", "a/b", "/a/b", "a/", "..", "/..", ".", "../etc/passwd", "a\0b", &long] {
        let text = format!("{name:?} can't name shared memory: use 1 to 255 bytes without a slash");
        assert_refused(SharedMemory::create(name, 64), InvalidInput, &text);
        assert_refused(SharedMemory::open(name), InvalidInput, &text);
        assert_refused(SharedMemory::open_or_create(name, 64), InvalidInput, &text);
        assert_refused(SharedMemory::open_timeout(name, Duration::MAX), InvalidInput, &text);
        assert_refused(NamedMemory::create(name, 64), InvalidInput, &text);
        assert_refused(NamedMemory::replace(name, 64), InvalidInput, &text);
        assert_refused(SharedMemory::unlink(name), InvalidInput, &text);
    }
}

#[test]
fn names_that_are_taken_missing_or_of_another_length_are_refused() {
    let name = format!("/futex-sys-test-taken-{}", std::process::id());
    assert_refused(SharedMemory::open(&name), NotFound, &format!("cannot open shared memory {name:?}: "));
    assert_refused(SharedMemory::unlink(&name), NotFound, &format!("cannot unlink shared memory {name:?}: "));

    let memory = SharedMemory::create(&name, 64).unwrap();
    let taken = SharedMemory::create(&name, 64);
    let other = SharedMemory::open_or_create(&name, 128);
    SharedMemory::unlink(&name).unwrap();
    drop(memory);
    let text = format!("shared memory {name:?} already exists: open it, or, if a process that has ended left it");
    assert_refused(taken, AlreadyExists, &text);
    let text = format!("shared memory {name:?} exists with 64 bytes, not 128: open it as it is, or unlink it first");
    assert_refused(other, InvalidInput, &text);
}

#[test]
fn a_symbolic_link_in_a_names_place_is_not_followed() {
    let name = format!("futex-sys-test-link-{}", std::process::id());
    let target = tempfile::NamedTempFile::new().unwrap();
    target.as_file().set_len(64).unwrap();
    std::os::unix::fs::symlink(target.path(), format!("/dev/shm/{name}")).unwrap();
    let (opened, made) = (SharedMemory::open(&name), SharedMemory::open_or_create(&name, 64));
    SharedMemory::unlink(&name).unwrap();
    for refused in [opened, made] {
        let error = refused.unwrap_err();
        let why = "because a symbolic link has the name, and links are not followed";
        assert!(error.to_string().starts_with(&format!("cannot open shared memory {name:?}, {why}: ")), "{error}");
        assert_eq!(errno(&error), Some(libc::ELOOP));
    }
}

/// The kernel returns `EAGAIN`. A runtime would interpret that as "not ready yet", and wait.
#[test]
#[expect(unsafe_code, reason = "no crate here wraps leases")]
fn an_object_with_a_lease_is_busy_and_does_not_block() {
    use std::os::fd::AsRawFd as _;

    const F_SETSIG: i32 = 10; // <linux/fcntl.h>
    let name = format!("futex-sys-test-lease-{}", std::process::id());
    let path = format!("/dev/shm/{name}");
    std::fs::write(&path, [0; 64]).unwrap();
    let holder = File::open(&path).unwrap();
    // SAFETY: The arguments are numbers, and the descriptor is open. The default action of the signal (SIGURG) is to ignore it.
    let leased = unsafe {
        libc::fcntl(holder.as_raw_fd(), F_SETSIG, libc::SIGURG) == 0
            && libc::fcntl(holder.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) == 0
    };
    let opened = SharedMemory::open(&name);
    std::fs::remove_file(&path).unwrap();
    if !leased {
        return crate::support::skip("this file system has no leases");
    }
    assert_refused(opened, ResourceBusy, &format!("cannot open shared memory {name:?}: another process holds a lease"));
}
