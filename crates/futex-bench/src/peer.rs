//! The other process: this program again, in a role.

use crate::hull::Hull;
use crate::links::{Link, echo};
use crate::locks::{self, Lock, Reader};
use crate::membership::{self, Watcher};
use crate::ours::{Config, Kind, run};
use crate::pipes::Pipe;
use crate::population::futexes;
use crate::rounds::pin;
use anyhow::{Context as _, Result};
use futex_tokio::SharedMemory;
use serde::{Deserialize, Serialize};
use std::fs;
use std::future::pending;
use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

/// What the other process does, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    role: Role,
    runtime: Kind,
    cpu: Option<usize>,
    /// The name of its hull.
    name: String,
}

/// What the other process does.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Answers every signal.
    Echo(Link),
    /// Sends messages: the producer with this number.
    Produce(Pipe, usize),
    /// Arms this many waits for what never happens.
    Idle(Config, usize),
    /// Competes for a lock: the process with this number.
    Work(Lock, usize),
    /// Owns a lock.
    Hold(Lock),
    /// Reads what a read-write lock protects, in some of the time.
    Read(Reader),
    /// Is a member of a region.
    Join(Watcher),
}

/// The other process, until it is dropped.
pub(crate) struct Peer(Child);

impl Peer {
    /// Starts it with what `hull` has.
    pub(crate) fn start(role: Role, runtime: Kind, cpu: Option<usize>, hull: Hull) -> Result<Self> {
        let part = Part { role, runtime, cpu, name: hull.name };
        let mut fds = hull.fds.into_iter().map(Stdio::from);
        // Not the program's path: that file may have been built anew by now.
        let mut command = Command::new("/proc/self/exe");
        command.arg("--peer").arg(serde_json::to_string(&part)?);
        command.stdin(fds.next().unwrap_or_else(Stdio::null)).stdout(fds.next().unwrap_or_else(Stdio::null));
        Ok(Self(command.spawn()?))
    }

    /// Nanoseconds of processor time that its threads have used.
    pub(crate) fn cpu_time(&self) -> Result<f64> {
        let mut total = 0.0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            let figures = fs::read_to_string(thread?.path().join("schedstat"))?;
            total += figures.split(' ').next().context("schedstat is empty")?.parse::<f64>()?;
        }
        Ok(total)
    }
}

impl Peer {
    /// Kills it (SIGKILL).
    pub(crate) fn kill(&mut self) -> Result<()> {
        Ok(self.0.kill()?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Part {
    /// Plays the part until this process is killed.
    pub(crate) fn play(self) -> Result<()> {
        // A peer without its partner would wait for ever.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        self.cpu.map_or(Ok(()), pin)?;
        let hull = Hull { name: self.name, ..Hull::of([&io::stdin(), &io::stdout()])? };
        let runtime = self.runtime.runtime()?;
        match self.role {
            Role::Echo(link) => {
                let end = runtime.block_on(async { link.end(hull, 1) })?;
                run(&runtime, echo(end))
            }
            Role::Produce(pipe, producer) => runtime.block_on(pipe.produce(hull, producer)),
            Role::Idle(config, count) => idle(config, count, hull),
            Role::Work(lock, process) => locks::work(lock, process, hull),
            Role::Hold(lock) => locks::hold(lock, hull),
            Role::Read(reader) => locks::read(reader, hull),
            Role::Join(watcher) => membership::join(watcher, hull),
        }
    }
}

/// Waits for ever. Sets the memory's first word when all waits are armed.
fn idle(config: Config, count: usize, mut hull: Hull) -> Result<()> {
    let ready = SharedMemory::from_fd(hull.take_fd()?)?.word(0)?;
    let (runtime, futexes) = futexes(config, count)?;
    let futexes: &[_] = futexes.leak();
    for futex in futexes {
        runtime.spawn(futex.wait_async(0));
    }
    runtime.block_on(async {
        while futexes[0].reactor().stats().armed_now < count {
            sleep(Duration::from_millis(10)).await;
        }
        ready.store(1, Ordering::Release);
        ready.wake(1);
        pending().await
    })
}
