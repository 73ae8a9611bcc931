//! Limits and disturbances of a process: forbidden system calls, locked memory, descriptors, and signals.
#![expect(unsafe_code, reason = "signals")]

use crate::answer::{Result, ok};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads};
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// Makes system calls fail from now on, in all threads.
pub(crate) fn forbid(calls: &str, errno: &str) -> Result<String> {
    let numbers: &[i64] = match calls {
        "io_uring" => &[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register],
        "futex_waitv" => &[libc::SYS_futex_waitv],
        "threads" => &[libc::SYS_clone, libc::SYS_clone3],
        _ => return Err("io_uring, futex_waitv or threads".into()),
    };
    let errno = match errno {
        "EPERM" => libc::EPERM,
        "ENOSYS" => libc::ENOSYS,
        "EAGAIN" => libc::EAGAIN,
        _ => return Err("EPERM, ENOSYS or EAGAIN".into()),
    };
    let rules: BTreeMap<_, _> = numbers.iter().map(|&number| (number, Vec::new())).collect();
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(errno.unsigned_abs()),
        std::env::consts::ARCH.try_into()?,
    )?;
    apply_filter_all_threads(&BpfProgram::try_from(filter)?)?;
    ok()
}

/// Sets the limit of locked memory to zero. This must happen before the runtime's threads start.
pub(crate) fn no_memlock() -> Result<String> {
    setrlimit(Resource::Memlock, Rlimit { current: Some(0), maximum: Some(0) })?;
    // The limit does not apply to a thread that has this capability. The runtime's threads inherit the capabilities of this
    // thread.
    let mut sets = capabilities(None)?;
    sets.effective.remove(CapabilitySet::IPC_LOCK);
    sets.permitted.remove(CapabilitySet::IPC_LOCK);
    sets.inheritable.remove(CapabilitySet::IPC_LOCK);
    set_capabilities(None, sets)?;
    ok()
}

/// Opens descriptors until this process can open only `n` more.
pub(crate) fn descriptors_left(n: usize) -> Result<String> {
    /// Descriptors that have no other use.
    static TAKEN: Mutex<Vec<File>> = Mutex::new(Vec::new());

    let limit = 256;
    setrlimit(Resource::Nofile, Rlimit { current: Some(limit), ..getrlimit(Resource::Nofile) })?;
    let mut taken = TAKEN.lock().map_err(|_| "poisoned")?;
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    let kept = taken.len().checked_sub(n).ok_or("fewer than that many descriptors were taken")?;
    taken.truncate(kept);
    ok()
}

static SIGNALS: AtomicU32 = AtomicU32::new(0);

/// Installs a handler that counts `SIGUSR1`. From now on, this signal interrupts system calls.
pub(crate) fn catch_signals() -> Result<String> {
    extern "C" fn count(_signal: libc::c_int) {
        SIGNALS.fetch_add(1, Ordering::Relaxed);
    }

    // SAFETY: All zero is a valid `sigaction`, with an empty mask and without flags (so without `SA_RESTART`).
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = count as extern "C" fn(libc::c_int) as usize;
    // SAFETY: `action` is valid, and its handler is async-signal-safe: it only makes an atomic addition.
    if unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) } != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    ok()
}

/// Sends `SIGUSR1` to each thread of this process.
pub(crate) fn signal_all_threads() -> Result<String> {
    for thread in std::fs::read_dir("/proc/self/task")? {
        let id: i32 = thread?.file_name().to_string_lossy().parse()?;
        // SAFETY: The call has no pointers. If the thread has ended, the call fails, which is not an error here.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), id, libc::SIGUSR1) };
    }
    ok()
}

/// Returns the number of signals that were counted.
pub(crate) fn signals() -> u32 {
    SIGNALS.load(Ordering::Relaxed)
}
