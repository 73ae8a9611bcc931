//! Memory made under limits and under a umask. Limits and umask apply to the whole process, so each test starts a child.

use crate::posix_names::forbid_tmpfile;
use crate::support::child::Process;
use crate::support::name::Name;
use crate::support::{assert_refused, sandbox, skip};
use futex_sys::{NamedMemory, ProcessId, SharedMemory};
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;

/// Makes memory of more than 2 KiB under `ulimit -f 2`.
pub(crate) fn make_memory_under_a_file_limit() {
    let name = Name::new("file-limit");
    let limit = Rlimit { current: Some(2048), ..getrlimit(Resource::Fsize) };
    setrlimit(Resource::Fsize, limit).expect("a lower limit");

    type Make<'a> = &'a dyn Fn(usize) -> io::Result<SharedMemory>;
    let make: [(&str, Make<'_>); 3] = [
        ("a new memfd", &SharedMemory::anonymous),
        (&format!("shared memory {:?}", name.0), &|len| SharedMemory::create(&name.0, len)),
        (&format!("shared memory {:?}", name.0), &|len| SharedMemory::open_or_create(&name.0, len)),
    ];
    for (what, make) in make {
        let text = format!(
            "cannot make {what} 2049 bytes long: files of this process may have 2048 bytes (see `ulimit -f`): "
        );
        assert_refused(make(2049), ErrorKind::FileTooLarge, &text);
        assert_refused(SharedMemory::open(&name.0), ErrorKind::NotFound, "cannot open");
        assert_eq!(make(2048).expect("as much as the limit allows").len(), 2048);
        let _ = SharedMemory::unlink(&name.0);
    }
}

#[test]
fn memory_beyond_the_limit_for_files_is_an_error_and_not_the_end_of_the_process() {
    // Regression: the kernel sent SIGXFSZ, for memfds too.
    let memory = SharedMemory::anonymous(4096).unwrap();
    let status = Process::start("make-memory-under-a-file-limit", &memory).end();
    assert!(status.success(), "{status}");
}

/// Makes memory under a umask that clears all permissions of the group and of others, and the write permission of the owner.
pub(crate) fn make_memory_under_a_umask() {
    umask(Mode::from_raw_mode(0o277));
    let has_the_documented_mode = |what: &str| {
        let name = Name::new(what);
        type Make<'a> = &'a dyn Fn() -> io::Result<SharedMemory>;
        let make: [Make<'_>; 3] =
            [&|| SharedMemory::create(&name.0, 64), &|| SharedMemory::open_or_create(&name.0, 64), &|| {
                NamedMemory::replace(&name.0, 64).map(NamedMemory::keep)
            }];
        for make in make {
            let _ = SharedMemory::unlink(&name.0);
            let memory = make().expect("memory under a name");
            let mode = rustix::fs::fstat(&memory).expect("fstat").st_mode & 0o777;
            assert_eq!(mode, 0o600, "{mode:o}");
            assert_eq!(SharedMemory::open(&name.0).expect("its owner opens it").len(), 64);
        }
    };
    has_the_documented_mode("umask");
    if !sandbox::is_supported() {
        return skip("no seccomp filters for this processor, so memory is made in one way only");
    }
    forbid_tmpfile();
    has_the_documented_mode("umask-hidden");
}

#[test]
fn memory_under_a_name_has_the_documented_mode_whatever_the_umask() {
    // Regression: a umask of 0277 left the mode 0400, and only root could open the memory again.
    let memory = SharedMemory::anonymous(4096).unwrap();
    let status = Process::start("make-memory-under-a-umask", &memory).end();
    assert!(status.success(), "{status}");
}

/// Makes the kernel lock new mappings, and sets the limit of locked memory to zero.
#[expect(unsafe_code, reason = "mlockall")]
fn lock_new_mappings_beyond_the_limit() -> io::Result<()> {
    // SAFETY: `mlockall` has no obligations.
    if unsafe { libc::mlockall(libc::MCL_FUTURE) } != 0 {
        return Err(io::Error::last_os_error());
    }
    setrlimit(Resource::Memlock, Rlimit { current: Some(0), ..getrlimit(Resource::Memlock) })?;
    // The limit does not apply to a thread with this capability.
    let mut sets = capabilities(None)?;
    sets.effective.remove(CapabilitySet::IPC_LOCK);
    set_capabilities(None, sets)?;
    Ok(())
}

pub(crate) fn receive_beyond_the_limit_of_locked_memory(memory: &SharedMemory) {
    let (ours, theirs) = UnixStream::pair().expect("sockets");
    theirs.set_nonblocking(true).expect("a socket");
    memory.send(&ours).expect("send");
    if let Err(error) = lock_new_mappings_beyond_the_limit() {
        return skip(format_args!("new mappings can't be locked here: {error}"));
    }
    assert_refused(SharedMemory::receive(&theirs), ErrorKind::OutOfMemory, "cannot map 4096 bytes of the descriptor");
}

#[test]
fn a_mapping_that_fails_at_the_limit_is_not_reported_as_would_block() {
    // Regression: in a process that locks its memory (`mlockall`), `mmap` fails with EAGAIN at the limit. Its kind `WouldBlock`
    // is also that of a socket without a message. So a runtime waited for the next message, and the memory was lost.
    let memory = SharedMemory::anonymous(4096).unwrap();
    let status = Process::start("receive-beyond-the-limit-of-locked-memory", &memory).end();
    assert!(status.success(), "{status}");
}

pub(crate) fn identify_without_a_descriptor_left() {
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..getrlimit(Resource::Nofile) }).expect("a lower limit");
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    for left in 0..3 {
        for result in [ProcessId::current().map(drop), ProcessId::from_pid(std::process::id()).map(drop)] {
            let Err(error) = result else { continue };
            assert!(error.to_string().ends_with("Too many open files (os error 24)"), "{left} left: {error}");
            assert_ne!(error.kind(), ErrorKind::Unsupported, "{left} left: {error}");
        }
        taken.pop();
    }
    ProcessId::current().expect("there are descriptors");
}

#[test]
fn a_lack_of_descriptors_is_not_reported_as_unsupported() {
    // Regression: the error was `Unsupported`, like that of a `/proc` that hides the process. A caller that then falls back to
    // heartbeats would never watch a process again.
    let memory = SharedMemory::anonymous(4096).unwrap();
    let status = Process::start("identify-without-a-descriptor-left", &memory).end();
    assert!(status.success(), "{status}");
}
