//! A thread that is in `vfork`: it sleeps in the kernel, where nothing but the end of its child gets it out.
#![expect(unsafe_code, reason = "clone, and what its child does")]

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
    /// Starts a thread that calls `first` and is then in `vfork`, as a thread that starts a program is for a while. Returns what
    /// `first` returned, when the thread is there.
    ///
    /// # Panics
    ///
    /// When `first` panics, and when the system has no thread, process or descriptor left.
    pub fn after<T: Send + 'static>(first: impl FnOnce() -> T + Send + 'static) -> (T, Self) {
        let pipe = || pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let ((ready, tell_ready), (released, release)) = (pipe(), pipe());
        let orders =
            Orders { ready: tell_ready.as_raw_fd(), released: released.as_raw_fd(), release: release.as_raw_fd() };
        let (send, result) = channel();
        let thread = std::thread::spawn(move || {
            send.send(first()).expect("it is awaited");
            let _open = (tell_ready, released);
            vfork(&orders).expect("vfork");
        });
        let result = result.recv().expect("the thread did not panic");
        // The child runs only when its parent is in the kernel, which it does not leave before the child does.
        assert_eq!(read(&ready, &mut [0]), Ok(1), "the child is there");
        (result, Self { release, thread: Some(thread) })
    }

    /// Lets the thread go on, and returns when it has ended.
    pub fn release(self) {
        drop(self);
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        let released = write(&self.release, &[0]);
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert_eq!(released, Ok(1), "the child reads");
            assert!(matches!(ended, Some(Ok(()))), "the thread panicked");
        }
    }
}

/// What the child does: it says that it is there by the first descriptor, and ends when the second one has something to read. It
/// closes the third one, so that the second one ends with this process.
struct Orders {
    ready: RawFd,
    released: RawFd,
    release: RawFd,
}

/// Makes a process that shares this one's memory, and returns when it has ended.
fn vfork(orders: &Orders) -> io::Result<()> {
    /// Bytes.
    const STACK: usize = 64 * 1024;

    let mut stack = vec![0_u128; STACK / size_of::<u128>()];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: The stack grows down from its end, which is aligned to 16 bytes. It and the orders live until the call returns,
    // which is when the child has ended. The child makes system calls only.
    let child = unsafe {
        libc::clone(obey, stack.as_mut_ptr_range().end.cast(), flags, (&raw const *orders).cast_mut().cast())
    };
    // SAFETY: The call has no pointer but a null one.
    if child == -1 || unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) } != child {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

extern "C" fn obey(orders: *mut c_void) -> libc::c_int {
    // SAFETY: The orders are the caller's, who waits for the end of this process.
    let orders = unsafe { &*orders.cast::<Orders>() };
    let mut byte = 0_u8;
    // SAFETY: The descriptors are copies of the caller's, and `byte` is a place for one byte.
    unsafe {
        libc::close(orders.release);
        libc::write(orders.ready, (&raw const byte).cast(), 1);
        libc::read(orders.released, (&raw mut byte).cast(), 1);
        libc::_exit(0)
    }
}
