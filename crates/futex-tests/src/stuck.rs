//! A thread that is in `vfork`: it sleeps in the kernel, and only the end of its child ends that sleep.
#![expect(unsafe_code, reason = "clone, and the system calls of its child")]

use rustix::io::{read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

/// A thread in `vfork`. Dropping it releases the thread.
#[derive(Debug)]
pub struct Stuck {
    release: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Stuck {
    /// Starts a thread that calls `first` and then `vfork`. A thread that starts a program is in `vfork` for a short time.
    /// Returns the result of `first` when the thread is in `vfork`.
    ///
    /// # Panics
    ///
    /// If `first` panics, and if the system has no threads, processes or descriptors left.
    pub fn after<T: Send + 'static>(first: impl FnOnce() -> T + Send + 'static) -> (T, Self) {
        let pipe = || pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let ((ready, tell_ready), (released, release)) = (pipe(), pipe());
        let orders =
            Orders { ready: tell_ready.as_raw_fd(), released: released.as_raw_fd(), release: release.as_raw_fd() };
        let (send, result) = channel();
        let thread = std::thread::spawn(move || {
            send.send(first()).expect("the caller waits for the result");
            let _open = (tell_ready, released);
            vfork(&orders).expect("vfork");
        });
        let result = result.recv().expect("the thread did not panic");
        // The child runs only while its parent is in the kernel, and the parent leaves the kernel only when the child has ended.
        assert_eq!(read(&ready, &mut [0]), Ok(1), "the child does not run");
        (result, Self { release, thread: Some(thread) })
    }

    /// Releases the thread, and returns when it has ended.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        let released = write(&self.release, &[0]);
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert_eq!(released, Ok(1), "the child was not released");
            assert!(matches!(ended, Some(Ok(()))), "the thread panicked");
        }
    }
}

/// The descriptors for the child. The child closes `release`, writes a byte to `ready`, and ends when it can read from
/// `released`. Because it has closed its copy of `release`, it also ends when this process ends.
struct Orders {
    ready: RawFd,
    released: RawFd,
    release: RawFd,
}

/// Makes a process that shares the memory of this process, and returns when it has ended.
fn vfork(orders: &Orders) -> io::Result<()> {
    /// Size of the child's stack, in bytes.
    const STACK: usize = 64 * 1024;

    let mut stack = vec![0_u128; STACK / size_of::<u128>()];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: The child needs a stack and its argument until it ends. The stack grows down from its end, which is aligned to 16
    // bytes. The stack and `orders` live until the call returns, which is when the child has ended. The child only makes system
    // calls.
    let child = unsafe {
        libc::clone(obey, stack.as_mut_ptr_range().end.cast(), flags, (&raw const *orders).cast_mut().cast())
    };
    // SAFETY: The only pointer of the call is null, which `waitpid` allows.
    if child == -1 || unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) } != child {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

extern "C" fn obey(orders: *mut c_void) -> libc::c_int {
    // SAFETY: The pointer is that of `vfork`, whose `orders` live until this process has ended.
    let orders = unsafe { &*orders.cast::<Orders>() };
    let mut byte = 0_u8;
    // SAFETY: The descriptors are the child's copies, so closing one does not affect the parent. `byte` has room for one byte.
    unsafe {
        libc::close(orders.release);
        libc::write(orders.ready, (&raw const byte).cast(), 1);
        libc::read(orders.released, (&raw mut byte).cast(), 1);
        libc::_exit(0)
    }
}
