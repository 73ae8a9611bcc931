//! Threads that have a table of descriptors of their own.

use crate::support::name::Name;
use crate::support::skip;
use futex_sys::{NamedMemory, SharedMemory};
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::Ordering;

/// Runs `body` in a thread that has its own table of descriptors, in which the next one to be opened has the number of `fd`.
/// The rest of the process has another object under that number.
#[expect(unsafe_code, reason = "the standard library has neither `unshare`, nor a close of what it does not own")]
fn with_the_number_of(fd: &File, body: impl FnOnce() + Send) {
    let number = fd.as_raw_fd();
    let thread = move || {
        // SAFETY: The thread's table is a copy from now on, and nothing in it is closed but what follows.
        if unsafe { libc::unshare(libc::CLONE_FILES) } != 0 {
            return skip(format_args!("a thread can't have a table of its own: {}", std::io::Error::last_os_error()));
        }
        let mut lower = Vec::new();
        while lower.last().is_none_or(|last: &File| last.as_raw_fd() < number) {
            lower.push(File::open("/dev/null").expect("a descriptor"));
        }
        // SAFETY: Of this table it is closed, and of the other one, which has its owner, it is not.
        assert_eq!(unsafe { libc::close(number) }, 0);
        body();
    };
    std::thread::scope(|scope| scope.spawn(thread).join().expect("the thread"));
}

#[test]
fn memory_made_by_a_thread_with_descriptors_of_its_own_gets_its_name() {
    // The object got its name through `/proc/self/fd`, which has the descriptors of the process's first thread. Under the same
    // number that had another file of /dev/shm, which got the name of the new object.
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
