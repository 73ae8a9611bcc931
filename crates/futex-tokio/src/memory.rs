//! Shared memory that is sent to and received from other processes, or opened by its name.

use crate::register::current_runtime;
use futex_core::__private::{OPEN_PAUSES, fail, is_not_there_yet};
use futex_core::SharedMemory;
use std::ffi::OsStr;
use std::future::{Future as _, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

/// Sends shared memory over a Unix socket. The peer gets the same memory, not a copy.
///
/// This is [`SharedMemory::send`] for a Tokio socket. If the socket is split, pass the `as_ref()` of one half.
///
/// # Errors
///
/// Those of [`SharedMemory::send`], but never `WouldBlock`.
///
/// # Cancel safety
///
/// Cancel safe: if the future is dropped before it is ready, nothing was sent.
///
/// # Examples
///
/// ```
/// use futex_tokio::{AsyncFutex, SharedMemory, receive_memory, send_memory};
/// use std::sync::atomic::Ordering;
/// use tokio::net::UnixStream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let (ours, theirs) = UnixStream::pair()?;
/// let memory = SharedMemory::anonymous(4096)?;
/// send_memory(&ours, &memory).await?;
///
/// // In the other process:
/// let same = receive_memory(&theirs).await?;
/// let word = same.word(64)?;
/// word.store(9, Ordering::Release); // change the word,
/// word.wake_one(); //                  then wake
///
/// let futex = AsyncFutex::new(memory.word(64)?)?;
/// assert_eq!(futex.wait_until(|value| value != 0).await?, 9);
/// # Ok(())
/// # }
/// ```
pub async fn send_memory(socket: &UnixStream, memory: &SharedMemory) -> io::Result<()> {
    socket.async_io(Interest::WRITABLE, || memory.send(socket)).await
}

/// Receives shared memory that a peer has sent over a Unix socket with [`send_memory`] or [`SharedMemory::send`].
///
/// The memory must be sealed against shrinking, like memory of [`SharedMemory::anonymous`]. Other memory is refused.
///
/// This is [`SharedMemory::receive`] for a Tokio socket.
///
/// An untrusted peer can block the thread of the runtime: it can send a file of a file system that it runs itself (FUSE), and
/// delay the system calls on that file. If this matters, receive in a thread of your own with [`SharedMemory::receive`].
///
/// # Errors
///
/// Those of [`SharedMemory::receive`], but never `WouldBlock`.
///
/// # Cancel safety
///
/// Cancel safe: if the future is dropped before it is ready, nothing was received.
pub async fn receive_memory(socket: &UnixStream) -> io::Result<SharedMemory> {
    socket.async_io(Interest::READABLE, || SharedMemory::receive(socket)).await
}

/// Receives shared memory like [`receive_memory`], but also accepts memory that is not sealed, such as memory with a POSIX name
/// or a file.
///
/// A peer can make such memory shorter. An access to the lost pages then ends this process (`SIGBUS`). So use this function only
/// among processes that trust each other.
///
/// # Errors
///
/// Those of [`SharedMemory::receive_unsealed`], but never `WouldBlock`.
///
/// # Cancel safety
///
/// Cancel safe: if the future is dropped before it is ready, nothing was received.
pub async fn receive_memory_unsealed(socket: &UnixStream) -> io::Result<SharedMemory> {
    socket.async_io(Interest::READABLE, || SharedMemory::receive_unsealed(socket)).await
}

/// Opens shared memory by its POSIX name. Waits until the name exists and its object is no longer empty (0 bytes).
///
/// The first poll calls [`SharedMemory::open`]. While the error is `NotFound` or `UnexpectedEof`, the function tries again after
/// a pause. The first pause is 1 ms, and each further pause is twice as long, up to 100 ms. The function waits without a limit,
/// so put a [`timeout`](tokio::time::timeout) around it.
///
/// # Errors
///
/// - All other errors of [`SharedMemory::open`]. They are returned at once.
/// - `Unsupported` outside a Tokio runtime, and in a runtime without a timer.
/// - `BrokenPipe` if the runtime of the first poll has shut down.
///
/// Tokio panics if a runtime has no timer or has shut down. This function catches these panics and returns the errors above. The
/// panic hook still prints a message, and with `panic = "abort"` the process ends.
///
/// # Cancel safety
///
/// Cancel safe: if the future is dropped, it stops waiting. The drop has no other effect.
///
/// # Examples
///
/// ```
/// use futex_tokio::{NamedMemory, open_memory};
/// use std::time::Duration;
/// use tokio::time::timeout;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let name = format!("/futex-tokio-doc-open-{}", std::process::id());
/// let waiter = tokio::spawn({
///     let name = name.clone();
///     async move { timeout(Duration::from_secs(10), open_memory(name)).await }
/// });
/// # tokio::task::yield_now().await;
/// let memory = NamedMemory::create(&name, 4096)?; // usually in another process
/// assert_eq!(waiter.await???.len(), 4096);
/// # Ok(())
/// # }
/// ```
pub async fn open_memory(name: impl AsRef<OsStr>) -> io::Result<SharedMemory> {
    current_runtime("call `open_memory` within one")?;
    let mut pause = *OPEN_PAUSES.start();
    // Tokio panics if the runtime has no timer, and a program can't find that out otherwise. The timer is made before the first
    // try, so a missing timer is an error even if the memory is there already.
    let timer = catch_unwind(|| sleep(pause)).map_err(|_| {
        fail(io::ErrorKind::Unsupported, "this Tokio runtime has no timer: build it with `enable_time` or `enable_all`")
    })?;
    let mut timer = pin!(timer);
    loop {
        match SharedMemory::open(name.as_ref()) {
            Err(error) if is_not_there_yet(&error) => {}
            result => return result,
        }
        timer.as_mut().reset(Instant::now() + pause);
        // When the timer's runtime shuts down, it wakes the timer's task, and the next poll of the timer panics.
        let elapsed = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| timer.as_mut().poll(cx))) {
            Ok(elapsed) => elapsed.map(Ok),
            Err(_) => Poll::Ready(Err(fail(
                io::ErrorKind::BrokenPipe,
                "the Tokio runtime whose timer this wait for shared memory needs has shut down",
            ))),
        });
        elapsed.await?;
        pause = (pause * 2).min(*OPEN_PAUSES.end());
    }
}
