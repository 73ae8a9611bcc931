//! The other process of the tests. It executes commands from its standard input. [`futex_tests::peer`] drives it.
//!
//! `peer fd N` maps the memory of an inherited descriptor, and `peer name NAME` opens it by a POSIX name. Offsets are in bytes.
//! The reports of later events begin with the label of their command.

mod answer;
mod fork;
mod fork_busy;
mod fork_watch;
mod limits;
mod waits;

use crate::answer::{Result, describe, ok, say};
use futex_sys::SharedMemory;
use futex_tests::is_pending;
use futex_tokio::{AsyncFutex, Backend, ProcessId, Reactor, Stats, Word};
use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::atomic::Ordering;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let memory = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["fd", fd] => SharedMemory::from_fd(inherited(fd.parse()?))?,
        ["name", name] => SharedMemory::open(name)?,
        _ => return Err("usage: peer fd N | peer name NAME".into()),
    };
    let mut peer = Peer { memory, runtime: None, tasks: HashMap::new(), held: HashMap::new() };
    for line in std::io::stdin().lines() {
        let line = line?;
        let answer = peer.obey(&line.split_whitespace().collect::<Vec<_>>());
        say(format_args!("= {}", answer.unwrap_or_else(|error| describe(&*error))));
    }
    Ok(())
}

/// Returns the descriptor that this process has inherited from its parent.
#[expect(unsafe_code, reason = "a number from the command line becomes a descriptor")]
fn inherited(fd: i32) -> OwnedFd {
    // SAFETY: The descriptor must be open and have no other owner. The parent left it open, and nothing else in this process uses
    // it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A wait that only its holder polls.
type HeldWait = Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>>;

struct Peer {
    memory: SharedMemory,
    runtime: Option<Handle>,
    tasks: HashMap<String, JoinHandle<()>>,
    held: HashMap<String, HeldWait>,
}

impl Peer {
    /// Executes a command and returns its answer.
    fn obey(&mut self, command: &[&str]) -> Result<String> {
        match *command {
            // The words.
            ["store", offset, value] => {
                self.word(offset)?.store(number(value)?, Ordering::Release);
                ok()
            }
            ["wake", offset, n] => Ok(self.word(offset)?.wake(number(n)?).to_string()),

            ["publish"] => self.publish(),

            // Waits that block a thread.
            ["block", label, offset, expected] => waits::block(label, self.word(offset)?, number(expected)?),
            ["block-echo", offset, rounds] => waits::block_echo(self.word(offset)?, number(rounds)?),

            // Waits of tasks. `hold` polls a wait once and keeps it, and `drop` drops it.
            ["runtime", flavour] => self.start(flavour),
            ["arm", label, offset, expected] => self.arm(label, offset, number(expected)?),
            ["abort", label] => self.abort(label),
            ["arm-many", label, count] => waits::arm_many(self.runtime()?, label, &self.memory, number(count)?),
            ["until", label, offset, value] => {
                waits::until(self.runtime()?, label, self.futex(offset)?, number(value)?)
            }
            ["echo", offset, rounds] => waits::echo(self.runtime()?, self.futex(offset)?, number(rounds)?),
            ["hold", label, offset, expected] => self.hold(label, offset, number(expected)?),
            ["drop", label] => {
                drop(self.held.remove(label).ok_or("no held wait has that label")?);
                ok()
            }

            // The reactor.
            ["make", backend] => self.make(backend),
            ["backend"] => Ok(self.reactor()?.backend().to_string()),
            ["passed-over"] => {
                let reactor = self.reactor()?;
                let passed: Vec<_> = reactor.passed_over().map(|(kind, why)| format!("{kind}: {why}")).collect();
                Ok(passed.join("; "))
            }
            ["debug"] => Ok(format!("{:?}", self.reactor()?)),
            ["figures"] => {
                let Stats { armed, armed_now, woken, mismatched, cancelled, failed, closed, .. } =
                    self.reactor()?.stats();
                Ok(format!("{armed} = {armed_now} + {woken} + {mismatched} + {cancelled} + {failed} + {closed}"))
            }
            ["units"] => Ok(self.reactor()?.stats().units.to_string()),
            ["close"] => {
                self.reactor()?.close();
                ok()
            }

            // Limits and disturbances.
            ["forbid", calls, errno] => limits::forbid(calls, errno),
            ["no-memlock"] => limits::no_memlock(),
            ["descriptors-left", n] => limits::descriptors_left(number(n)?),
            ["catch-signals"] => limits::catch_signals(),
            ["signal-all-threads"] => limits::signal_all_threads(),
            ["signals"] => Ok(limits::signals().to_string()),

            ["fork"] => fork::fork(&self.memory, false),
            ["fork-dropping-the-runtime"] => fork::fork(&self.memory, true),
            ["fork-watching", pid] => fork_watch::fork_watching(number(pid)?),
            ["fork-while-busy", what, rounds] => fork_busy::fork_while_busy(self.runtime()?, what, number(rounds)?),
            _ => Err(format!("no such command: {command:?}").into()),
        }
    }

    /// Stores the identity of this process after the first word, then changes the first word to 1.
    fn publish(&self) -> Result<String> {
        for (word, value) in self.memory.as_words()[1..5].iter().zip(ProcessId::current()?.to_words()) {
            word.store(value, Ordering::Relaxed);
        }
        let state = self.memory.word(0)?;
        state.store(1, Ordering::Release);
        state.wake(u32::MAX);
        ok()
    }

    /// Starts the runtime on its own threads.
    fn start(&mut self, flavour: &str) -> Result<String> {
        let runtime = match flavour {
            "current-thread" => Builder::new_current_thread().enable_all().build()?,
            "multi-thread" => Builder::new_multi_thread().worker_threads(2).enable_all().build()?,
            _ => return Err("current-thread or multi-thread".into()),
        };
        self.runtime = Some(runtime.handle().clone());
        std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        ok()
    }

    fn arm(&mut self, label: &str, offset: &str, expected: u32) -> Result<String> {
        let task = waits::arm(self.runtime()?, label, self.futex(offset)?, expected)?;
        self.tasks.insert(label.to_owned(), task);
        ok()
    }

    fn abort(&mut self, label: &str) -> Result<String> {
        let task = self.tasks.remove(label).ok_or("no task has that label")?;
        task.abort();
        let end = self.runtime()?.block_on(task);
        Ok(if end.is_err_and(|error| error.is_cancelled()) { "ok" } else { "it was over" }.to_owned())
    }

    fn hold(&mut self, label: &str, offset: &str, expected: u32) -> Result<String> {
        let futex = self.futex(offset)?;
        let mut wait: HeldWait = Box::pin(async move { futex.wait_async(expected).await });
        if !self.runtime()?.block_on(is_pending(&mut wait)) {
            return Err("the wait is over already".into());
        }
        self.held.insert(label.to_owned(), wait);
        ok()
    }

    fn make(&self, backend: &str) -> Result<String> {
        let _guard = self.runtime()?.enter();
        let reactor = Reactor::builder().backend(Backend::from_str(backend)?).build()?;
        Ok(reactor.backend().to_string())
    }

    fn runtime(&self) -> Result<&Handle> {
        Ok(self.runtime.as_ref().ok_or("start a runtime first")?)
    }

    fn reactor(&self) -> Result<Reactor> {
        let _guard = self.runtime()?.enter();
        Ok(Reactor::current()?)
    }

    fn futex(&self, offset: &str) -> Result<AsyncFutex> {
        let _guard = self.runtime()?.enter();
        Ok(AsyncFutex::new(self.word(offset)?)?)
    }

    fn word(&self, offset: &str) -> Result<Word> {
        Ok(self.memory.word(number(offset)?)?)
    }
}

fn number<T: FromStr<Err: Error + Send + Sync + 'static>>(text: &str) -> Result<T> {
    Ok(text.parse()?)
}
