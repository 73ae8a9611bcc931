//! Threads with their own tables of descriptors.

use crate::support::name::Name;
use crate::support::skip;
use futex_sys::{NamedMemory, SharedMemory};
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::Ordering;

/// Runs `body` in a thread that has its own table of descriptors. In this table, the next new descriptor gets the number of `fd`.
/// In the other table of the process, that number is still `fd`.
#[expect(
    unsafe_code,
    reason = "the standard library has no `unshare`, and can't close a descriptor that it does not own"
)]
fn with_the_number_of(fd: &File, body: impl FnOnce() + Send) {
    let number = fd.as_raw_fd();
    let thread = move || {
        // SAFETY: From now on, the thread has a copy of the table. Only the descriptors below are closed in it.
        if unsafe { libc::unshare(libc::CLONE_FILES) } != 0 {
            return skip(format_args!("a thread can't have its own table: {}", std::io::Error::last_os_error()));
        }
        let mut lower = Vec::new();
        while lower.last().is_none_or(|last: &File| last.as_raw_fd() < number) {
            lower.push(File::open("/dev/null").expect("a descriptor"));
        }
        // SAFETY: The number is closed in the table of this thread only. The owner `fd` uses the other table.
        assert_eq!(unsafe { libc::close(number) }, 0);
        body();
    };
    std::thread::scope(|scope| scope.spawn(thread).join().expect("the thread"));
}

#[test]
fn memory_made_by_a_thread_with_descriptors_of_its_own_gets_its_name() {
    // Regression: the object got its name through `/proc/self/fd`, which shows the table of the first thread. In that table, the
    // number was another file of /dev/shm, and that file got the name.
    let (name, other) = (Name::new("own-table"), Name::new("own-table-of-another"));
    let file = File::create_new(other.path()).unwrap();
    file.set_len(8).unwrap();
    with_the_number_of(&file, || {
        let memory = SharedMemory::create(&name.0, 64).unwrap();
        assert_eq!(SharedMemory::open(&name.0).unwrap().len(), 64);
        memory.word(0).unwrap().store(7, Ordering::Release);
        assert_eq!(SharedMemory::open(&name.0).unwrap().word(0).unwrap().load(Ordering::Acquire), 7);
    });
    with_the_number_of(&file, || {
        let memory = NamedMemory::replace(&name.0, 128).unwrap();
        assert!(memory.is_current());
        assert_eq!(SharedMemory::open(&name.0).unwrap().len(), 128);
    });
}
