//! Shared memory that comes from other processes.

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

/// Sends shared memory over a Unix socket, as one message of one descriptor and one byte. The other side gets the same
/// memory.
///
/// It is [`SharedMemory::send`] for a socket of Tokio. For a half of a split socket, pass its `as_ref()`.
///
/// # Errors
///
/// Those of [`SharedMemory::send`], but never `WouldBlock`.
///
/// # Cancel safety
///
/// Cancel safe: if it is dropped before it is ready, nothing was sent.
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

/// Receives shared memory that a peer has sent over a Unix socket, by [`send_memory`] or [`SharedMemory::send`], if it
/// is sealed against shrinking. [`SharedMemory::anonymous`] makes such memory.
///
/// It is [`SharedMemory::receive`] for a socket of Tokio.
///
/// # Errors
///
/// Those of [`SharedMemory::receive`], but never `WouldBlock`.
///
/// # Cancel safety
///
/// Cancel safe: if it is dropped before it is ready, nothing was received.
pub async fn receive_memory(socket: &UnixStream) -> io::Result<SharedMemory> {
    socket.async_io(Interest::READABLE, || SharedMemory::receive(socket)).await
}

/// [`receive_memory`] for memory that may be unsealed, such as that of a POSIX name or of a file. A peer that makes such
/// memory shorter can end this process (`SIGBUS`), so use this among processes that trust each other.
///
/// # Errors
///
/// Those of [`SharedMemory::receive_unsealed`], but never `WouldBlock`.
///
/// # Cancel safety
///
/// Cancel safe: if it is dropped before it is ready, nothing was received.
pub async fn receive_memory_unsealed(socket: &UnixStream) -> io::Result<SharedMemory> {
    socket.async_io(Interest::READABLE, || SharedMemory::receive_unsealed(socket)).await
}

/// [`SharedMemory::open`], which waits until the name is there and its object has its length.
///
/// It tries at once, and again after pauses of 1 ms, doubled up to 100 ms, for as long as the error is
/// `NotFound` or `UnexpectedEof`. So put a [`timeout`](tokio::time::timeout) around it.
///
/// # Errors
///
/// All other errors of [`SharedMemory::open`], at once. `Unsupported` outside a Tokio runtime, and in one without a timer.
/// `BrokenPipe` if that runtime shuts down, and the future is polled in another one.
///
/// Tokio reports a missing timer, and a runtime that has shut down, by panics, which this catches. The panic hook prints them, and
/// with `panic = "abort"` they end the process.
///
/// # Cancel safety
///
/// Cancel safe: dropping the future stops the waiting, and has no other effect.
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
/// let memory = NamedMemory::create(&name, 4096)?; // in another process, sooner or later
/// assert_eq!(waiter.await???.len(), 4096);
/// # Ok(())
/// # }
/// ```
pub async fn open_memory(name: impl AsRef<OsStr>) -> io::Result<SharedMemory> {
    current_runtime("call `open_memory` within one")?;
    let mut pause = *OPEN_PAUSES.start();
    // Tokio panics if the runtime has no timer, and offers no way to ask before. The timer is made first, so that a program
    // which needs one learns it also if the memory is there.
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
        // Tokio panics if the timer's runtime has shut down, of which the timer wakes its task.
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
