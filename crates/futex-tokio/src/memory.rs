//! Shared memory that comes from other processes.

use futex_core::SharedMemory;
use std::io;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Sends shared memory over a Unix socket, as one message of one descriptor and one byte. The other side gets the same
/// memory.
///
/// It is [`SharedMemory::send`] for a socket of Tokio. A half of a split socket is taken too, by its `as_ref()`.
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
/// Those of [`SharedMemory::receive`], but never `WouldBlock`. `UnexpectedEof` if the peer has closed the socket.
///
/// # Cancel safety
///
/// Cancel safe: if it is dropped before it is ready, nothing was received.
pub async fn receive_memory(socket: &UnixStream) -> io::Result<SharedMemory> {
    socket.async_io(Interest::READABLE, || SharedMemory::receive(socket)).await
}

/// [`receive_memory`] for memory that may be unsealed, such as that of a POSIX name or of a file. A peer that makes it
/// shorter can end this process (`SIGBUS`), so use it among processes that trust each other.
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
