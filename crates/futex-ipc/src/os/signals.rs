//! Threads that handle no signals of the program.
#![expect(unsafe_code, reason = "pthread_sigmask")]

/// Runs `f`, for example to start a thread, while signals from other processes are blocked. A new thread inherits that.
///
/// Signals that an instruction of the thread itself raises are not blocked. If such a signal were blocked, it would end the process
/// although the program may have a handler for it.
pub(crate) fn with_signals_blocked<T>(f: impl FnOnce() -> T) -> T {
    let _blocked = Blocked::new();
    f()
}

/// The previous signal mask, which is restored when this value is dropped.
struct Blocked(libc::sigset_t);

impl Blocked {
    fn new() -> Self {
        // SAFETY: All zero is a valid `sigset_t`. The calls write into the two sets, which live long enough.
        unsafe {
            let (mut set, mut before): (libc::sigset_t, libc::sigset_t) = (std::mem::zeroed(), std::mem::zeroed());
            libc::sigfillset(&raw mut set);
            for raised in [libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGSEGV, libc::SIGSYS, libc::SIGTRAP] {
                libc::sigdelset(&raw mut set, raised);
            }
            // It fails only for an unknown first argument.
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before);
            Self(before)
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: The set is that of the same call of this thread. (The type can't leave the thread that made it.)
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) };
    }
}
