//! The end of another process, as a future.

use crate::register::{Registered, current_runtime};
use futex_core::__private::{explain, fail, with_kind};
use futex_core::ProcessId;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Returns a future that is ready when a process has ended. Use this future in a `select!`, together with a wait for an answer
/// of that process.
///
/// The process need not be a child. If the process has already ended, the future is ready at the first poll. The current runtime
/// drives the future.
///
/// # After the end, load the word again
///
/// A process may change a word, wake the waiters of the word, and end. Then this future may be ready *before* the wait for the
/// word, even in a `biased` `select!` that polls the wait first, because the runtime gets the two events separately. So when the
/// process has ended, load the word once more. Everything that the process did before its end is visible then.
///
/// # Errors
///
/// An error does not mean that the process has ended.
///
/// - `Unsupported` outside a runtime, and in a runtime without an I/O driver.
/// - Those of [`ProcessId::open`], among them `Unsupported` if the process can't be watched from here.
/// - Other kinds if the runtime is shutting down, or if the calling process has no descriptors or no memory left.
///
/// # Cancel safety
///
/// Cancel safe: see [`ProcessEnd`].
///
/// # Examples
///
/// ```
/// use futex_tokio::{AsyncFutex, ProcessId, SharedMemory, process_end};
/// use std::sync::atomic::Ordering;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let memory = SharedMemory::anonymous(4096)?;
/// let answer = AsyncFutex::new(memory.word(0)?)?;
///
/// // A worker that never answers.
/// let mut worker = std::process::Command::new("sleep").arg("1000").spawn()?;
/// let mut end = process_end(ProcessId::from_pid(worker.id())?)?;
/// worker.kill()?;
///
/// tokio::select! {
///     value = answer.wait_until(|value| value != 0) => println!("the answer is {}", value?),
///     ended = &mut end => {
///         ended?;
///         println!("the worker has ended: {}", worker.wait()?);
///         match answer.word().load(Ordering::Acquire) {
///             0 => println!("and has not answered"),
///             value => println!("the answer is {value}"),
///         }
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub fn process_end(process: ProcessId) -> io::Result<ProcessEnd> {
    current_runtime("call `process_end` within one")?;
    let pid = process.pid();
    let process = process.open()?;
    let pidfd = if process.has_ended()? { None } else { process.into_pidfd() };
    let watch = pidfd.map(Registered::new).transpose();
    let watch = watch.map_err(|error| explain(error, format_args!("cannot watch process {pid} with this runtime")))?;
    Ok(ProcessEnd { pid, watch })
}

/// The future of [`process_end`].
///
/// The future borrows nothing, so it can be spawned. Any runtime may poll it. The runtime in which [`process_end`] was called
/// drives the future, so that runtime must still run. After the future was ready without an error, it is ready at each
/// further poll.
///
/// # Errors
///
/// An error does not mean that the process has ended.
///
/// - `BrokenPipe` if the runtime that drives the future has shut down.
/// - `Unsupported` in a fork of the process that made the future.
///
/// # Cancel safety
///
/// Cancel safe: dropping the future closes its descriptor, and has no effect on the process.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct ProcessEnd {
    pid: u32,
    /// The pidfd. `None` once the process has ended.
    watch: Option<Registered>,
}

impl Future for ProcessEnd {
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(pidfd) = &this.watch else { return Poll::Ready(Ok(())) };
        if !pidfd.is_here() {
            let sentence = "this future belongs to the process that this one was forked from: call `process_end` here";
            return Poll::Ready(Err(fail(io::ErrorKind::Unsupported, sentence)));
        }
        // A pidfd is readable only after its process has ended.
        let ended = ready!(pidfd.poll_read_ready(cx)).map(drop);
        if let Err(error) = ended {
            let sentence = format!("process {} is not watched any more", this.pid);
            return Poll::Ready(Err(with_kind(io::ErrorKind::BrokenPipe, explain(error, sentence))));
        }
        this.watch = None;
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for ProcessEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessEnd").field("pid", &self.pid).field("has_ended", &self.watch.is_none()).finish()
    }
}
