//! Waits of threads that block, and of tasks.

use crate::answer::{Result, describe, ok, outcome, report};
use futex_sys::SharedMemory;
use futex_tokio::{AsyncFutex, Word};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Starts a thread that blocks in a wait and reports its end.
pub(crate) fn block(label: &str, word: Word, expected: u32) -> Result<String> {
    let label = label.to_owned();
    thread::spawn(move || match word.wait(expected, None) {
        Ok(outcome) => report(&label, format_args!("{outcome:?}")),
        Err(error) => report(&label, describe(&error)),
    });
    ok()
}

/// Starts a thread that answers each odd value with the next even value and a wake. The thread blocks while it waits.
pub(crate) fn block_echo(word: Word, rounds: u32) -> Result<String> {
    thread::spawn(move || {
        for _ in 0..rounds {
            let value = loop {
                let value = word.load(Ordering::Acquire);
                if value % 2 == 1 {
                    break value;
                }
                if let Err(error) = word.wait(value, None) {
                    return report("echo", describe(&error));
                }
            };
            word.store(value + 1, Ordering::Release);
            word.wake(1);
        }
        report("echo", "ok");
    });
    ok()
}

/// Starts a task that answers like [`block_echo`].
pub(crate) fn echo(runtime: &Handle, futex: AsyncFutex, rounds: u32) -> Result<String> {
    runtime.spawn(async move {
        for _ in 0..rounds {
            let value = match futex.wait_until(|value| value % 2 == 1).await {
                Ok(value) => value,
                Err(error) => return report("echo", describe(&error)),
            };
            futex.word().store(value + 1, Ordering::Release);
            futex.wake_one();
        }
        report("echo", "ok");
    });
    ok()
}

/// Starts a task that waits and reports the end of its wait. The wait is armed when this returns.
pub(crate) fn arm(runtime: &Handle, label: &str, futex: AsyncFutex, expected: u32) -> Result<JoinHandle<()>> {
    let label = label.to_owned();
    let (armed, is_armed) = channel();
    let task = runtime.spawn(async move {
        let end = tell_first_poll(futex.wait_async(expected), armed).await;
        report(&label, outcome(end));
    });
    is_armed.recv()?;
    Ok(task)
}

/// Starts a wait on each of the first `count` words while the word is 0. The waits are armed when this returns. When all have
/// ended, there is one report.
pub(crate) fn arm_many(runtime: &Handle, label: &str, memory: &SharedMemory, count: usize) -> Result<String> {
    let (armed, is_armed) = channel();
    let mut tasks = Vec::new();
    for index in 0..count {
        let _guard = runtime.enter();
        let futex = AsyncFutex::new(memory.word(4 * index)?)?;
        let armed = armed.clone();
        tasks.push(runtime.spawn(async move { tell_first_poll(futex.wait_async(0), armed).await }));
    }
    for _ in 0..count {
        is_armed.recv()?;
    }
    let label = label.to_owned();
    runtime.spawn(async move {
        let (mut over, mut errors) = (0, Vec::new());
        for task in tasks {
            match task.await {
                Ok(Ok(())) => over += 1,
                Ok(Err(error)) => errors.push(describe(&error)),
                Err(error) => errors.push(describe(&error)),
            }
        }
        report(&label, format_args!("{over} ok, {} not: {:?}", errors.len(), errors.first()));
    });
    ok()
}

/// Starts a task that waits until the word has a value, and reports it.
pub(crate) fn until(runtime: &Handle, label: &str, futex: AsyncFutex, value: u32) -> Result<String> {
    let label = label.to_owned();
    runtime.spawn(async move {
        match futex.wait_until(|now| now == value).await {
            Ok(value) => report(&label, value),
            Err(error) => report(&label, describe(&error)),
        }
    });
    ok()
}

/// Awaits `future`, and sends a message after its first poll.
async fn tell_first_poll<F: Future + Unpin>(mut future: F, first: Sender<()>) -> F::Output {
    let mut first = Some(first);
    poll_fn(|cx| {
        let poll = Pin::new(&mut future).poll(cx);
        if let Some(first) = first.take() {
            // This can't fail: the command waits for the message.
            let _ = first.send(());
        }
        poll
    })
    .await
}
