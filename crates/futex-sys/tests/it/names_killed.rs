//! Processes that are killed at each step of replacing memory under a name.

use crate::posix_names::forbid_tmpfile;
use crate::support::child::Process;
use crate::support::name::Name;
use crate::support::{sandbox, skip};
use futex_sys::{NamedMemory, SharedMemory};
use std::os::unix::process::ExitStatusExt as _;
use std::sync::atomic::Ordering;

/// The system calls of a replacement, in order. The last one is a call after the replacement.
const STEPS: [(&str, &[i64]); 9] = [
    ("fchmod", &[libc::SYS_fchmod]),
    ("ftruncate", &[libc::SYS_ftruncate]),
    ("fallocate", &[libc::SYS_fallocate]),
    ("mmap", &[libc::SYS_mmap]),
    ("linkat", &[libc::SYS_linkat]),
    ("flock", &[libc::SYS_flock]),
    #[cfg(not(target_arch = "riscv64"))]
    ("rename", &[libc::SYS_renameat, libc::SYS_renameat2]),
    #[cfg(target_arch = "riscv64")]
    ("rename", &[libc::SYS_renameat2]),
    ("close", &[libc::SYS_close]),
    ("getppid", &[libc::SYS_getppid]),
];

/// Replaces memory, and is killed at a step.
pub(crate) fn replace_and_die(how: &str) {
    let [way, step, name] = how.split(' ').collect::<Vec<_>>()[..] else { panic!("{how:?}") };
    if way == "hidden" {
        forbid_tmpfile();
    }
    let (_, calls) = STEPS.iter().find(|(of, _)| *of == step).expect("a step");
    sandbox::kill_at(calls);
    let memory = NamedMemory::replace(name, 128).expect("replace").keep();
    memory.as_words()[0].store(2, Ordering::Relaxed);
    let _ = rustix::process::getppid();
    panic!("{how} is not a step of the replacement");
}

#[test]
fn a_process_that_is_killed_leaves_the_old_object_or_the_new_one_and_at_most_a_hidden_file() {
    if !sandbox::is_supported() {
        return skip("no seccomp filters for this processor");
    }
    let control = SharedMemory::anonymous(4096).unwrap();
    for way in ["nameless", "hidden"] {
        for (index, (step, _)) in STEPS.iter().enumerate() {
            let name = Name::new(&format!("killed-{way}-{step}"));
            let old = NamedMemory::create(&name.0, 64).unwrap();
            old.as_words()[0].store(1, Ordering::Relaxed);

            let status = Process::start(&format!("replace-and-die {way} {step} {}", name.0), &control).end();
            assert_eq!(status.signal(), Some(libc::SIGSYS), "{way} {step}: {status}");

            let (len, files) = (SharedMemory::open(&name.0).unwrap().len(), name.files());
            let is_after = index > STEPS.iter().position(|(step, _)| *step == "rename").unwrap();
            assert_eq!(len, if is_after { 128 } else { 64 }, "{way} {step}");
            assert_eq!(old.is_current(), !is_after, "{way} {step}");
            let hidden = usize::from(!is_after && (way == "hidden" || *step == "rename"));
            assert_eq!(files.len(), 1 + hidden, "{way} {step}: {files:?}");
            for file in files.iter().filter(|file| **file != name.0[1..]) {
                assert!(file.starts_with(&format!(".{}.", &name.0[1..])) && file.ends_with(".tmp"), "{file}");
            }

            // The kernel has released the lock of the killed process, so this call does not wait for it.
            let new = NamedMemory::replace(&name.0, 256).unwrap();
            assert_eq!((new.is_current(), new.len()), (true, 256), "{way} {step}");
            drop(old);
            assert!(new.is_current());
            drop(new);
            assert!(SharedMemory::open(&name.0).is_err(), "{way} {step}");
        }
    }
}
