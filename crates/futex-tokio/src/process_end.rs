//! The end of another process, as a future.

use crate::register::{Registered, current_runtime};
use futex_core::__private::{explain, fail, with_kind};
use futex_core::ProcessId;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A future that is ready when a process has ended, for `select!` beside a wait for what that process should do.
///
/// The runtime in which it is called drives the future. The process need not be a child. If it has ended already, the
/// future is ready at the first poll.
///
/// # The word has the last say
///
/// A process may change a word, wake, and end. Then this future may be ready before the wait for the word is, also in a
/// `select!` that is `biased` towards the wait: the two come to the runtime by different ways. So load the word once more
/// after the process has ended. What it did before its end is visible then.
///
/// # Errors
///
/// Those of [`ProcessId::open`]: `Unsupported` if the process can't be watched from here. They don't say that it has
/// ended. `Unsupported` outside a runtime, and in one without an I/O driver. Others if the runtime is shutting down, or no
/// descriptors or no memory are left.
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
/// // A worker that has the memory, and never answers.
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
/// It owns what it needs, so it can be spawned, and polled on any runtime as long as the one that drives it runs.
///
/// # Errors
///
/// An error does not say that the process has ended. `BrokenPipe` if the runtime that drives the future has shut down.
/// `Unsupported` in a fork of the process that made it.
///
/// # Cancel safety
///
/// Cancel safe: dropping it closes its descriptor, and has no effect on the process. After it was ready, it is ready at
/// each further poll.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct ProcessEnd {
    pid: u32,
    /// A pidfd. `None` if the process has ended.
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
        // A pidfd is readable for no other reason.
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
